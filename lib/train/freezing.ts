import { ConfigError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { heights } from '../optim/groups.js'
import type { TrainingSettings } from './trainingOptions.js'

/** Which parameters are trained, and from which step on. What it changes in the model is put back by `restore`. */
export class Freezing {
  private readonly frozen: readonly Parameter[]
  private readonly layers: readonly { parameter: Parameter, startsAt: number }[]

  /** @throws ConfigError if a pattern is none, or matches nothing, or nothing is left to train */
  constructor(model: Module, { freeze, unfreezeEvery }: Pick<TrainingSettings, 'freeze' | 'unfreezeEvery'>) {
    const patterns = (freeze === undefined ? [] : [freeze].flat()).map(expression), trained = [...model.namedParameters()].filter(([, p]) => p.requiresGrad)
    for (const pattern of patterns)
      if (!trained.some(([name]) => pattern.test(name))) throw new ConfigError(`Trainer: freeze has ${String(pattern)}, which matches no parameter that would be trained. There are ${trained.slice(0, 4).map(([name]) => name).join(', ')}, …`)
    const matches = (name: string): boolean => patterns.some(pattern => pattern.test(name)), left = trained.filter(([name]) => !matches(name))
    if (left.length === 0) throw new ConfigError('Trainer: freeze leaves nothing to train')
    this.frozen = trained.filter(([name]) => matches(name)).map(([, p]) => p)
    for (const p of this.frozen) p.requiresGrad = false
    const startsAt = startsOf(model, unfreezeEvery), of = heights(model)
    this.layers = unfreezeEvery === undefined ? [] : left.map(([name, parameter]) => ({ parameter, startsAt: startsAt(of.get(name)!) }))
  }

  /** Before a step is taken: layers whose step has come are trained. */
  apply(step: number): void { for (const { parameter, startsAt } of this.layers) parameter.requiresGrad = step >= startsAt }

  restore(): void { for (const p of [...this.frozen, ...this.layers.map(({ parameter }) => parameter)]) p.requiresGrad = true }
}

/** The step at which parameters of a height begin: the topmost that there are at the first, each below so many steps later. */
export function startsOf(model: Module, unfreezeEvery: number | undefined): (height: number) => number {
  if (unfreezeEvery === undefined) return () => 0
  const of = heights(model), top = Math.min(...[...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([name]) => of.get(name)!))
  return height => (height - top) * unfreezeEvery
}

function expression(pattern: string): RegExp {
  try {
    return new RegExp(pattern)
  } catch (cause) {
    throw new ConfigError(`Trainer: freeze has '${pattern}', which is no regular expression (${(cause as Error).message})`, { cause })
  }
}
