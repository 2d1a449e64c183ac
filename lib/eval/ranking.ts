import { DataError } from '../errors.js'
import { checkPairs } from './segments.js'

/**
 * Area under the ROC curve: how likely a positive case scores above a negative one, ties counting half.
 * @param scores any number that grows with the belief in the positive class   @param labels true or 1 for the positive class, false or 0
 * for the other
 * @throws DataError if the lengths differ, a score is NaN, or one of the classes does not occur
 * @see Hanley and McNeil 1982, Radiology 143(1)
 */
export function rocAuc(scores: ArrayLike<number>, labels: ArrayLike<number | boolean>): number {
  const groups = groupsByScore('rocAuc', scores, labels)
  const positives = groups.reduce((sum, group) => sum + group.positives, 0), negatives = scores.length - positives
  if (positives === 0 || negatives === 0) {
    throw new DataError(`rocAuc: ${positives} positive and ${negatives} negative labels, expected at least one of each`)
  }
  let area = 0, above = 0
  for (const group of groups) {
    area += group.negatives * (above + group.positives / 2)
    above += group.positives
  }
  return area / (positives * negatives)
}

/**
 * Average precision: the area under the precision-recall curve as a sum of steps, not interpolated.
 * @param scores any number that grows with the belief in the positive class   @param labels true or 1 for the positive class, false or 0
 * for the other
 * @throws DataError if the lengths differ, a score is NaN, or no label is positive
 */
export function averagePrecision(scores: ArrayLike<number>, labels: ArrayLike<number | boolean>): number {
  const groups = groupsByScore('averagePrecision', scores, labels)
  const positives = groups.reduce((sum, group) => sum + group.positives, 0)
  if (positives === 0) throw new DataError('averagePrecision: no label is positive, expected at least one')
  let sum = 0, found = 0, seen = 0
  for (const group of groups) {
    found += group.positives
    seen += group.positives + group.negatives
    sum += group.positives * found / seen
  }
  return sum / positives
}

interface Group { positives: number; negatives: number }

/** Cases of equal score belong together: no threshold separates them. Highest score first. */
function groupsByScore(metric: string, scores: ArrayLike<number>, labels: ArrayLike<number | boolean>): Group[] {
  checkPairs(metric, 'scores', scores, 'labels', labels)
  const groups = new Map<number, Group>()
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!, label = Number(labels[i])
    if (Number.isNaN(score)) throw new DataError(`${metric}: scores[${i}] is NaN, expected a number`)
    if (label !== 0 && label !== 1) throw new DataError(`${metric}: labels[${i}] is ${String(labels[i])}, expected 0, 1, false or true`)
    const group = groups.get(score) ?? { positives: 0, negatives: 0 }
    group[label === 1 ? 'positives' : 'negatives']++
    groups.set(score, group)
  }
  return [...groups].sort(([a], [b]) => b - a).map(([, group]) => group)
}
