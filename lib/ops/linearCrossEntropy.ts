import { recorded } from '../autograd/tape.js'
import { ConfigError, ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { empty, emptyLike, type Tensor } from '../tensor/tensor.js'
import { withRepeated, withTemporary } from './broadcasting.js'
import { binaryOps, reduceOps } from './codes.js'
import { cast, contiguous } from './copy.js'
import { crossEntropy, totalLoss, withQuotient, type CrossEntropyOptions } from './crossEntropy.js'
import { biasGradient, computeDtype, inDtype, linear, withTranspose } from './linear.js'
import { usesTf32 } from './matmulPrecision.js'
import { isRecorded } from './recording.js'
import { reshape } from './view.js'

export interface LinearCrossEntropyOptions extends Pick<CrossEntropyOptions, 'labelSmoothing' | 'ignoreIndex' | 'zLoss'> {
  bias?: Tensor | undefined
  /** float32: so are the logits, whatever the product runs in. Default: its precision. */
  logitsDtype?: 'float32' | undefined
  reduction?: 'mean' | 'sum'
  /** Rows of logits that there are at a time. Default: so many that logits are no larger than x, 512 at least. */
  rows?: number
}

/** Fewer rows would leave products small. */
const leastRows = 512

/** As many rows of V logits as take about the memory of all `[M, K]`, in steps of 128. */
const rowsAtATime = (M: number, K: number, V: number): number => Math.max(leastRows, 128 * Math.ceil(M * K / V / 128))

/** Calls `use` with `count` rows of a matrix from `first` on. */
function withRowsOf(handle: number, [first, count]: readonly [number, number], columns: number, strides: readonly [number, number], use: (rows: number) => void): void {
  const view = native.view(handle, first * strides[0], 2, count, columns, ...strides)
  try {
    use(view)
  } finally {
    native.destroy(view)
  }
}

/** Calls `use` with `count` numbers of a vector from `first` on. */
function withPart(handle: number, [first, count]: readonly [number, number], use: (part: number) => void): void {
  const view = native.view(handle, first, 1, count, 1)
  try {
    use(view)
  } finally {
    native.destroy(view)
  }
}

/**
 * crossEntropy(linear(x, weight, bias), labels): the output layer of a language model and its loss, by pieces of a few rows, so that all logits never exist at once. If
 * gradients are recorded, those of a piece are computed while its logits are there; the backward pass only scales them. Up to `rows` rows it is that composition itself.
 * @param x `[…, in]`   @param weight `[V, in]`   @param labels `[…]` int32 or int64
 * @returns float32 `[]`. A label outside [0, V) other than `ignoreIndex` rejects the next wait with IndexError, whose position counts within a piece
 * @throws ShapeError if the sizes do not fit; ConfigError for an option outside of its range
 * @see Hsu et al. 2024, https://arxiv.org/abs/2410.10989, section 3.2 (FusedLinearCrossEntropy)
 */
export function linearCrossEntropy(x: Tensor, weight: Tensor, labels: Tensor, options: LinearCrossEntropyOptions = {}): Tensor {
  const { bias, logitsDtype, labelSmoothing = 0, ignoreIndex = -100, zLoss = 0, reduction = 'mean' } = options
  const [V, K] = weight.shape as [number, number], M = labels.size
  if (weight.rank !== 2 || x.rank < 1 || x.shape.at(-1) !== K)
    throw new ShapeError(`linearCrossEntropy: x is [${x.shape.join(', ')}] and the weight [${weight.shape.join(', ')}], expected [V, in] with in = the last dimension of x`)
  if (labels.rank !== x.rank - 1 || labels.shape.some((n, d) => n !== x.shape[d]))
    throw new ShapeError(`linearCrossEntropy: labels are [${labels.shape.join(', ')}], expected the shape of x [${x.shape.join(', ')}] without its last dimension`)
  if (!['mean', 'sum'].includes(reduction)) throw new ConfigError(`linearCrossEntropy: reduction is '${reduction}', expected 'mean' or 'sum'; for a loss of each row there is crossEntropy`)
  const { rows = rowsAtATime(M, K, V) } = options
  if (!Number.isInteger(rows) || rows < 1) throw new ConfigError(`linearCrossEntropy: rows is ${rows}, expected a whole number from 1 on`)
  if (M <= rows) {
    const logits = linear(x, weight, bias, { dtype: logitsDtype })
    const loss = crossEntropy(logits, labels, { labelSmoothing, ignoreIndex, zLoss, reduction, inPlace: true })
    logits.dispose()
    return loss
  }

  const operands = computeDtype(x), converted = cast(x, operands), input = x.rank === 2 ? converted : reshape(converted, [M, K])
  const strides = input.strides as [number, number], targets = contiguous(labels)
  const { handle: w, made } = inDtype(weight, operands)
  const pieces = Math.ceil(M / rows), f32 = (shape: number[]) => empty(shape, 'float32', x.device)
  const losses = f32([M]), counts = f32([pieces]), dtype = logitsDtype ?? operands
  // Gradients of the sum of all losses. In float32, whatever they will be added to: they are scaled once more.
  const records = isRecorded(input, weight, bias)
  const wanted = (t: Tensor | undefined, shape: number[]): Tensor | undefined => records && t?.requiresGrad ? f32(shape) : undefined
  const dx = wanted(input, [M, K]), dw = wanted(weight, [V, K]), db = wanted(bias, [V])
  const logits = empty([rows, V], dtype, x.device), rounded = records && dtype !== operands ? emptyLike(logits, logits.shape, operands) : undefined
  // In float16 those of logits are scaled, whatever the loss is scaled by later: small probabilities would be lost below its least number.
  const lse = f32([rows]), factor = records && operands === 'float16' ? 1024 : 1, one = f32([])
  native.fill(one.raw, factor)
  for (let piece = 0; piece < pieces; piece++) {
    const range = [piece * rows, Math.min(rows, M - piece * rows)] as const, first = [0, range[1]] as const, sign = piece === 0 ? 1 : -1
    const count = native.view(counts.raw, piece, 0)
    withRowsOf(input.handle, range, K, strides, x_ => {
      withRowsOf(logits.raw, first, V, [V, 1], y => {
        withPart(targets.handle, range, label => {
          withPart(lse.raw, first, lse_ => {
            withTranspose(w, [V, K], made ? [K, 1] : weight.strides, wt => { native.matmul(x_, wt, y, bias?.handle ?? 0, 0, 0, 0, 0, 1, usesTf32()) })
            withPart(losses.raw, range, loss => { native.crossEntropy(y, label, loss, lse_, count, labelSmoothing, ignoreIndex, zLoss) })
            if (dx || dw || db) native.crossEntropyBackward(y, label, lse_, one.raw, y, labelSmoothing, ignoreIndex, zLoss)
          })
        })
        const gradients = (dz: number): void => {
          if (dx) withRowsOf(dx.raw, range, K, [K, 1], dx_ => { native.matmul(dz, w, dx_, 0, 0, 0, 0, 0, 1, usesTf32()) })
          if (dw) withTranspose(dz, [range[1], V], [V, 1], dzt => { native.matmul(dzt, x_, sign * dw.raw, 0, 0, 0, db ? sign * db.raw : 0, 0, 1, usesTf32()) })
          else if (db) biasGradient(dz, sign * db.raw, V)
        }
        if (!rounded) gradients(y)
        else withRowsOf(rounded.raw, first, V, [V, 1], dz => { native.copy(y, dz); gradients(dz) })
      })
    })
    native.destroy(count)
  }
  const counted = f32([])
  withRepeated(counted.raw, { shape: [], strides: [] }, [1], total => { native.reduce(counts.raw, total, reduceOps.sum) })
  const loss = totalLoss(losses, reduction === 'mean' ? counted : undefined)   // from here on counted is 1 where it was 0
  const divisor = f32([])
  if (reduction === 'mean') native.scalarBinary(counted.raw, divisor.raw, binaryOps.mul, factor, false)
  else native.fill(divisor.raw, factor)
  recorded(loss, { name: 'linearCrossEntropy', inputs: [input, weight, bias], saved: [dx, dw, db, divisor] }, (dy, into, [dx_, dw_, db_, divisor_]) => {
    const give = (scale: number): void => {
      for (const [t, gradient, shape] of [[input, dx_!, [M, K]], [weight, dw_!, [V, K]], [bias, db_!, [V]]] as const) {
        const target = gradient && into(t)
        if (!target || !t) continue
        withRepeated(scale, { shape: [], strides: [] }, shape, scales => {
          if (t.dtype === 'float32') { native.binary(gradient, scales, target, binaryOps.mul); return }
          withTemporary(shape, loss, scaled => { native.binary(gradient, scales, scaled, binaryOps.mul); native.copy(scaled, target) })
        })
      }
    }
    withQuotient(dy, divisor_!, loss, give)
  })
  for (const t of [logits, rounded, lse, one, losses, counts, counted, divisor, dx, dw, db, made]) t?.dispose()
  if (targets !== labels) targets.dispose()
  if (input !== converted) input.dispose()
  if (converted !== x) converted.dispose()
  return loss
}
