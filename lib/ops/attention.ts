import { contiguous } from './copy.js'
import { isRecorded } from './recording.js'
import { expand } from './view.js'
import { recorded } from '../autograd/tape.js'
import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { generator } from '../tensor/random.js'
import { contiguousStrides, empty, emptyLike, type Tensor } from '../tensor/tensor.js'

export interface AttentionOptions {
  /** Query i sees only the keys j <= i + S - T: the last query sees all of them. */
  causal?: boolean
  /** `[B, S]` bool, int32 or uint8: nonzero where a key may be attended. */
  keyPadding?: Tensor
  /** Added to the scores; broadcasts to `[B, H, T, S]`. float32 or the dtype of `q`; may require a gradient. */
  bias?: Tensor
  /** Query i sees only the keys j > i + S - T - window; 0: all. */
  window?: number
  /** Of the scores; 1 / sqrt(D) by default. */
  scale?: number
  /** Bound c of the scores before masks and bias, which become c tanh(score / c); 0 (default): none. */
  softcap?: number
  /** Rate at which attention weights are dropped; 0 outside of training. */
  dropout?: number
  /** int32 `[N + 1]`: packed sequences. B is 1, and sequence n has the queries from `queryOffsets[n]` to `queryOffsets[n + 1]`, and its keys likewise. */
  queryOffsets?: Tensor
  keyOffsets?: Tensor
}

/**
 * Scaled dot-product attention, softmax(scale * q kᵀ + bias) v, by tiles: the scores are never stored. Rows that see no key are zeros.
 * Layouts are general, so that q, k and v may be thirds of one product.
 * @param q `[B, T, H, D]`   @param k `[B, S, G, D]`   @param v `[B, S, G, D]`: query head h reads key/value head h / (H / G)
 * @returns `[B, T, H, D]` in the dtype of `q`
 * @throws ShapeError if the shapes do not fit, or G does not divide H; DTypeError if dtypes differ; ConfigError if `dropout`, `window` or `softcap` is out of range;
 * IndexError (when the result is read) if offsets fall or leave the tensor
 * @see Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Dao et al. 2022, https://arxiv.org/abs/2205.14135; Gemma team 2024, https://arxiv.org/abs/2408.00118 (soft cap)
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const copies: Tensor[] = []
  const own = (t: Tensor, made: Tensor): Tensor => {
    if (made !== t) copies.push(made)
    return made
  }
  try {
    const [q_, k_, v_] = ([['q', q], ['k', k], ['v', v]] as const).map(([name, t]) => {
      if (t.rank !== 4) throw new ShapeError(`attention: ${name} is [${t.shape.join(', ')}], expected 4 dimensions: batch, sequence, heads, head width`)
      return t.strides[3] === 1 || t.shape[3]! <= 1 ? t : own(t, contiguous(t))
    }) as [Tensor, Tensor, Tensor]
    const { bias } = options, scores = [q.shape[0]!, q.shape[2]!, q.shape[1]!, k.shape[1]!]
    return attend(q_, k_, v_, bias && own(bias, fitting(bias, scores)), scores, options)
  } finally {
    for (const t of copies) t.dispose()   // the tape keeps what it saved
  }
}

function attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | undefined, scores: readonly number[], options: AttentionOptions): Tensor {
  const [B, H, T] = scores as [number, number, number], D = q.shape[3]!
  const { causal = false, keyPadding, window = 0, scale = 1 / Math.sqrt(D), dropout = 0, softcap = 0, queryOffsets, keyOffsets } = options
  const y = emptyLike(q)
  const lse = isRecorded(q, k, v, bias) ? empty([B, H, T], 'float32', q.device) : undefined
  const rng = dropout > 0 ? generator.tensor() : undefined, call = dropout > 0 ? generator.nextCall() : 0
  withBias(bias?.handle ?? 0, bias, scores, handle => {
    native.attention(q.handle, k.handle, v.handle, y.raw, lse?.raw ?? 0, keyPadding?.handle ?? 0, handle, queryOffsets?.handle ?? 0, keyOffsets?.handle ?? 0,
      rng?.handle ?? 0, causal, window, scale, dropout, call, softcap)
  })
  const inputs = [q, k, v, bias], saved = [...inputs, y, lse, keyPadding, queryOffsets, keyOffsets, rng]
  recorded(y, { name: 'attention', inputs, saved }, (dy, into, [q_, k_, v_, bias_, y_, lse_, padding_, queryOffsets_, keyOffsets_, rng_]) => {
    withBias(bias_!, bias, scores, handle => {
      const write = (dq: number, dk: number, dv: number, dbias: number) => {
        native.attentionBackward(dy, q_!, k_!, v_!, y_!, lse_!, padding_!, handle, queryOffsets_!, keyOffsets_!, rng_!, dq, dk, dv, dbias,
          causal, window, scale, dropout, call, softcap)
      }
      withBiasGradient(into(bias), bias, dbias => {
        if (disjoint(q, k) && disjoint(k, v) && disjoint(q, v)) {
          write(into(q), into(k), into(v), dbias)
        } else {   // attention(x, x, x): one buffer takes several gradients, one after the other
          write(into(q), 0, 0, dbias)
          write(0, into(k), 0, 0)
          write(0, 0, into(v), 0)
        }
      })
    })
  })
  lse?.dispose()
  return y
}

/** The bias in four dimensions or less that fit the scores, with a row of its own for every key. */
function fitting(bias: Tensor, scores: readonly number[]): Tensor {
  const fits = bias.rank <= 4 && bias.shape.every((n, d) => n === 1 || n === scores[d + 4 - bias.rank])
  if (!fits) throw new ShapeError(`attention: bias is [${bias.shape.join(', ')}], which does not broadcast to the scores [${scores.join(', ')}]`)
  const keys = scores[3]!
  return bias.shape.at(-1) === keys ? bias : expand(bias, [...bias.shape.slice(0, -1), keys])
}

