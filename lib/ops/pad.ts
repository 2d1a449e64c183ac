import { recorded } from '../autograd/tape.js'
import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { contiguousStrides, emptyLike, type Tensor } from '../tensor/tensor.js'

/**
 * `x` in a larger tensor, with `value` around it.
 * @param widths elements before and behind, for each dimension
 * @throws ShapeError if there is not one pair of integers from 0 for each dimension
 */
export function pad(x: Tensor, widths: readonly (readonly [number, number])[], value = 0): Tensor {
  if (widths.length !== x.rank || widths.flat().some(n => !Number.isInteger(n) || n < 0))
    throw new ShapeError(`pad: widths are ${JSON.stringify(widths)}, expected a pair of integers from 0 for each dimension of [${x.shape.join(', ')}]`)
  const shape = x.shape.map((n, d) => n + widths[d]![0] + widths[d]![1]), strides = contiguousStrides(shape)
  const offset = widths.reduce((n, [before], d) => n + before * strides[d]!, 0), inner = x.shape
  const withInner = (raw: number, use: (handle: number) => void): void => {
    if (inner.includes(0)) return
    const handle = native.view(raw, offset, inner.length, ...inner, ...strides)
    try {
      use(handle)
    } finally {
      native.destroy(handle)
    }
  }
  const y = emptyLike(x, shape)
  if (widths.flat().some(n => n > 0)) native.fill(y.raw, value)
  withInner(y.raw, part => { native.copy(x.handle, part) })
  return recorded(y, { name: 'pad', inputs: [x] }, (dy, into) => { withInner(dy, part => { native.copy(part, into(x)) }) })
}
