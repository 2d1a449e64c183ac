import { ConfigError } from '../errors.js'
import { attention, type AttentionOptions } from '../ops/attention.js'
import { reshape, slice } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'
import type { KeyValueCache } from './keyValueCache.js'
import { Linear, RMSNorm } from './layers.js'
import { Module } from './module.js'
import { intoStream, rounded } from './precision.js'
import { attentionSublayer } from './recompute.js'
import type { Turn } from './rotaryPositions.js'

export interface GroupedQueryOptions {
  /** C */
  width: number
  /** H, of queries */
  heads: number
  /** G, of keys and values; divides `heads` */
  groups: number
  /** D */
  headDim: number
  /** Of queries, keys and values; default false. */
  bias?: boolean
  /** Of the output; default false. */
  outputBias?: boolean
  /** Epsilon of an RMS norm over each head of queries and keys, as in Qwen3; default: none. */
  headNorm?: number | undefined
  /** On attention weights; default 0. */
  dropout?: number
  /** A query sees so many positions, its own among them; 0 (default): all. */
  window?: number
  /** Of the scores; default 1 / sqrt(D). */
  scale?: number
  /** Bound of the scores; 0 (default): none. */
  softcap?: number
  /** Standard deviation of the first weights. */
  std: number
}

/** What a decoder layer is given besides its input. */
export interface DecoderContext {
  /** Of rotary positions. */
  turn?: Turn | undefined
  /** Of the scores: ALiBi. */
  bias?: Tensor | undefined
  keyPadding?: Tensor | undefined
  /** Where the texts of a packed row begin, and where the last ends, `[N + 1]` int32: none sees another. */
  offsets?: Tensor | undefined
  cache?: KeyValueCache | undefined
}

/**
 * Causal self-attention whose heads share keys and values in groups, with rotary positions: what LLaMA and its kin have.
 * @see Ainslie et al. 2023, https://arxiv.org/abs/2305.13245
 */
export class GroupedQueryAttention extends Module {
  readonly q_proj: Linear
  readonly k_proj: Linear
  readonly v_proj: Linear
  readonly o_proj: Linear
  readonly q_norm: RMSNorm | undefined
  readonly k_norm: RMSNorm | undefined

  constructor(private readonly options: GroupedQueryOptions) {
    super()
    const { width, heads, groups, headDim, bias = false, outputBias = false, headNorm, std } = options
    if (heads % groups !== 0) throw new ConfigError(`attention: ${heads} heads of queries cannot share ${groups} heads of keys and values`)
    const initialization = { kind: 'normal', std } as const
    this.q_proj = new Linear(width, heads * headDim, { bias, initialization })
    this.k_proj = new Linear(width, groups * headDim, { bias, initialization })
    this.v_proj = new Linear(width, groups * headDim, { bias, initialization })
    this.o_proj = new Linear(heads * headDim, width, { bias: outputBias, initialization, ...intoStream })
    this.q_norm = headNorm === undefined ? undefined : new RMSNorm(headDim, { eps: headNorm })
    this.k_norm = headNorm === undefined ? undefined : new RMSNorm(headDim, { eps: headNorm })
  }

  /** @param x `[B, T, C]` */
  forward(x: Tensor, context: DecoderContext): Tensor {
    const { headDim, window = 0, scale = 1 / Math.sqrt(headDim), softcap = 0, dropout = 0 } = this.options, [B, T] = x.shape as [number, number, number]
    const input = rounded(x), heads = (projection: Linear): Tensor => reshape(projection.forward(input), [B, T, projection.outFeatures / headDim, headDim])
    const q = heads(this.q_proj), k = heads(this.k_proj)
    const y = turnedAttention(this.q_norm?.forward(q) ?? q, this.k_norm?.forward(k) ?? k, heads(this.v_proj), context,
      { window, scale, softcap, dropout: this.training ? dropout : 0 })
    return this.o_proj.forward(reshape(y, [B, T, this.o_proj.inFeatures]))
  }
}

/**
 * Causal attention of queries `[B, T, H, D]` over keys and values `[B, T, G, D]` and those in the cache; with rotary positions queries and keys are turned first.
 * @returns `[B, T, H, D]`
 */
export function turnedAttention(
  q: Tensor, k: Tensor, v: Tensor, { turn = x => x, bias, keyPadding, offsets, cache }: DecoderContext,
  options: Pick<AttentionOptions, 'window' | 'scale' | 'softcap' | 'dropout'>,
): Tensor {
  const turned = turn(k), { keys, values } = cache ? cache.append(turned, v) : { keys: turned, values: v }
  // A cache with a window holds the newest positions alone.
  const padding = keyPadding && { keyPadding: keyPadding.shape[1] === keys.shape[1] ? keyPadding : slice(keyPadding, 1, -keys.shape[1]!) }
  return attention(turn(q), keys, values, { ...options, ...padding, ...(bias ? { bias } : {}), ...packed(offsets), causal: true })
}

/**
 * The attention sublayer of a decoder layer (`attentionSublayer`): what of its context may be gone by the backward pass, the bias and the positions, is kept for it.
 * @param fn of x and the context @param x `[B, T, C]`
 */
export function decoderAttention(fn: (x: Tensor, context: DecoderContext) => Tensor, x: Tensor, context: DecoderContext): Tensor {
  const { bias, turn } = context, positions = turn?.positions
  return attentionSublayer((z, ...kept) => fn(z!, { ...context, bias: bias && kept[0], turn: positions ? turn!.again!(kept.at(-1)!) : turn }), x, ...[bias, positions].filter(t => t !== undefined))
}

/** Offsets of packed texts as attention takes them. */
export const packed = (offsets: Tensor | undefined): Pick<AttentionOptions, 'queryOffsets' | 'keyOffsets'> => offsets ? { queryOffsets: offsets, keyOffsets: offsets } : {}