/** Calls `use` with a view of the bias over all scores: steps of 0 where it is broadcast. */
function withBias(handle: number, bias: Tensor | undefined, scores: readonly number[], use: (handle: number) => void): void {
  if (!bias) { use(0); return }
  const lead = 4 - bias.rank, { strides, shape } = bias
  const steps = scores.map((_, d) => d < lead || shape[d - lead] === 1 ? 0 : strides[d - lead]!)
  const view = native.view(handle, 0, 4, ...scores, ...steps)
  try {
    use(view)
  } finally {
    native.destroy(view)
  }
}

/** Calls `use` with the gradient of the bias in four dimensions. */
function withBiasGradient(target: number, bias: Tensor | undefined, use: (target: number) => void): void {
  if (!bias || target === 0) { use(0); return }
  const shape = [...new Array<number>(4 - bias.rank).fill(1), ...bias.shape]
  const view = native.view(Math.abs(target), 0, 4, ...shape, ...gradientStrides(bias, shape))
  try {
    use(target < 0 ? -view : view)
  } finally {
    native.destroy(view)
  }
}

/** The gradient of a tensor is laid out like the tensor. */
function gradientStrides(bias: Tensor, shape: readonly number[]): number[] {
  return [...contiguousStrides(shape).slice(0, 4 - bias.rank), ...bias.strides]
}

/** Whether the gradients of two inputs share no element: other tensors, or parts of one product that lie side by side at some level of its layout. */
function disjoint(a: Tensor, b: Tensor): boolean {
  if ((a.geometry?.root ?? a) !== (b.geometry?.root ?? b)) return true
  if ((a.geometry?.offset ?? 0) > (b.geometry?.offset ?? 0)) return disjoint(b, a)
  const apart = (b.geometry?.offset ?? 0) - (a.geometry?.offset ?? 0), dims: { step: number, a: number, b: number }[] = []
  for (let d = 0; d < a.rank; d++) {
    const inA = a.shape[d]!, inB = b.shape[d]!, step = inA > 1 ? a.strides[d]! : b.strides[d]!
    if (inA > 1 && inB > 1 && step !== b.strides[d]) return false
    if (inA > 1 || inB > 1) dims.push({ step, a: inA, b: inB })
  }
  dims.sort((x, y) => y.step - x.step)
  return [...dims.keys(), dims.length].some(level => {
    const outer = dims.slice(0, level), inner = dims.slice(level), pitch = outer.at(-1)?.step ?? Infinity
    const extent = (side: 'a' | 'b'): number => inner.reduce((n, dim) => n + (dim[side] - 1) * dim.step, 1)
    return outer.every(({ step }) => step % pitch === 0) && apart >= extent('a') && apart + extent('b') <= pitch
  })
}
