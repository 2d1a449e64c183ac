import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { tensor } from '../tensor/create.js'
import { native } from '../tensor/native.js'
import { type CompleteStep, on, Optimizer, type ParameterGroup } from './optimizer.js'

export interface AdamOptions {
  /** Default 1e-3. */
  learningRate: number
  /** Decay rates of the averages of gradients and of their squares. Default [0.9, 0.999]. */
  betas: readonly [number, number]
  /** Default 1e-8. */
  eps: number
  /** Default 0.01 (AdamW), 0 (Adam). */
  weightDecay: number
  /** Steps before the group's first one, for parameters that are frozen until then: bias correction counts from there. Default 0. */
  startsAt?: number
}

abstract class AdamFamily extends Optimizer<AdamOptions> {
  protected abstract readonly decoupled: boolean

  protected update(parameters: readonly [string, Parameter][], o: AdamOptions, step: CompleteStep): void {
    const [beta1, beta2] = o.betas, t = this.stepCount - (o.startsAt ?? 0)
    const hyper = tensor([o.learningRate, 1 - beta1, 1 - beta2, o.eps, 1 - beta1 ** t, 1 - beta2 ** t, step.gradientScale, o.weightDecay], null, on(step.norm))
    const { params, grads } = this.handlesOf(parameters)
    native.adamW(params, grads, this.state('m', parameters), this.state('v', parameters), 0, hyper.raw, step.norm.raw, step.maxNorm, this.decoupled, step.skipNonFinite, step.lossScale?.handle ?? 0)
    hyper.dispose()
  }
}

/** Adam with decoupled weight decay (Loshchilov, Hutter 2019, https://arxiv.org/abs/1711.05101), as torch.optim.AdamW computes it. */
export class AdamW extends AdamFamily {
  protected readonly decoupled = true
  constructor(of: Module | readonly ParameterGroup<AdamOptions>[], options: Partial<AdamOptions> = {}) {
    super(of, { learningRate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, ...options })
  }
}

/** Adam (Kingma, Ba 2015, https://arxiv.org/abs/1412.6980); weight decay is added to the gradient, as torch.optim.Adam does. */
export class Adam extends AdamFamily {
  protected readonly decoupled = false
  constructor(of: Module | readonly ParameterGroup<AdamOptions>[], options: Partial<AdamOptions> = {}) {
    super(of, { learningRate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, ...options })
  }
}
