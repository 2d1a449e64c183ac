import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { add } from '../ops/add.js'
import { sumOfSquares } from '../ops/reduce.js'
import { sqrt } from '../ops/unary.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

/** Lengths of the rows of W + ΔW, `[out]`: a constant to the gradient (Liu et al. 2024, section 4.3). @param weight `[out, in]` @param delta as `weight` */
export function rowNorms(weight: Tensor, delta?: Tensor): Tensor {
  return noGrad(() => scope(() => sqrt(sumOfSquares(delta ? add(weight, delta) : weight, -1))))
}

/** Magnitudes of DoRA, `[out]`: at first the lengths of the rows of the weight. */
export class Magnitude extends Module {
  readonly weight: Parameter

  constructor(norms: Tensor) {
    super()
    this.weight = new Parameter(norms.shape, norms.dataSync() as Float32Array)
  }
}
