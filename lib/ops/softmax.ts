import { withRows } from './rows.js'
import { transpose } from './view.js'
import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'

/**
 * e^x / sum of e^x along a dimension: positive numbers that add up to 1. Where all of x is -infinity (everything is masked) the result is 0.
 * @param x floating, any shape   @param dim the dimension along which the sum is 1
 * @returns the shape and dtype of `x`
 * @throws ShapeError if there is no such dimension
 */
export const softmax = (x: Tensor, dim = -1): Tensor => along(x, dim, false)

/** The logarithm of `softmax`, without its underflow: x - log(sum of e^x). */
export const logSoftmax = (x: Tensor, dim = -1): Tensor => along(x, dim, true)

function along(x: Tensor, dim: number, log: boolean): Tensor {
  if (dim === -1 || dim === x.rank - 1) return withRows(x, rows => lastDimension(rows, log))
  using turned = transpose(x, dim, -1)
  using y = withRows(turned, rows => lastDimension(rows, log))
  return transpose(y, dim, -1)
}

function lastDimension(x: Tensor, log: boolean): Tensor {
  const y = emptyLike(x)
  native.softmax(x.handle, y.raw, log)
  return recorded(y, { name: log ? 'logSoftmax' : 'softmax', inputs: [x], saved: [y] }, (dy, into, [y_]) => { native.softmaxBackward(dy, y_!, into(x), log) })
}
