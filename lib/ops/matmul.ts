import { DTypeError, ShapeError } from '../errors.js'
import { recorded } from '../autograd/tape.js'
import { dtypeId } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { empty, sizeOf, type Tensor } from '../tensor/tensor.js'
import { usesTf32 } from './matmulPrecision.js'
import { broadcastShape, reshape, sumTo, withBroadcast } from './view.js'

/**
 * The matrix product alpha · a b over the last two dimensions; leading ones broadcast. Vectors are taken as a row on the left, a column on the right, as torch.matmul does.
 * @param a `[…, M, K]`   @param b `[…, K, N]`
 * @returns `[…, M, N]` in the dtype of both
 * @throws ShapeError if the sizes do not fit; DTypeError if the dtypes differ
 */
export function matmul(a: Tensor, b: Tensor, { alpha = 1 }: { alpha?: number } = {}): Tensor {
  if (a.rank === 0 || b.rank === 0) throw new ShapeError('matmul: a scalar has no rows and columns; use mul')
  if (a.rank === 1) {
    const y = inShape(a, [1, a.size], row => matmul(row, b, { alpha }))
    return only(y, b.rank === 1 ? [] : y.shape.toSpliced(-2, 1))
  }
  if (b.rank === 1) {
    const y = inShape(b, [b.size, 1], column => matmul(a, column, { alpha }))
    return only(y, y.shape.slice(0, -1))
  }
  if (b.rank === 2 && a.rank > 2) {
    // One product of all rows, so that the gradient of b is one product too.
    const rows = a.shape.slice(0, -1), y = inShape(a, [sizeOf(rows), a.shape.at(-1)!], flat => matmul(flat, b, { alpha }))
    return only(y, [...rows, b.shape[1]!])
  }
  if (a.dtype !== b.dtype) throw new DTypeError(`matmul: a is ${a.dtype} and b ${b.dtype}. Convert one of them with .to(dtype)`)
  const [M, K] = a.shape.slice(-2) as [number, number], [rows, N] = b.shape.slice(-2) as [number, number]
  if (rows !== K) throw new ShapeError(`matmul: a is [${a.shape.join(', ')}] and b [${b.shape.join(', ')}]; b needs ${K} rows, as many as a has columns`)
  const batch = broadcastShape('matmul', a.shape.slice(0, -2), b.shape.slice(0, -2))
  const aShape = [...batch, M, K], bShape = [...batch, K, N], yShape = [...batch, M, N]
  const y = empty(yShape, a.dtype, a.device)
  withBroadcast(a, aShape, a_ => { withBroadcast(b, bShape, b_ => { native.matmul(a_, b_, y.raw, 0, 0, 0, 0, 0, alpha, usesTf32()) }) })
  return recorded(y, { name: 'matmul', inputs: [a, b], saved: [a, b] }, (dy, into, [a_, b_]) => {
    // da = dy bᵀ, db = aᵀ dy, summed over the batches along which an input was repeated.
    withLast2Swapped(b_!, b, bShape, bt => { product(dy, bt, aShape, a, into(a), alpha) })
    withLast2Swapped(a_!, a, aShape, at => { product(at, dy, bShape, b, into(b), alpha) })
  })
}

/** What `use` makes of `x` in another shape; the view is gone afterwards. */
function inShape(x: Tensor, shape: readonly number[], use: (x: Tensor) => Tensor): Tensor {
  const view = reshape(x, shape)
  try {
    return use(view)
  } finally {
    view.dispose()
  }
}

/** `y` in another shape, and in no other any more. */
function only(y: Tensor, shape: readonly number[]): Tensor {
  const view = reshape(y, shape)
  y.dispose()
  return view
}

/** Calls `use` with a handle of `x` (whose memory is `raw`), repeated over the batch, with rows and columns exchanged. */
function withLast2Swapped(raw: number, x: Tensor, shape: readonly number[], use: (handle: number) => void): void {
  const lead = shape.length - x.rank, { strides } = x
  const steps = shape.map((_, d) => d < lead || (x.shape[d - lead] === 1 && d < shape.length - 2) ? 0 : strides[d - lead]!)
  const swap = <T>(list: readonly T[]): T[] => [...list.slice(0, -2), list.at(-1)!, list.at(-2)!]
  const view = native.view(raw, 0, shape.length, ...swap(shape), ...swap(steps))
  try {
    use(view)
  } finally {
    native.destroy(view)
  }
}

/** alpha · a b into the gradient of `x`; through a buffer of shape `shape` where `x` was repeated. */
function product(a: number, b: number, shape: readonly number[], x: Tensor, target: number, alpha: number): void {
  if (target === 0) return
  if (shape.length === x.rank && shape.every((n, d) => n === x.shape[d])) {
    native.matmul(a, b, target, 0, 0, 0, 0, 0, alpha, usesTf32())
    return
  }
  const repeated = native.alloc(dtypeId(x.dtype), x.device.index, shape.length, ...shape)
  try {
    native.matmul(a, b, repeated, 0, 0, 0, 0, 0, alpha, usesTf32())
    sumTo(repeated, shape, x.shape, target, x.strides)
  } finally {
    native.destroy(repeated)
  }
}
