import { nodeOf } from '#lib/autograd/tape.js'
import type { Tensor } from '#lib/tensor/tensor.js'

/** The levels of recomputation, the one that keeps everything first. */
export const levels = [false, true, 'attention'] as const

/** How many pieces of the computation of y will be computed again in its backward pass. */
export function recomputedPieces(y: Tensor): number {
  const found = new Set<object>(), waiting = [nodeOf(y)]
  let pieces = 0
  for (let node = waiting.pop(); waiting.length > 0 || node; node = waiting.pop()) {
    if (!node || found.has(node)) continue
    found.add(node)
    if (node.name === 'checkpoint') pieces++
    waiting.push(...node.inputs.map(nodeOf))
  }
  return pieces
}
