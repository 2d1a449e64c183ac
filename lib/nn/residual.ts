import { add } from '../ops/add.js'
import type { Tensor } from '../tensor/tensor.js'
import { dropout } from '../ops/dropout.js'

/** A norm that also adds: `LayerNorm`, `RMSNorm`. */
export interface ResidualNorm {
  forward(x: Tensor): Tensor
  add(x: Tensor, residual: Tensor, p?: number): { y: Tensor, sum: Tensor }
}

export interface ResidualOptions {
  /** x = x + f(norm(x)) (Xiong et al. 2020) instead of x = norm(x + f(x)) (Vaswani et al. 2017). */
  normFirst: boolean
  /** Rate at which elements of f's result are dropped; 0 outside of training. */
  dropout: number
}

/** Sublayers around one residual stream, each with its norm; the addition, dropout and norm in one pass. */
export function residual(x: Tensor, norms: readonly ResidualNorm[], sublayers: readonly ((x: Tensor) => Tensor)[], { normFirst, dropout: p }: ResidualOptions): Tensor {
  if (!normFirst) {
    sublayers.forEach((f, i) => { x = norms[i]!.add(x, f(x), p).y })
    return x
  }
  let y = norms[0]!.forward(x)
  for (const [i, f] of sublayers.entries()) {
    const next = norms[i + 1]
    if (next) ({ y, sum: x } = next.add(x, f(y), p))
    else x = add(x, dropout(f(y), p))
  }
  return x
}
