import { ConfigError, DataError } from '../errors.js'
import { Random } from './random.js'

/** How examples are grouped into batches. */
export interface BatchBounds {
  /**
   * Bound of rows times the longest padded sequence, for source and target alike (as fairseq's --max-tokens). Default 4096, or none where
   * `batchSize` is given.
   */
  maxTokens?: number
  /** Bound of rows. Default: none. */
  batchSize?: number
  /** Lengths are rounded up to a multiple, but not above `maxLength` of the examples: fewer shapes, aligned rows. Default 1. */
  padToMultipleOf?: number
}

/** Lengths of what goes into a batch, start and end tokens included. */
export interface PairLengths { source: Int32Array, target: Int32Array, maxLength: number }

/** Examples `order[starts[b]]` to `order[starts[b + 1] - 1]` make batch `b`. Eight bytes an example, whatever their length. */
export interface BatchPlan { order: Int32Array, starts: Int32Array }

/**
 * Puts every example into exactly one batch: sorts by target and source length, so that rows of a batch need little padding, and cuts where
 * a bound would be exceeded.
 * With a seed, examples of equal length are shuffled first and batches last, anew for every epoch; without, the order depends on the
 * lengths alone.
 * @throws DataError if one example exceeds `maxTokens`
 */
export function planBatches(lengths: PairLengths, bounds: Required<BatchBounds>, shuffle?: { seed: number, epoch: number }): BatchPlan {
  const random = shuffle && new Random(shuffle.seed, 'batch plan', shuffle.epoch)
  const count = lengths.source.length
  const order = sortedBy(lengths.target, sortedBy(lengths.source, random?.permutation(count) ?? Int32Array.from({ length: count }, (_, i) => i)))
  const starts: number[] = []
  let rows = 0, widest = 0
  for (let i = 0; i < count; i++) {
    const example = order[i]!
    const length = padded(Math.max(lengths.source[example]!, lengths.target[example]!), bounds.padToMultipleOf, lengths.maxLength)
    if (length > bounds.maxTokens) {
      throw new DataError(`example ${example} has ${length} tokens, more than a batch may hold (maxTokens ${bounds.maxTokens}). `
        + 'Raise maxTokens, or encode with a smaller maxLength')
    }
    if (rows === 0 || rows === bounds.batchSize || (rows + 1) * Math.max(widest, length) > bounds.maxTokens) {
      starts.push(i)
      rows = widest = 0
    }
    rows++
    widest = Math.max(widest, length)
  }
  return random ? inOrder(random.permutation(starts.length), order, starts) : { order, starts: Int32Array.from([...starts, count]) }
}

/** @throws ConfigError for bounds that are no positive integers */
export function checkedBounds({ batchSize, maxTokens, padToMultipleOf = 1 }: BatchBounds): Required<BatchBounds> {
  const bounds = { batchSize: batchSize ?? Infinity, maxTokens: maxTokens ?? (batchSize === undefined ? 4096 : Infinity), padToMultipleOf }
  for (const [name, value] of Object.entries(bounds)) {
    if (!(Number.isInteger(value) && value >= 1) && !(value === Infinity && name !== 'padToMultipleOf')) {
      throw new ConfigError(`${name} is ${value}, expected an integer of at least 1`)
    }
  }
  return bounds
}

/** A length rounded up to a multiple, but not above `maxLength` where the length itself is not. */
export function padded(length: number, multiple: number, maxLength: number): number {
  return Math.max(length, Math.min(Math.ceil(length / multiple) * multiple, maxLength))
}

/** The greatest of some lengths; 0 of none. */
export function longest(lengths: Int32Array): number {
  return lengths.reduce((a, b) => Math.max(a, b), 0)
}

// Stable counting sort, shortest first: linear in the number of examples.
function sortedBy(lengths: Int32Array, order: Int32Array): Int32Array {
  const next = new Int32Array(longest(lengths) + 2)
  for (const length of lengths) next[length + 1]!++
  for (let i = 1; i < next.length; i++) next[i]! += next[i - 1]!
  const sorted = new Int32Array(order.length)
  for (const example of order) sorted[next[lengths[example]!]!++] = example
  return sorted
}

function inOrder(batches: Int32Array, order: Int32Array, starts: number[]): BatchPlan {
  const plan = { order: new Int32Array(order.length), starts: new Int32Array(starts.length + 1) }
  let at = 0
  batches.forEach((batch, i) => {
    const examples = order.subarray(starts[batch], starts[batch + 1])
    plan.order.set(examples, at)
    plan.starts[i + 1] = at += examples.length
  })
  return plan
}
