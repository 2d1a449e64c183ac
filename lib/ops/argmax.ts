import { withoutGradient } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { withShape } from './broadcasting.js'
import { requireNumbers } from './dtypeChecks.js'
import { dimensionOf } from './lastDimension.js'
import type { ReduceOptions } from './reduce.js'
import { withRows } from './rows.js'
import { permute } from './view.js'

/**
 * Index of the largest element along `dim`: the first of equals; NaN counts as the largest.
 * @returns int32, without the dimension (with `keepDim`, of size 1 there)
 * @throws AutogradError if a gradient would be needed; ShapeError if the dimension does not exist or is empty
 */
export function argmax(x: Tensor, dim = -1, { keepDim = false }: ReduceOptions = {}): Tensor {
  withoutGradient('argmax', x)
  requireNumbers('argmax', x)
  const d = dimensionOf('argmax', x, dim), shape = x.shape.toSpliced(d, 1)
  const y = emptyLike(x, keepDim ? x.shape.with(d, 1) : shape, 'int32')
  using turned = permute(x, [...x.shape.keys()].toSpliced(d, 1).concat(d))   // the others keep their order
  withShape(y.raw, shape, y_ => { withRows(turned, rows => { native.argmax(rows.handle, y_) }) })
  return y
}
