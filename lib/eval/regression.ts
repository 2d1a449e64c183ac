import { DataError } from '../errors.js'
import { checkPairs } from './segments.js'

/**
 * Mean squared error.
 * @param predictions `[N]`   @param targets `[N]`
 * @throws DataError if the lengths differ, there are none, or a value is not finite
 */
export function meanSquaredError(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  return meanOf('meanSquaredError', predictions, targets, (difference) => difference ** 2)
}

/** Root of the mean squared error, in the unit of the targets. Parameters and errors as {@link meanSquaredError}. */
export function rootMeanSquaredError(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  return Math.sqrt(meanOf('rootMeanSquaredError', predictions, targets, (difference) => difference ** 2))
}

/** Mean absolute error, in the unit of the targets. Parameters and errors as {@link meanSquaredError}. */
export function meanAbsoluteError(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  return meanOf('meanAbsoluteError', predictions, targets, Math.abs)
}

/**
 * Coefficient of determination: 1 less the squared error over the targets' variance. For targets that are all the same it is 1 where the
 * predictions are exact and 0 where not, as in scikit-learn; NaN for fewer than two.
 * Parameters and errors as {@link meanSquaredError}.
 */
export function r2(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  checkFinite('r2', predictions, targets)
  if (targets.length < 2) return NaN
  const residual = meanOf('r2', predictions, targets, (difference) => difference ** 2)
  const variance = average(centred(targets).map((target) => target ** 2))
  return variance === 0 ? (residual === 0 ? 1 : 0) : 1 - residual / variance
}

/** Pearson's linear correlation, -1 to 1; NaN where either side is constant. Parameters and errors as {@link meanSquaredError}. */
export function pearson(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  checkFinite('pearson', predictions, targets)
  return correlation(predictions, targets)
}

/**
 * Spearman's rank correlation, -1 to 1: Pearson's of the ranks, equal values sharing the mean of theirs; NaN where either side is constant.
 * Parameters and errors as {@link meanSquaredError}.
 */
export function spearman(predictions: ArrayLike<number>, targets: ArrayLike<number>): number {
  checkFinite('spearman', predictions, targets)
  return correlation(ranks(predictions), ranks(targets))
}

function meanOf(metric: string, predictions: ArrayLike<number>, targets: ArrayLike<number>, term: (difference: number) => number): number {
  checkFinite(metric, predictions, targets)
  return average(Array.from(targets, (target, i) => term(predictions[i]! - target)))
}

function checkFinite(metric: string, predictions: ArrayLike<number>, targets: ArrayLike<number>): void {
  checkPairs(metric, 'predictions', predictions, 'targets', targets)
  for (let i = 0; i < targets.length; i++) {
    if (Number.isFinite(predictions[i]) && Number.isFinite(targets[i])) continue
    throw new DataError(`${metric}: pair ${i} is ${predictions[i]} and ${targets[i]}, expected finite numbers`)
  }
}

function average(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / values.length
}

/** The mean from the differences to the first value, whose digits are not lost where the values are large against their spread. */
function centred(values: ArrayLike<number>): Float64Array {
  const differences = Float64Array.from(values, (value) => value - values[0]!)
  const mean = average(differences)
  return differences.map((difference) => difference - mean)
}

function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (isConstant(a) || isConstant(b)) return NaN
  const x = centred(a), y = centred(b)
  const dot = (u: Float64Array, v: Float64Array) => u.reduce((sum, value, i) => sum + value * v[i]!, 0)
  return Math.max(-1, Math.min(1, dot(x, y) / Math.sqrt(dot(x, x)) / Math.sqrt(dot(y, y))))
}

function isConstant(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false
  return true
}

function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from(values, (_, i) => i).sort((i, j) => values[i]! - values[j]!)
  const result = new Float64Array(values.length)
  for (let start = 0; start < order.length;) {
    let end = start + 1
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++
    for (let k = start; k < end; k++) result[order[k]!] = (start + end + 1) / 2
    start = end
  }
  return result
}
