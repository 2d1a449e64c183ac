import { recorded } from '../autograd/tape.js'
import { ShapeError } from '../errors.js'
import { isFloating, type DType } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { scope } from '../tensor/scope.js'
import { contiguousStrides, emptyLike, sizeOf, type Tensor } from '../tensor/tensor.js'
import { savedTensor, tensorAt, withNumber, withRepeated, withShape } from './broadcasting.js'
import { binaryOps, reduceOps, unaryOps } from './codes.js'
import { eq, ne } from './compare.js'
import { cast } from './copy.js'
import { requireFloating, requireNumbers } from './dtypeChecks.js'
import { div, mul } from './mul.js'
import { where } from './where.js'

// Reductions over some dimensions (all by default). Sums are exact to about one rounding of the result, whatever the number of elements.

/** Dimensions to reduce: one, several, or undefined for all; negative ones count from the end. */
export type Dims = number | readonly number[] | undefined
export interface ReduceOptions {
  /** Keep the reduced dimensions with size 1. */
  keepDim?: boolean
}

/** The shape with 1 at the reduced dimensions, the shape of the result, and how many elements go into each result. */
interface Reduction { kept: readonly number[], shape: readonly number[], count: number }

function reduction(name: string, x: Tensor, dims: Dims, keepDim: boolean): Reduction {
  const gone = new Set((dims === undefined ? x.shape.map((_, d) => d) : typeof dims === 'number' ? [dims] : dims).map(dim => {
    const d = dim < 0 ? dim + x.rank : dim
    if (!Number.isInteger(dim) || d < 0 || d >= x.rank) throw new ShapeError(`${name}: dimension ${dim} of a tensor [${x.shape.join(', ')}] does not exist`)
    return d
  }))
  const kept = x.shape.map((n, d) => gone.has(d) ? 1 : n)
  return { kept, shape: keepDim ? kept : x.shape.filter((_, d) => !gone.has(d)), count: sizeOf(x.shape.filter((_, d) => gone.has(d))) }
}

function reduced(x: Tensor, { kept, shape }: Reduction, op: keyof typeof reduceOps, dtype: DType = x.dtype): Tensor {
  const y = emptyLike(x, shape, dtype)
  withShape(y.raw, kept, y_ => { native.reduce(x.handle, y_, reduceOps[op]) })
  return y
}

/** Calls `use` with the contiguous result `raw` of a reduction, repeated to the shape of what was reduced. */
function withSpread(raw: number, { kept }: Reduction, shape: readonly number[], use: (handle: number) => void): void {
  // Where only dimensions of size 1 were reduced nothing repeats, but they may be missing from the result.
  if (kept.every((n, d) => n === shape[d])) withShape(raw, kept, use)
  else withRepeated(raw, { shape: kept, strides: contiguousStrides(kept) }, shape, use)
}

const widened = (dtype: DType): DType => isFloating(dtype) ? dtype : 'int64'

/** Sum; int64 for integers and bool, whose true elements it counts. The sum of nothing is 0. @throws ShapeError for a dimension that does not exist */
export function sum(x: Tensor, dims?: Dims, { keepDim = false }: ReduceOptions = {}): Tensor {
  const r = reduction('sum', x, dims, keepDim), y = reduced(x, r, 'sum', widened(x.dtype)), { shape } = x
  return recorded(y, { name: 'sum', inputs: [x] }, (dy, into) => { withSpread(dy, r, shape, d => { native.copy(d, into(x)) }) })
}

/** Arithmetic mean. The mean of nothing is NaN. @throws ShapeError for a dimension that does not exist; DTypeError for integers */
export function mean(x: Tensor, dims?: Dims, { keepDim = false }: ReduceOptions = {}): Tensor {
  requireFloating('mean', x)
  const r = reduction('mean', x, dims, keepDim), y = reduced(x, r, 'mean'), { shape } = x
  return recorded(y, { name: 'mean', inputs: [x] }, (dy, into) => {
    withSpread(dy, r, shape, d => { native.scalarBinary(d, into(x), binaryOps.div, r.count, false) })
  })
}

