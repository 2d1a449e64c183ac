import type { GateActivation } from '../ops/codes.js'
import { gatedActivation } from '../ops/gatedActivation.js'
import { mul } from '../ops/mul.js'
import { split } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'
import { Linear } from './layers.js'
import { Module } from './module.js'
import { intoStream, rounded } from './precision.js'

/** The activation of a gate: one that is computed with the product behind it, or any function. */
export type Gate = GateActivation | ((x: Tensor) => Tensor)

/** activation(gate) · up. @param gate `[…, F]` @param up `[…, F]` */
export const gated = (gate: Tensor, up: Tensor, activation: Gate): Tensor =>
  typeof activation === 'string' ? gatedActivation(gate, up, activation) : mul(activation(gate), up)

/** W(activation(x Gᵀ) · x Uᵀ): SwiGLU with 'silu', GEGLU with 'gelu' or 'geluTanh'. @see Shazeer 2020, https://arxiv.org/abs/2002.05202 */
export class GatedFeedForward extends Module {
  readonly gate_proj: Linear
  readonly up_proj: Linear
  readonly down_proj: Linear

  /** @param std of the first weights */
  constructor(width: number, inner: number, private readonly activation: Gate, std: number, { bias = false } = {}) {
    super()
    const options = { bias, initialization: { kind: 'normal', std } } as const
    this.gate_proj = new Linear(width, inner, options)
    this.up_proj = new Linear(width, inner, options)
    this.down_proj = new Linear(inner, width, { ...options, ...intoStream })
  }

  /** @param x `[…, C]` */
  forward(x: Tensor): Tensor {
    const input = rounded(x)
    return this.down_proj.forward(gated(this.gate_proj.forward(input), this.up_proj.forward(input), this.activation))
  }
}

/** The same with gate and up as one product, in that order, as in Phi-3. */
export class FusedGatedFeedForward extends Module {
  readonly gate_up_proj: Linear
  readonly down_proj: Linear

  /** @param std of the first weights */
  constructor(width: number, private readonly inner: number, private readonly activation: Gate, std: number) {
    super()
    const options = { bias: false, initialization: { kind: 'normal', std } } as const
    this.gate_up_proj = new Linear(width, 2 * inner, options)
    this.down_proj = new Linear(inner, width, { ...options, ...intoStream })
  }

  /** @param x `[…, C]` */
  forward(x: Tensor): Tensor {
    const [gate, up] = split(this.gate_up_proj.forward(x), this.inner, -1) as [Tensor, Tensor]
    return this.down_proj.forward(gated(gate, up, this.activation))
  }
}
