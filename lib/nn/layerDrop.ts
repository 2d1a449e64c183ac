import { Random } from '../data/random.js'
import { generator } from '../tensor/random.js'

/**
 * Whether a layer is left out of this pass: with probability `rate`, by the seed, the step and the order of the calls.
 * @see Fan, Grave, Joulin 2019, https://arxiv.org/abs/1909.11556
 */
export function isLeftOut(rate: number): boolean {
  if (rate === 0) return false
  const { seed, step, call } = generator.nextChoice()
  return new Random(seed, `layer drop ${step}`, call).uniform() < rate
}
