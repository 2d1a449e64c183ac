import { ShapeError } from '../errors.js'
import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { context } from '../tensor/scope.js'
import { dtypeId, type DType } from '../tensor/dtype.js'
import { empty, emptyLike, sizeOf, type Tensor } from '../tensor/tensor.js'
import { activations, reduceOps, unaryOps, type Activation } from './codes.js'
import { cast } from './copy.js'
import { usesTf32 } from './matmulPrecision.js'
import { isRecorded } from './recording.js'
import { reshape } from './view.js'

/** The dtype that a product of float32 values is computed in here. */
export function computeDtype(x: Tensor): DType {
  const { precision } = context()
  return x.dtype === 'float32' ? precision : x.dtype
}

export interface LinearOptions {
  activation?: Activation
  /** Dtype of the result: that of the operands (default), which under `autocast` is its precision, or float32, in which the sums are made. */
  dtype?: DType | undefined
}

/** @internal A handle of the `[out, in]` weight in another dtype, made for this product alone; the gradient goes to the weight itself. */
export function inDtype(weight: Tensor, dtype: DType): { handle: number, made: Tensor | undefined } {
  if (weight.dtype === dtype) return { handle: weight.handle, made: undefined }
  const made = emptyLike(weight, weight.shape, dtype)
  native.copy(weight.handle, made.raw)
  return { handle: made.raw, made }
}

/** @internal Calls `use` with a handle of the transpose of a matrix. */
export function withTranspose(handle: number, [rows, columns]: readonly [number, number], strides: readonly number[], use: (handle: number) => void): void {
  const view = native.view(handle, 0, 2, columns, rows, strides[1]!, strides[0]!)
  try {
    use(view)
  } finally {
    native.destroy(view)
  }
}

/**
 * y = activation(x Wᵀ + b), with bias and activation applied while the product is in registers. Under `autocast` it is computed in that precision, with float32 sums.
 * @param x `[…, in]`   @param weight `[out, in]`, any strides   @param bias `[out]` float32
 * @returns `[…, out]`
 * @throws ShapeError if the sizes do not fit; DTypeError if the result is to be in another half type than the operands
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor, { activation = 'none', dtype }: LinearOptions = {}): Tensor {
  const [N, K] = weight.shape as [number, number]
  if (weight.rank !== 2 || x.rank < 1 || x.shape.at(-1) !== K)
    throw new ShapeError(`linear: x is [${x.shape.join(', ')}] and the weight [${weight.shape.join(', ')}], expected [out, in] with in = the last dimension of x. Was the layer built for another width?`)
  const operands = computeDtype(x)
  if (!isRecorded(x, weight, bias) && x.dtype === operands && x.isContiguous) return withoutTape(x, weight, bias, activation, dtype ?? operands)
  const M = sizeOf(x.shape.slice(0, -1))
  const converted = cast(x, operands), input = x.rank === 2 ? converted : reshape(converted, [M, K])
  const { handle: w, made } = inDtype(weight, operands)
  const y = empty([M, N], dtype ?? operands, x.device)
  // ReLU's slope shows in its result; the others need what they were applied to.
  const kept = activation !== 'none' && activation !== 'relu' && isRecorded(input, weight, bias) ? emptyLike(y) : undefined
  withTranspose(w, [N, K], made ? [K, 1] : weight.strides, wt => {
    native.matmul(input.handle, wt, y.raw, bias?.handle ?? 0, kept?.raw ?? 0, 0, 0, activations[activation], 1, usesTf32())
  })
  const slopeOf = activation === 'relu' ? y : kept
  // Of a frozen layer only the weight is kept, of a first layer only the input.
  const saved = [weight.requiresGrad ? input : undefined, input.requiresGrad ? made ?? weight : undefined, slopeOf]
  recorded(y, { name: 'linear', inputs: [input, weight, bias], saved }, (dy, into, [input_, weight_, slope_]) => {
    const made: number[] = []
    const buffer = (d: DType): number => made[made.push(native.alloc(dtypeId(d), y.device.index, 2, M, N)) - 1]!
    try {
      let dz = dy
      if (activation !== 'none') native.unaryBackward(dy, slope_!, dz = buffer(y.dtype), unaryOps[activation])
      if (y.dtype !== operands) native.copy(dz, dz = buffer(operands))
      const dx = into(input)
      if (dx !== 0) native.matmul(dz, weight_!, dx, 0, 0, 0, 0, 0, 1, usesTf32())
      const dw = into(weight), db = into(bias)
      if (dw !== 0) withTranspose(dz, [M, N], [N, 1], dzt => { native.matmul(dzt, input_!, dw, 0, 0, 0, db, 0, 1, usesTf32()) })
      else if (db !== 0) biasGradient(dz, db, N)
    } finally {
      for (const handle of made) native.destroy(handle)
    }
  })
  made?.dispose()
  kept?.dispose()
  if (input !== converted) input.dispose()
  if (converted !== x) converted.dispose()
  if (x.rank === 2) return y
  const shaped = reshape(y, [...x.shape.slice(0, -1), N])
  y.dispose()
  return shaped
}

/** Rows stay in their shape: no view is made of them, before or behind. */
function withoutTape(x: Tensor, weight: Tensor, bias: Tensor | undefined, activation: Activation, dtype: DType): Tensor {
  const [N, K] = weight.shape as [number, number], { handle, made } = inDtype(weight, x.dtype)
  const matrix = x.rank === 1 ? reshape(x, [1, K]) : x, y = empty([...matrix.shape.slice(0, -1), N], dtype, x.device)
  withTranspose(handle, [N, K], made ? [K, 1] : weight.strides, wt => {
    native.matmul(matrix.handle, wt, y.raw, bias?.handle ?? 0, 0, 0, 0, activations[activation], 1, usesTf32())
  })
  made?.dispose()
  if (matrix === x) return y
  matrix.dispose()
  const vector = reshape(y, [N])
  y.dispose()
  return vector
}

/** @internal The gradient of a bias alone, where the weight is frozen. */
export function biasGradient(dz: number, db: number, N: number): void {
  const row = native.view(Math.abs(db), 0, 2, 1, N, N, 1)
  try {
    native.reduce(dz, db < 0 ? -row : row, reduceOps.sum)
  } finally {
    native.destroy(row)
  }
}
