import { dtypeId, type DType } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { contiguousStrides, Tensor } from '../tensor/tensor.js'
import type { Into } from '../autograd/tape.js'
import { sumTo } from './view.js'

// What backward passes of broadcasting ops are made of: they work on native handles, since the tensors may be gone by then.

type Layout = Pick<Tensor, 'shape' | 'strides'>

/** Calls `use` with the memory `raw`, laid out like `x`, repeated to `shape` by strides of 0. */
export function withRepeated(raw: number, x: Layout, shape: readonly number[], use: (handle: number) => void): void {
  const lead = shape.length - x.shape.length
  if (lead === 0 && shape.every((n, d) => n === x.shape[d])) { use(raw); return }
  const strides = shape.map((_, d) => d < lead || x.shape[d - lead] === 1 ? 0 : x.strides[d - lead]!)
  const handle = native.view(raw, 0, shape.length, ...shape, ...strides)
  try {
    use(handle)
  } finally {
    native.destroy(handle)
  }
}

/** Calls `use` with contiguous memory of its own, which is freed afterwards. */
export function withTemporary(shape: readonly number[], { dtype, device }: { dtype: DType, device: { readonly index: number } }, use: (handle: number) => void): void {
  const handle = native.alloc(dtypeId(dtype), device.index, shape.length, ...shape)
  try {
    use(handle)
  } finally {
    native.destroy(handle)
  }
}

/** Calls `use` with a number repeated to `shape`. */
export function withNumber(value: number, shape: readonly number[], like: { dtype: DType, device: { readonly index: number } }, use: (handle: number) => void): void {
  withTemporary([], like, scalar => {
    native.fill(scalar, value)
    withRepeated(scalar, { shape: [], strides: [] }, shape, use)
  })
}

/**
 * Gives `x` its gradient, which `write` computes for `shape`, the shape to which `x` was repeated: right where it belongs if `x` was not repeated, else into
 * temporary memory that is summed.
 */
export function writeGradient(x: Tensor | undefined, shape: readonly number[], into: Into, write: (target: number) => void): void {
  if (!x?.requiresGrad) return
  if (x.rank === shape.length && x.shape.every((n, d) => n === shape[d])) { write(into(x)); return }
  withTemporary(shape, x, temporary => {
    write(temporary)
    sumTo(temporary, shape, x.shape, into(x), x.strides)
  })
}

/** Calls `use` with the contiguous tensor `raw` (or, negative, a gradient to be accumulated into) seen as `shape`, which has as many elements. */
export function withShape(raw: number, shape: readonly number[], use: (handle: number) => void): void {
  const handle = native.view(Math.abs(raw), 0, shape.length, ...shape, ...contiguousStrides(shape))
  try {
    use(raw < 0 ? -handle : handle)
  } finally {
    native.destroy(handle)
  }
}

// For backward passes that are easier to read as tensor arithmetic, inside of a `scope`.

/** The memory `raw`, which is laid out like `x`, as a tensor. */
export const savedTensor = (raw: number, x: Tensor): Tensor => x.over(native.share(raw))

/** The contiguous memory `raw` as a tensor of the given shape, and of the dtype and device of `like`. */
export const tensorAt = (raw: number, shape: readonly number[], like: Tensor): Tensor =>
  new Tensor(native.view(raw, 0, shape.length, ...shape, ...contiguousStrides(shape)), shape, like.dtype, like.device)

/** Gives `x`, if it wants one, the gradient that `compute` returns, summed where `x` was repeated. */
export function giveGradient(x: Tensor, into: Into, compute: () => Tensor): void {
  if (!x.requiresGrad) return
  const gradient = compute()
  sumTo(gradient.handle, gradient.shape, x.shape, into(x), x.strides)
}
