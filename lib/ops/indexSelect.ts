import { recorded } from '../autograd/tape.js'
import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { contiguous } from './copy.js'
import { dimensionOf } from './lastDimension.js'
import { transpose } from './view.js'

/**
 * The slices of dimension `dim` that `ids` names, in its order.
 * @param ids `[M]` int32 or int64
 * @returns `x` with size M at `dim`
 * @throws ShapeError if the dimension does not exist or `ids` is not one-dimensional; IndexError (when the result is read) if an id is out of range
 */
export function indexSelect(x: Tensor, ids: Tensor, dim = 0): Tensor {
  const d = dimensionOf('indexSelect', x, dim)
  if (ids.rank !== 1) throw new ShapeError(`indexSelect: ids is [${ids.shape.join(', ')}], expected one dimension`)
  if (d === 0) return ofFirst(x, ids)
  using turned = transpose(x, 0, d)
  using y = ofFirst(turned, ids)
  return transpose(y, 0, d)
}

/** Whether the elements behind each index of the first dimension lie without gaps. */
function hasDenseSlices({ shape, strides }: Tensor): boolean {
  let expected = 1
  for (let d = shape.length - 1; d > 0; d--) {
    if (shape[d] !== 1 && strides[d] !== expected) return false
    expected *= shape[d]!
  }
  return true
}

function ofFirst(source: Tensor, indices: Tensor): Tensor {
  const x = hasDenseSlices(source) ? source : contiguous(source), ids = contiguous(indices)
  const y = emptyLike(x, [ids.shape[0]!, ...x.shape.slice(1)])
  native.indexSelect(x.handle, ids.handle, y.raw)
  recorded(y, { name: 'indexSelect', inputs: [x], saved: [ids] }, (dy, into, [ids_]) => { native.indexAdd(dy, ids_!, into(x)) })
  if (x !== source) x.dispose()
  if (ids !== indices) ids.dispose()
  return y
}
