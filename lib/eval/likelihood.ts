import { DataError } from '../errors.js'
import { checkPairs } from './segments.js'

/**
 * Perplexity: e to the mean negative log-likelihood of a token.
 * @param meanNegativeLogLikelihood in nats, as cross-entropy gives it; the mean over tokens, not over batches of unequal size
 * @returns 1 or more; infinite where the mean is above 709
 * @throws DataError if it is negative or NaN
 */
export function perplexity(meanNegativeLogLikelihood: number): number {
  if (!(meanNegativeLogLikelihood >= 0)) {
    throw new DataError(`perplexity: the mean negative log-likelihood is ${meanNegativeLogLikelihood}, expected 0 or more`)
  }
  return Math.exp(meanNegativeLogLikelihood)
}

/**
 * Mean negative log-likelihood of the true classes, in nats. Probabilities are kept away from 0 by 2^-52, as in scikit-learn, so that it
 * stays finite.
 * @param probabilities `[N, classes]`, or `[N]` for the positive one of two classes   @param labels `[N]` class indices
 * @throws DataError if lengths differ, a probability is outside of 0 to 1, a row does not sum to 1 (within 0.001), or a label is no class
 * index
 */
export function logLoss(probabilities: ArrayLike<number> | readonly ArrayLike<number>[], labels: ArrayLike<number>): number {
  checkPairs('logLoss', 'probabilities', probabilities, 'labels', labels)
  const tiny = 2 ** -52
  let sum = 0
  for (let i = 0; i < labels.length; i++) {
    const own = probabilities[i]!
    const row = typeof own === 'number' ? [1 - own, own] : Array.from(own)
    const rowSum = row.reduce((a, b) => a + b, 0)
    if (!row.every((p) => p >= 0 && p <= 1) || Math.abs(rowSum - 1) > 1e-3) {
      throw new DataError(`logLoss: probabilities[${i}] has ${row.length} values that sum to ${rowSum}, ` +
        'expected values from 0 to 1 that sum to 1; apply softmax to logits first')
    }
    const p = row[labels[i]!]
    if (p === undefined) throw new DataError(`logLoss: labels[${i}] is ${labels[i]}, expected a class index from 0 to ${row.length - 1}`)
    sum -= Math.log(Math.min(Math.max(p, tiny), 1 - tiny))
  }
  return sum / labels.length
}
