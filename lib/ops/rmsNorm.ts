import { sameRoot, withGradient, type AddNormOptions, type NormOptions } from './layerNorm.js'
import { isRecorded } from './recording.js'
import { withRows } from './rows.js'
import { recordedMany } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { generator } from '../tensor/random.js'
import { empty, emptyLike, sizeOf, type Tensor } from '../tensor/tensor.js'

export interface RMSNormOptions extends NormOptions {
  /** The weight is stored as w - 1, as in Gemma. */
  unitOffset?: boolean
}

/**
 * Divides the last dimension by its root mean square, then scales it: y = x / sqrt(mean(x²) + eps) * weight.
 * @param x `[…, C]`   @param weight `[C]` float32
 * @returns `[…, C]` in the dtype of `x`
 * @throws ShapeError if `weight` is not `[C]`; ConfigError for `unitOffset` without a weight
 * @see Zhang, Sennrich 2019, https://arxiv.org/abs/1910.07467
 */
export function rmsNorm(x: Tensor, weight?: Tensor, { eps = 1e-6, unitOffset = false }: RMSNormOptions = {}): Tensor {
  return withRows(x, rows => normalise(rows, undefined, weight, eps, unitOffset, 0).y)
}

/**
 * sum = x + dropout(residual), y = rmsNorm(sum), in one pass over memory.
 * @param x `[…, C]` the residual stream   @param residual `[…, C]` output of the sublayer   @param weight `[C]` float32
 * @throws ShapeError if the shapes do not fit; ConfigError if `dropout` is not in [0, 1]
 */
export function addRMSNorm(
  x: Tensor, residual: Tensor, weight?: Tensor, { eps = 1e-6, unitOffset = false, dropout = 0 }: RMSNormOptions & AddNormOptions = {},
): { y: Tensor, sum: Tensor } {
  return withRows(x, rows => withRows(residual, other => {
    const { y, sum } = normalise(rows, other, weight, eps, unitOffset, dropout)
    return { y, sum: sum! }
  }))
}

function normalise(
  x: Tensor, residual: Tensor | undefined, weight: Tensor | undefined, eps: number, unitOffset: boolean, dropout: number,
): { y: Tensor, sum: Tensor | undefined } {
  const y = emptyLike(x), sum = residual && emptyLike(x)
  const rstd = isRecorded(x, residual, weight) ? empty([sizeOf(x.shape.slice(0, -1))], 'float32', x.device) : undefined
  const rng = dropout > 0 ? generator.tensor(x.device) : undefined, call = dropout > 0 ? generator.nextCall() : 0
  native.rmsNorm(x.handle, residual?.handle ?? 0, weight?.handle ?? 0, rng?.handle ?? 0, y.raw, sum?.raw ?? 0, rstd?.raw ?? 0, eps, dropout, call, unitOffset)
  const inputs = [x, residual, weight], saved = [sum ?? x, weight, rstd, rng]
  recordedMany(sum ? [y, sum] : [y], { name: 'rmsNorm', inputs, saved }, ([dy, dsum = 0], into, [s_, weight_, rstd_, rng_]) => {
    withGradient(dy!, x, dy_ => {
      const write = (dx: number, dresidual: number, dweight: number) => {
        native.rmsNormBackward(dy_, dsum, s_!, weight_!, rstd_!, rng_!, dx, dresidual, dweight, dropout, call, unitOffset)
      }
      if (!sameRoot(x, residual)) {
        write(into(x), into(residual), into(weight))
      } else {
        write(into(x), 0, into(weight))
        write(0, into(residual), 0)
      }
    })
  })
  rstd?.dispose()
  return { y, sum }
}
