import { isRecorded } from './recording.js'
import { withRows } from './rows.js'
import { recordedMany } from '../autograd/tape.js'
import { dtypeId } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { generator } from '../tensor/random.js'
import { empty, emptyLike, sizeOf, type Tensor } from '../tensor/tensor.js'

export interface NormOptions {
  /** Added to the variance. */
  eps?: number
}
export interface AddNormOptions extends NormOptions {
  /** Rate at which elements of `residual` are dropped; 0 outside of training. */
  dropout?: number
}

/**
 * Normalises the last dimension to mean 0 and variance 1, then scales and shifts it: y = (x - mean) / sqrt(variance + eps) * weight + bias.
 * @param x `[…, C]`   @param weight `[C]` float32   @param bias `[C]` float32
 * @returns `[…, C]` in the dtype of `x`
 * @throws ShapeError if `weight` or `bias` is not `[C]`
 * @see Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450
 */
export function layerNorm(x: Tensor, weight?: Tensor, bias?: Tensor, { eps = 1e-5 }: NormOptions = {}): Tensor {
  return withRows(x, rows => normalise(rows, undefined, weight, bias, eps, 0).y)
}

/**
 * The step between two sublayers in one pass over memory: sum = x + dropout(residual), y = layerNorm(sum). A pre-norm block goes on with both (sum is the
 * residual stream), a post-norm block with y.
 * @param x `[…, C]` the residual stream   @param residual `[…, C]` output of the sublayer   @param weight `[C]` float32   @param bias `[C]` float32
 * @throws ShapeError if the shapes do not fit; ConfigError if `dropout` is not in [0, 1]
 */
export function addLayerNorm(
  x: Tensor, residual: Tensor, weight?: Tensor, bias?: Tensor, { eps = 1e-5, dropout = 0 }: AddNormOptions = {},
): { y: Tensor, sum: Tensor } {
  return withRows(x, rows => withRows(residual, other => {
    const { y, sum } = normalise(rows, other, weight, bias, eps, dropout)
    return { y, sum: sum! }
  }))
}

function normalise(
  x: Tensor, residual: Tensor | undefined, weight: Tensor | undefined, bias: Tensor | undefined, eps: number, dropout: number,
): { y: Tensor, sum: Tensor | undefined } {
  const y = emptyLike(x), sum = residual && emptyLike(x)
  const statistics = isRecorded(x, residual, weight, bias) ? [0, 0].map(() => empty([sizeOf(x.shape.slice(0, -1))], 'float32', x.device)) : []
  const [mean, rstd] = statistics
  const rng = dropout > 0 ? generator.tensor(x.device) : undefined, call = dropout > 0 ? generator.nextCall() : 0
  native.layerNorm(x.handle, residual?.handle ?? 0, weight?.handle ?? 0, bias?.handle ?? 0, rng?.handle ?? 0,
    y.raw, sum?.raw ?? 0, mean?.raw ?? 0, rstd?.raw ?? 0, eps, dropout, call)
  const inputs = [x, residual, weight, bias], saved = [sum ?? x, weight, mean, rstd, rng]
  recordedMany(sum ? [y, sum] : [y], { name: 'layerNorm', inputs, saved }, ([dy, dsum = 0], into, [s_, weight_, mean_, rstd_, rng_]) => {
    withGradient(dy!, x, dy_ => {
      const write = (dx: number, dresidual: number, dweight: number, dbias: number) => {
        native.layerNormBackward(dy_, dsum, s_!, weight_!, mean_!, rstd_!, rng_!, dx, dresidual, dweight, dbias, dropout, call)
      }
      if (!sameRoot(x, residual)) {
        write(into(x), into(residual), into(weight), into(bias))
      } else {
        write(into(x), 0, into(weight), into(bias))
        write(0, into(residual), 0, 0)
      }
    })
  })
  for (const t of statistics) t.dispose()
  return { y, sum }
}

/** @internal Whether the gradients of both may lie in one buffer, so that one call cannot write them. */
export const sameRoot = (a: Tensor, b: Tensor | undefined): boolean => b !== undefined && (a.geometry?.root ?? a) === (b.geometry?.root ?? b)

/** @internal Calls `use` with `dy`, or with zeros like `x` where nothing depends on that output. */
export function withGradient(dy: number, { shape, dtype, device }: Tensor, use: (dy: number) => void): void {
  if (dy !== 0) { use(dy); return }
  const zeros = native.alloc(dtypeId(dtype), device.index, shape.length, ...shape)
  try {
    native.fill(zeros, 0)
    use(zeros)
  } finally {
    native.destroy(zeros)
  }
}
