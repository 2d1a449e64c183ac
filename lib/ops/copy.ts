import { isFloating, type DType } from '../tensor/dtype.js'
import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'

/** The same values in memory of their own, without gaps. */
export function clone(x: Tensor): Tensor {
  const y = emptyLike(x)
  native.copy(x.handle, y.raw)
  return recorded(y, { name: 'clone', inputs: [x] }, (dy, into) => { native.copy(dy, into(x)) })
}

/** `x` itself if its elements lie without gaps, else a copy. */
export const contiguous = (x: Tensor): Tensor => x.isContiguous ? x : clone(x)

/** The values in another dtype: to integers toward zero, saturating, NaN to 0; to bool: whether not zero. Gradients flow between floating dtypes. */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (dtype === x.dtype) return x
  const y = emptyLike(x, x.shape, dtype)
  native.copy(x.handle, y.raw)
  if (!isFloating(dtype)) return y
  return recorded(y, { name: 'cast', inputs: [x] }, (dy, into) => { native.copy(dy, into(x)) })
}
