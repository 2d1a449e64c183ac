import { ConfigError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import type { ParameterGroup } from './optimizer.js'

/**
 * Two groups: weights (two or more dimensions), and biases and norms, which are not decayed.
 * @param weightDecay of the first group
 */
export function decayGroups<Options extends { weightDecay: number }>(model: Module, weightDecay: number): ParameterGroup<Options>[] {
  if (!(weightDecay >= 0)) throw new ConfigError(`weightDecay is ${weightDecay}, expected a number from 0`)
  const decayed: [string, Parameter][] = [], plain: [string, Parameter][] = []
  for (const entry of model.namedParameters()) if (entry[1].requiresGrad) (entry[1].rank >= 2 ? decayed : plain).push(entry)
  return [
    { parameters: decayed, options: { weightDecay } as Partial<Options> },
    { parameters: plain, options: { weightDecay: 0 } as Partial<Options> },
  ].filter(g => g.parameters.length > 0)
}
