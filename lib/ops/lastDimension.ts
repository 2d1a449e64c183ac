import { ShapeError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import { transpose } from './view.js'

/** The dimension `dim`, counted from the front. @throws ShapeError if it does not exist */
export function dimensionOf(name: string, x: Tensor, dim: number): number {
  const d = dim < 0 ? dim + x.rank : dim
  if (!Number.isInteger(dim) || d < 0 || d >= x.rank) throw new ShapeError(`${name}: dimension ${dim} of a tensor [${x.shape.join(', ')}] does not exist`)
  return d
}

/** Applies a function of the last dimension to dimension `dim`, by views before and after. */
export function alongDimension(name: string, x: Tensor, dim: number, apply: (x: Tensor) => Tensor): Tensor {
  const d = dimensionOf(name, x, dim)
  if (d === x.rank - 1) return apply(x)
  using turned = transpose(x, d, -1)
  using y = apply(turned)
  return transpose(y, d, -1)
}
