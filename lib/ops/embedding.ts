import { contiguous } from './copy.js'
import { DTypeError } from '../errors.js'
import { recorded } from '../autograd/tape.js'
import type { DType } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { isRecorded } from './recording.js'
import { withRows } from './rows.js'

export interface EmbeddingOptions {
  /** Factor of the result: the paper of the Transformer has sqrt(C). */
  scale?: number
  /** Id whose row gets no gradient. */
  paddingIndex?: number
  /** Dtype of the result; that of `weight` by default, under `autocast` too. */
  dtype?: DType
}

/**
 * Rows of a table: scale * weight[id].
 * @param ids `[…]` int32 or int64   @param weight `[V, C]`
 * @returns `[…, C]`. An id outside [0, V) gives zeros and rejects the next wait with IndexError
 * @throws ShapeError if `weight` has not two dimensions
 */
export function embedding(ids: Tensor, weight: Tensor, { scale = 1, paddingIndex = -1, dtype }: EmbeddingOptions = {}): Tensor {
  if (weight.dtype !== 'float32' && isRecorded(weight))
    throw new DTypeError(`embedding: weight is ${weight.dtype} and requires a gradient, which is float32. Keep parameters in float32; autocast computes in half precision`)
  return withRows(weight, table => {
    const places = contiguous(ids)
    const y = emptyLike(weight, [...ids.shape, ...weight.shape.slice(1)], dtype ?? weight.dtype)
    native.embedding(places.handle, table.handle, y.raw, scale)
    recorded(y, { name: 'embedding', inputs: [table], saved: [places] }, (dy, into, [ids_]) => {
      native.embeddingBackward(dy, ids_!, into(table), scale, paddingIndex)
    })
    if (places !== ids) places.dispose()
    return y
  })
}
