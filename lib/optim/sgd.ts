import { ConfigError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { tensor } from '../tensor/create.js'
import { native } from '../tensor/native.js'
import { type CompleteStep, on, Optimizer, type ParameterGroup } from './optimizer.js'

export interface SGDOptions {
  /** Default 1e-2. */
  learningRate: number
  momentum: number
  dampening: number
  nesterov: boolean
  weightDecay: number
}

/** Stochastic gradient descent with momentum, as torch.optim.SGD computes it (Sutskever et al. 2013). */
export class SGD extends Optimizer<SGDOptions> {
  constructor(of: Module | readonly ParameterGroup<SGDOptions>[], options: Partial<SGDOptions> = {}) {
    super(of, { learningRate: 1e-2, momentum: 0, dampening: 0, nesterov: false, weightDecay: 0, ...options })
    for (const { options: o } of this.groups)
      if (o.nesterov && (o.momentum <= 0 || o.dampening !== 0)) throw new ConfigError('SGD: nesterov needs a momentum above 0 and no dampening')
  }

  protected update(parameters: readonly [string, Parameter][], o: SGDOptions, step: CompleteStep): void {
    // Parameters that get their first gradient now start their momentum from it.
    const states = this.states.get('momentum')
    const [fresh, old] = [parameters.filter(([name]) => !states?.has(name)), parameters.filter(([name]) => states?.has(name))]
    for (const [list, first] of [[fresh, 1], [old, 0]] as const) {
      if (list.length === 0) continue
      const hyper = tensor([o.learningRate, o.momentum, o.dampening, o.weightDecay, step.gradientScale, first], null, on(step.norm))
      const { params, grads } = this.handlesOf(list)
      native.sgd(params, grads, o.momentum === 0 ? 0 : this.state('momentum', list), 0, hyper.raw, step.norm.raw, step.maxNorm, o.nesterov, step.skipNonFinite, step.lossScale?.handle ?? 0)
      hyper.dispose()
    }
  }
}
