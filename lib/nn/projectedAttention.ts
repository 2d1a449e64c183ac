import { attention } from '../ops/attention.js'
import { reshape } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'
import type { KeyValueCache } from './keyValueCache.js'
import type { Linear } from './layers.js'
import { Module } from './module.js'
import type { AttentionMask } from './multiHeadAttention.js'
import { rounded } from './precision.js'

export interface ProjectedAttentionOptions {
  /** H */
  heads: number
  /** Of the scores. Default: 1 / sqrt(D). */
  scale?: number
  /** On attention weights. */
  dropout: number
}

/** Multi-head attention with a product each for queries, keys, values and output, for self-attention and for attention to a memory. Families differ in their names. */
export abstract class ProjectedAttention extends Module {
  protected abstract readonly products: { query: Linear, key: Linear, value: Linear, output: Linear }

  constructor(private readonly options: ProjectedAttentionOptions) { super() }

  /**
   * Self-attention.
   * @param x `[B, T, C]`
   * @param cache keys and values of earlier positions; those of `x` are added to it
   */
  forward(x: Tensor, mask: AttentionMask = {}, cache?: KeyValueCache): Tensor {
    const input = rounded(x), { keys, values } = this.project(input)
    return this.cross(input, cache ? cache.append(keys, values) : { keys, values }, mask)
  }

  /** Attention over another sequence. @param x `[B, T, C]` @param keys `[B, S, H, D]` from `project` */
  cross(x: Tensor, { keys, values }: { keys: Tensor, values: Tensor }, mask: AttentionMask = {}): Tensor {
    const { scale, dropout } = this.options, { query, output } = this.products
    const y = attention(this.toHeads(query, x), keys, values, { ...mask, ...(scale === undefined ? {} : { scale }), dropout: this.training ? dropout : 0 })   // B T H D
    return output.forward(reshape(y, [...y.shape.slice(0, 2), output.inFeatures]))
  }

  /** Keys and values of a memory `[B, S, C]`, as heads `[B, S, H, D]`. */
  project(memory: Tensor): { keys: Tensor, values: Tensor } {
    const input = rounded(memory)
    return { keys: this.toHeads(this.products.key, input), values: this.toHeads(this.products.value, input) }
  }

  private toHeads(layer: Linear, x: Tensor): Tensor {
    const { heads } = this.options
    return reshape(layer.forward(x), [x.shape[0]!, x.shape[1]!, heads, layer.outFeatures / heads])
  }
}
