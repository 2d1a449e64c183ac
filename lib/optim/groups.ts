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

/**
 * How far below the top of the model each parameter lies: 0 what follows the layers, 1 the last layer, and so on; embeddings lie below the first layer. Of models with several
 * stacks each counts its own.
 */
export function heights(model: Module): Map<string, number> {
  const names = [...model.namedParameters()].map(([name]) => name), places = names.map(name => /^(.*?\b(?:layers?|h|blocks?))\.(\d+)\./.exec(name))
  const depths = new Map<string, number>()
  for (const place of places) if (place) depths.set(place[1]!, Math.max(depths.get(place[1]!) ?? 0, Number(place[2]) + 1))
  const deepest = Math.max(0, ...depths.values()), first = places.findIndex(place => place)
  return new Map(names.map((name, i) => {
    const place = places[i]
    return [name, place ? depths.get(place[1]!)! - Number(place[2]) : i < first || /embed|\bwte\b|\bwpe\b/i.test(name) ? deepest + 1 : 0]
  }))
}

/**
 * Groups as `decayGroups` makes them, of each height its own: the learning rate falls by a factor from layer to layer downwards, and layers may begin later.
 * @param layerDecay factor from one layer to the one below @param startsAt step at which a height begins to be trained
 * @see Howard, Ruder 2018, https://arxiv.org/abs/1801.06146 (discriminative rates, gradual unfreezing)
 */
export function layerGroups<Options extends { weightDecay: number, learningRate: number, startsAt?: number }>(
  model: Module, { weightDecay, learningRate, layerDecay = 1, startsAt = () => 0 }: { weightDecay: number, learningRate: number, layerDecay?: number, startsAt?: (height: number) => number },
): ParameterGroup<Options>[] {
  const of = heights(model), wanted = new Map([...model.namedParameters()].filter(([, p]) => p.requiresGrad))
  // Rates of groups are kept in proportion to that of the first, which is the one that schedules give.
  const groups: ParameterGroup<Options>[] = [{ parameters: [], options: { learningRate } as Partial<Options> }]
  for (const height of [...new Set(of.values())].sort((a, b) => a - b)) {
    const options = { learningRate: learningRate * layerDecay ** height, startsAt: startsAt(height) }
    for (const decayed of [true, false]) {
      const parameters = [...wanted].filter(([name, p]) => of.get(name) === height && p.rank >= 2 === decayed)
      if (parameters.length > 0) groups.push({ parameters, options: { ...options, weightDecay: decayed ? weightDecay : 0 } as Partial<Options> })
    }
  }
  return groups
}
