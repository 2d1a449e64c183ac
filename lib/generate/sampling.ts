import { NumericsError } from '../errors.js'

/**
 * The indices of the `k` largest values, largest first; equal values in the order of their indices.
 * One pass with a heap of `k`: O(n log k), and close to O(n) where k is small.
 *
 * @param values `[n]`; the flattened scores of all beams of a sample, for beam search
 * @returns `[min(k, n)]`
 * @throws NumericsError if a value is NaN
 */
export function topK(values: Float32Array | Float64Array, k: number): Int32Array {
  const size = Math.min(k, values.length)
  const heap = new Int32Array(size)   // the worst of the kept ones at the root
  const isWorse = (a: number, b: number) => values[a]! < values[b]! || (values[a] === values[b] && a > b)
  const sink = (at: number, index: number, end: number) => {
    for (let child = 2 * at + 1; child < end; child = 2 * at + 1) {
      if (child + 1 < end && isWorse(heap[child + 1]!, heap[child]!)) child++
      if (!isWorse(heap[child]!, index)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = index
  }
  for (let i = 0; i < size; i++) {
    requireNumber(values[i]!, i)
    heap[i] = i
  }
  if (size === 0) return heap
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i, heap[i]!, size)
  let worst = values[heap[0]!]!
  for (let i = size; i < values.length; i++) {
    const value = values[i]!
    if (value <= worst) continue
    requireNumber(value, i)
    sink(0, i, size)
    worst = values[heap[0]!]!
  }
  for (let end = size - 1; end > 0; end--) {   // the worst goes to the end, again and again
    const index = heap[end]!
    heap[end] = heap[0]!
    sink(0, index, end)
  }
  return heap
}

/** The indices of `values`, largest value first, found piece by piece: whoever stops early has paid for little more than he took. */
export function* descending(values: Float32Array | Float64Array): Generator<number> {
  for (let taken = 0, k = 64; taken < values.length; k *= 8) {
    const indices = topK(values, k)
    while (taken < indices.length) yield indices[taken++]!
  }
}

/** The token of the largest logit of each row, the first of equal ones. @param logits `[rows * vocabulary]` @throws NumericsError for NaN */
export function argmaxRows(logits: Float32Array, rows: number, vocabulary: number): Int32Array {
  return Int32Array.from({ length: rows }, (_, row) => topK(logits.subarray(row * vocabulary, (row + 1) * vocabulary), 1)[0]!)
}

/** What turns a row of logits into probabilities: `p[i] = exp(logits[i] - max) / total`. */
export interface Distribution { readonly max: number, readonly total: number }

/**
 * The normalisation of one row, in float64.
 * @returns undefined where every token is excluded (minus infinity)
 * @throws NumericsError for NaN and plus infinity
 */
export function distribution(row: ArrayLike<number>): Distribution | undefined {
  let max = -Infinity
  for (let i = 0; i < row.length; i++) {
    const logit = row[i]!
    if (logit > max) max = logit
    else requireNumber(logit, i)
  }
  if (max === -Infinity) return undefined
  if (max === Infinity) throw new NumericsError(`a logit is infinite. ${remedy}`)
  let total = 0
  for (let i = 0; i < row.length; i++) total += Math.exp(row[i]! - max)
  return { max, total }
}

/**
 * Logarithm of the softmax of each row, in place, accumulated in float64. A row of which every token is excluded stays so.
 * @param logits `[rows * vocabulary]`
 * @throws NumericsError for NaN and plus infinity
 */
export function logSoftmaxRows(logits: Float32Array, rows: number, vocabulary: number): void {
  for (let at = 0; at < rows; at++) {
    const row = logits.subarray(at * vocabulary, (at + 1) * vocabulary)
    const normal = distribution(row)
    if (normal === undefined) continue
    const shift = normal.max + Math.log(normal.total)
    for (let i = 0; i < row.length; i++) row[i] = row[i]! - shift
  }
}

/**
 * Draws one token by inverting the cumulative distribution, in the order of the vocabulary, in float64.
 * @param row processed logits, `[vocabulary]`
 * @param uniform a number of the seeded generator, from [0, 1)
 * @returns a token whose probability is above zero
 * @throws NumericsError for NaN, plus infinity, or where every token is excluded
 */
export function sampleToken(row: Float32Array, uniform: number): number {
  const normal = distribution(row)
  if (normal === undefined) {
    throw new NumericsError('no token can be sampled: the logits processors exclude every one. Relax suppressTokens, badWordsIds, '
      + 'noRepeatNgramSize, minLength or your own processors.')
  }
  const target = uniform * normal.total
  let reached = 0, last = 0
  for (let i = 0; i < row.length; i++) {
    const weight = Math.exp(row[i]! - normal.max)
    if (weight === 0) continue
    reached += weight
    last = i
    if (reached > target) break
  }
  return last
}

/** `sampleToken` for each row. @param logits `[rows * vocabulary]` @param uniforms `[rows]` @returns `[rows]` @throws NumericsError */
export function sampleRows(logits: Float32Array, uniforms: ArrayLike<number>, vocabulary: number): Int32Array {
  return Int32Array.from(uniforms, (uniform, row) => sampleToken(logits.subarray(row * vocabulary, (row + 1) * vocabulary), uniform))
}

function requireNumber(value: number, index: number): void {
  if (Number.isNaN(value)) {
    throw new NumericsError(`logit ${index} is NaN. ${remedy}`)
  }
}

const remedy = 'removeInvalidValues replaces such values; their cause is in the model or its precision.'