/** Sum of squares. @throws ShapeError for a dimension that does not exist; DTypeError for integers */
export function sumOfSquares(x: Tensor, dims?: Dims, { keepDim = false }: ReduceOptions = {}): Tensor {
  requireFloating('sumOfSquares', x)
  const r = reduction('sumOfSquares', x, dims, keepDim), y = reduced(x, r, 'sumOfSquares'), { shape } = x
  return recorded(y, { name: 'sumOfSquares', inputs: [x], saved: [x] }, (dy, into, [x_]) => {
    withSpread(dy, r, shape, d => { native.unaryBackward(d, x_!, into(x), unaryOps.square) })
  })
}

/** Largest element; NaN if there is one. Equal ones share the gradient. @throws ShapeError for a dimension that does not exist, or if there is nothing to choose from */
export const max = (x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor => extreme('max', x, dims, options)

/** Smallest element; NaN if there is one. Equal ones share the gradient. @throws ShapeError for a dimension that does not exist, or if there is nothing to choose from */
export const min = (x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor => extreme('min', x, dims, options)

function extreme(op: 'max' | 'min', x: Tensor, dims: Dims, { keepDim = false }: ReduceOptions): Tensor {
  requireNumbers(op, x)
  const r = reduction(op, x, dims, keepDim), { shape } = x
  if (r.count === 0 && sizeOf(r.kept) > 0) throw new ShapeError(`${op}: the tensor [${shape.join(', ')}] has no elements to choose from`)
  const y = reduced(x, r, op)
  return recorded(y, { name: op, inputs: [x], saved: [x, y] }, (dy, into, [x_, y_]) => {
    scope(() => {
      const isExtreme = eq(savedTensor(x_!, x), tensorAt(y_!, r.kept, x))
      const share = div(tensorAt(dy, r.kept, x), cast(sum(isExtreme, dims, { keepDim: true }), x.dtype))
      withSpread(share.handle, r, shape, d => { withNumber(0, shape, x, zero => { native.where(isExtreme.handle, d, zero, into(x)) }) })
    })
  })
}

/** Product; int64 for integers. The product of nothing is 1. Gradients hold where elements are 0, too. @throws ShapeError for a dimension that does not exist; DTypeError for bool */
export function prod(x: Tensor, dims?: Dims, { keepDim = false }: ReduceOptions = {}): Tensor {
  requireNumbers('prod', x)
  const r = reduction('prod', x, dims, keepDim), y = reduced(x, r, 'prod', widened(x.dtype)), { shape } = x
  return recorded(y, { name: 'prod', inputs: [x], saved: [x] }, (dy, into, [x_]) => {
    scope(() => {
      // With p the product of all elements but the zeros: without a zero, each gets p / x; an only zero gets p; whatever has another zero beside it gets 0.
      const values = savedTensor(x_!, x), isZero = eq(values, 0), others = where(isZero, 1, values), zeros = sum(isZero, dims, { keepDim: true })
      const p = mul(tensorAt(dy, r.kept, x), prod(others, dims, { keepDim: true }))
      const quotient = div(where(eq(zeros, 0), p, 0), others), onlyZero = where(eq(zeros, 1), p, 0)
      withSpread(onlyZero.handle, r, shape, d => { native.where(isZero.handle, d, quotient.handle, into(x)) })
    })
  })
}

/** bool: whether any element is not 0; false of nothing. @throws ShapeError for a dimension that does not exist */
export const any = (x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor => truth('any', 'max', x, dims, options)

/** bool: whether no element is 0; true of nothing. @throws ShapeError for a dimension that does not exist */
export const all = (x: Tensor, dims?: Dims, options: ReduceOptions = {}): Tensor => truth('all', 'min', x, dims, options)

function truth(name: string, op: 'max' | 'min', x: Tensor, dims: Dims, { keepDim = false }: ReduceOptions): Tensor {
  const r = reduction(name, x, dims, keepDim)
  if (x.dtype === 'bool') return reduced(x, r, op)
  const nonzero = ne(x, 0), y = reduced(nonzero, r, op)
  nonzero.dispose()
  return y
}
