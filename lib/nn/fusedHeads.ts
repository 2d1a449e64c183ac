import { reshape, select, slice } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'

/**
 * Queries, keys and values of one product, which lie group by group: the queries of the heads that share a key and a value, then the key, then the value. With as
 * many groups as heads that is query, key, value of each head in turn.
 * @param x `[B, T, (H + 2 G) D]`   @param heads H   @param groups G
 * @returns q `[B, T, H, D]`, k and v `[B, T, G, D]`; views where the layout allows it
 */
export function splitHeads(x: Tensor, heads: number, groups: number): { q: Tensor, k: Tensor, v: Tensor } {
  const [B, T, width] = x.shape as [number, number, number], shared = heads / groups, D = width / (heads + 2 * groups)
  const grouped = reshape(x, [B, T, groups, shared + 2, D])
  return { q: reshape(slice(grouped, 3, 0, shared), [B, T, heads, D]), k: select(grouped, 3, shared), v: select(grouped, 3, shared + 1) }
}
