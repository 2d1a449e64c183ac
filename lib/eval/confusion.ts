import { DataError } from '../errors.js'
import { checkPairs } from './segments.js'

/** A class: an index or a name. */
export type Label = number | string

export interface ConfusionMatrix<L extends Label = Label> {
  /** Classes in the order of rows and columns. */
  readonly classes: readonly L[]
  /** `[classes, classes]`; `counts[i][j]`: how often class `i` was predicted as class `j`. */
  readonly counts: readonly (readonly number[])[]
}

/**
 * Counts how often each class was predicted as each.
 * @param predictions predicted classes   @param labels true classes, as many
 * @param classes the classes and their order; default: all that occur, numbers by value before names by code point
 * @throws DataError if the lengths differ, there is nothing to count, or a class is not among `classes`
 */
export function confusionMatrix<L extends Label>(
  predictions: readonly L[], labels: readonly L[], { classes }: { classes?: readonly L[] } = {},
): ConfusionMatrix<L> {
  checkPairs('confusionMatrix', 'predictions', predictions, 'labels', labels)
  const order = classes ?? [...new Set([...predictions, ...labels])].sort(byValueOrName)
  const index = new Map(order.map((label, i) => [label, i]))
  const counts = order.map(() => new Array<number>(order.length).fill(0))
  labels.forEach((label, i) => {
    counts[indexOf(index, 'labels', label, i)]![indexOf(index, 'predictions', predictions[i]!, i)]!++
  })
  return { classes: order, counts }
}

function indexOf<L extends Label>(index: ReadonlyMap<L, number>, name: string, label: L, i: number): number {
  if (typeof label !== 'string' && !Number.isFinite(label)) {
    throw new DataError(`confusionMatrix: ${name}[${i}] is ${label}, expected a class: a finite number or a string`)
  }
  const at = index.get(label)
  if (at === undefined) {
    const known = [...index.keys()].map((key) => JSON.stringify(key)).join(', ')
    throw new DataError(`confusionMatrix: ${name}[${i}] is ${JSON.stringify(label)}, expected one of the classes ${known}`)
  }
  return at
}

function byValueOrName(a: Label, b: Label): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

/** Sums of a matrix: how often each class was true (rows), how often it was predicted (columns), and all. */
export function marginals({ counts }: ConfusionMatrix): { rows: number[], columns: number[], all: number } {
  const rows = counts.map((row) => row.reduce((sum, count) => sum + count, 0))
  const columns = counts.map((_, j) => counts.reduce((sum, row) => sum + row[j]!, 0))
  return { rows, columns, all: rows.reduce((sum, count) => sum + count, 0) }
}
