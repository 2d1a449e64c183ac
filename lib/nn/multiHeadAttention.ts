import { ConfigError } from '../errors.js'
import { attention, type AttentionOptions } from '../ops/attention.js'
import { linear } from '../ops/linear.js'
import { isRecorded } from '../ops/recording.js'
import { reshape, slice, split, splitHeads } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'
import type { KeyValueCache } from './keyValueCache.js'
import { Linear } from './layers.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'
import { intoStream } from './precision.js'

export type AttentionMask = Pick<AttentionOptions, 'causal' | 'keyPadding' | 'bias' | 'window'>

/**
 * Multi-head attention with the parameters of torch.nn.MultiheadAttention: queries, keys and values in one weight `[3C, C]`, so that self-attention is one product
 * whose thirds are read in place.
 * @see Vaswani et al. 2017, section 3.2.2
 */
export class MultiHeadAttention extends Module {
  readonly in_proj_weight: Parameter
  readonly in_proj_bias: Parameter | undefined
  readonly out_proj: Linear

  constructor(readonly width: number, readonly heads: number, readonly options: { dropout?: number, bias?: boolean } = {}) {
    super()
    if (width % heads !== 0) throw new ConfigError(`MultiHeadAttention: width ${width} is not a multiple of the ${heads} heads`)
    this.in_proj_weight = new Parameter([3 * width, width], { kind: 'xavierUniform' })
    this.in_proj_bias = options.bias === false ? undefined : new Parameter([3 * width], { kind: 'zeros' })
    this.out_proj = new Linear(width, width, { bias: options.bias !== false, initialization: { kind: 'kaimingUniform', slope: Math.sqrt(5) }, ...intoStream })
  }

  /**
   * Self-attention.
   * @param x `[B, T, C]`
   * @param cache keys and values of earlier positions; those of `x` are added to it
   */
  forward(x: Tensor, mask: AttentionMask = {}, cache?: KeyValueCache): Tensor {
    const [q, k, v] = splitHeads(linear(x, this.in_proj_weight, this.in_proj_bias), 3, this.heads) as [Tensor, Tensor, Tensor]
    const seen = cache ? cache.append(k, v) : { keys: k, values: v }
    return this.attend(q, seen.keys, seen.values, mask)
  }

  /** Attention over another sequence. @param x `[B, T, C]` @param keys `[B, S, H, D]` from `project` */
  cross(x: Tensor, { keys, values }: { keys: Tensor, values: Tensor }, mask: AttentionMask = {}): Tensor {
    const [weight, bias] = this.queryPart()
    return this.attend(splitHeads(linear(x, weight, bias), 1, this.heads)[0]!, keys, values, mask)
  }

  /** Keys and values of a memory `[B, S, C]`, as heads `[B, S, H, D]`. */
  project(memory: Tensor): { keys: Tensor, values: Tensor } {
    const [, weight] = this.cut(this.in_proj_weight), bias = this.in_proj_bias && this.cut(this.in_proj_bias)[1]
    const [keys, values] = splitHeads(linear(memory, weight!, bias), 2, this.heads) as [Tensor, Tensor]
    return { keys, values }
  }

  private attend(q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask): Tensor {
    const y = attention(q, k, v, { ...mask, dropout: this.training ? this.options.dropout ?? 0 : 0 })   // B T H D
    return this.out_proj.forward(reshape(y, [...y.shape.slice(0, 2), this.width]))
  }

  /** Where gradients flow, those of all parts are written into one buffer; else the part for queries alone will do. */
  private queryPart(): [weight: Tensor, bias: Tensor | undefined] {
    const { in_proj_weight: weight, in_proj_bias: bias, width } = this
    if (isRecorded(weight, bias)) return [this.cut(weight)[0]!, bias && this.cut(bias)[0]]
    return [slice(weight, 0, 0, width), bias && slice(bias, 0, 0, width)]
  }

  private cut(p: Parameter): Tensor[] { return split(p, [this.width, 2 * this.width], 0) }
}
