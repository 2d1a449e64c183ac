import { attention, type AttentionOptions } from '../ops/attention.js'
import { reshape } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'
import type { KeyValueCache } from './keyValueCache.js'
import type { Linear } from './layers.js'
import { rounded } from './precision.js'

/** Which keys a query sees, the rate at which attention weights are dropped, and keys and values of earlier positions. */
export interface SelfAttentionOptions extends Pick<AttentionOptions, 'causal' | 'keyPadding' | 'bias' | 'dropout'> { cache?: KeyValueCache | undefined }

/** Attention of a sequence to itself, before the output's product; each family has other names for the three layers. @param x `[B, T, C]` @returns `[B, T, C]` */
export function selfAttention(x: Tensor, [query, key, value]: readonly [Linear, Linear, Linear], heads: number, { cache, ...options }: SelfAttentionOptions = {}): Tensor {
  const [B, T] = x.shape as [number, number, number], input = rounded(x)
  const toHeads = (layer: Linear): Tensor => reshape(layer.forward(input), [B, T, heads, layer.outFeatures / heads])
  const k = toHeads(key), v = toHeads(value), { keys, values } = cache ? cache.append(k, v) : { keys: k, values: v }
  return reshape(attention(toHeads(query), keys, values, options), [B, T, query.outFeatures])
}
