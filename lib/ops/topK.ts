import { recorded } from '../autograd/tape.js'
import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { requireFloating } from './dtypeChecks.js'
import { dimensionOf } from './lastDimension.js'
import { withRows } from './rows.js'
import { transpose } from './view.js'

/**
 * The `k` largest elements along `dim` in descending order, ties by lower index; NaN counts as the largest.
 * @returns `values` in the dtype of `x`, through which gradients flow, and `indices` int32, both with size `k` at `dim`
 * @throws ShapeError if the dimension does not exist, or has less than `k` elements; DTypeError for integers
 */
export function topK(x: Tensor, k: number, dim = -1): { values: Tensor, indices: Tensor } {
  requireFloating('topK', x)
  const d = dimensionOf('topK', x, dim)
  if (!Number.isInteger(k) || k < 0 || k > x.shape[d]!) throw new ShapeError(`topK: k is ${k}, expected an integer from 0 to ${x.shape[d]!}, the size of dimension ${dim} of [${x.shape.join(', ')}]`)
  if (d === x.rank - 1) return ofLast(x, k)
  using turned = transpose(x, d, -1)
  const { values, indices } = ofLast(turned, k)
  using lastValues = values
  using lastIndices = indices
  return { values: transpose(lastValues, d, -1), indices: transpose(lastIndices, d, -1) }
}

function ofLast(x: Tensor, k: number): { values: Tensor, indices: Tensor } {
  return withRows(x, rows => {
    const shape = x.shape.with(-1, k), values = emptyLike(x, shape), indices = emptyLike(x, shape, 'int32')
    native.topK(rows.handle, values.raw, indices.raw)
    recorded(values, { name: 'topK', inputs: [rows], saved: [indices] }, (dy, into, [indices_]) => { native.scatterAdd(dy, indices_!, into(rows)) })
    return { values, indices }
  })
}
