import { ConfigError, DataError } from '../errors.js'
import { type BatchBounds, type BatchPlan, type PairLengths, checkedBounds, longest, padded, planBatches } from './batchPlan.js'
import type { EncodedPairs } from './encodeText.js'
import { ignoreIndex } from './ignoreIndex.js'

export interface SpecialIds {
  /** Begins the decoder's input. */
  bos: number
  /** Ends every source (unless `sourceEos` is false) and every target. */
  eos: number
  /** Fills rows up in `source` and `decoderInput`. */
  pad: number
}

export interface Seq2SeqBatchOptions extends SpecialIds, BatchBounds {
  /** Whether sources end with `eos`. Default true. */
  sourceEos?: boolean
}

/** `B` sentences, padded to `S` and `T` tokens; all arrays row by row. */
export interface Seq2SeqBatch {
  /** `[B, S]`: ids, eos, pad … */
  source: Int32Array
  /** `[B]`: tokens of each source without padding, which attention has to leave out from there on. */
  sourceLengths: Int32Array
  /** `[B, T]`: bos, ids, pad … */
  decoderInput: Int32Array
  /** `[B, T]`: ids, eos, then `ignoreIndex` (-100) */
  labels: Int32Array
  /** `[B]`: tokens of each target without padding, bos or eos counted once. */
  targetLengths: Int32Array
  /** `[B]`: which examples these are. */
  indices: Int32Array
  /** B */
  sentences: number
  /** S */
  sourceLength: number
  /** T */
  targetLength: number
  /** Labels that count: the sum of `targetLengths`. */
  tokens: number
}

/** Where the batches stand: small JSON, for checkpoints. */
export interface Seq2SeqState { seed: number, epoch: number, batch: number, fingerprint: number }

/**
 * Training batches without end, epoch after epoch: bounded in tokens, bucketed by length, shuffled by seed. Every example comes exactly
 * once an epoch.
 * Iterating gives the rest of the current epoch. Which batch comes is a function of data, options, seed, epoch and number alone, so that
 * `restore(state())` continues with the same batches, wherever it stopped.
 */
export class Seq2SeqBatches implements Iterable<Seq2SeqBatch> {
  readonly seed: number
  readonly #examples: EncodedPairs
  readonly #assemble: (examples: Int32Array) => Seq2SeqBatch
  readonly #plan: (epoch: number) => BatchPlan
  readonly #fingerprint: number
  #current: BatchPlan
  #epoch = 0
  #batch = 0

  /** @throws ConfigError for options out of range   @throws DataError without examples, or if one exceeds `maxTokens` */
  constructor(examples: EncodedPairs, options: Seq2SeqBatchOptions & { seed?: number }) {
    const { seed = 0 } = options, bounds = checkedBounds(options), lengths = pairLengths(examples, options)
    this.seed = seed
    this.#examples = examples
    this.#assemble = assembler(examples, options)
    this.#plan = epoch => planBatches(lengths, bounds, { seed, epoch })
    this.#fingerprint = fingerprint(lengths, Object.values(bounds))
    this.#current = this.#plan(0)
  }

  /** Epochs that are complete. */
  get epoch(): number { return this.#epoch }
  /** Batches of the current epoch that were given out. */
  get batch(): number { return this.#batch }
  /** Batches of the current epoch. Epochs may differ by a few, as examples of equal length change places. */
  get batchesPerEpoch(): number { return this.#current.starts.length - 1 }
  /** Examples of an epoch. */
  get sentencesPerEpoch(): number { return this.#examples.length }

  /** The next batch; after the last one of an epoch the next epoch begins. */
  next(): Seq2SeqBatch {
    const { order, starts } = this.#current
    const batch = this.#assemble(order.subarray(starts[this.#batch], starts[this.#batch + 1]))
    if (++this.#batch === this.batchesPerEpoch) {
      this.#epoch++
      this.#batch = 0
      this.#current = this.#plan(this.#epoch)
    }
    return batch
  }

  *[Symbol.iterator](): Generator<Seq2SeqBatch> {
    const { epoch } = this
    while (this.epoch === epoch) yield this.next()
  }

  state(): Seq2SeqState {
    return { seed: this.seed, epoch: this.#epoch, batch: this.#batch, fingerprint: this.#fingerprint }
  }

  /** @throws DataError if the state is of other examples, bounds or another seed: the batches to come would not be those that were left out */
  restore(state: Seq2SeqState): void {
    if (state.fingerprint !== this.#fingerprint) {
      throw new DataError('the data position was saved with other examples or other batch bounds (maxTokens, batchSize, padToMultipleOf). '
        + 'Use those again, or start the data anew')
    }
    if (state.seed !== this.seed) {
      throw new DataError(`the data position was saved with seed ${state.seed}, these batches have seed ${this.seed}. Use the same seed`)
    }
    if (!Number.isInteger(state.epoch) || state.epoch < 0) {
      throw new DataError(`data position: epoch is ${state.epoch}, expected an integer from 0`)
    }
    const plan = this.#plan(state.epoch), batches = plan.starts.length - 1
    if (!Number.isInteger(state.batch) || state.batch < 0 || state.batch >= batches) {
      throw new DataError(`data position: batch is ${state.batch}, expected 0 to ${batches - 1}`)
    }
    this.#epoch = state.epoch
    this.#batch = state.batch
    this.#current = plan
  }
}

/**
 * Batches for validation and testing: every example once, in an order that never changes, shortest first; each iteration begins anew.
 * `indices` leads results back.
 * @throws ConfigError for options out of range   @throws DataError without examples, or if one exceeds `maxTokens`
 */
export function evaluationBatches(examples: EncodedPairs, options: Seq2SeqBatchOptions): Iterable<Seq2SeqBatch> & { readonly batches: number } {
  const { order, starts } = planBatches(pairLengths(examples, options), checkedBounds(options)), assemble = assembler(examples, options)
  return {
    batches: starts.length - 1,
    *[Symbol.iterator]() {
      for (let b = 0; b + 1 < starts.length; b++) yield assemble(order.subarray(starts[b], starts[b + 1]))
    },
  }
}

function pairLengths(examples: EncodedPairs, { sourceEos = true }: Seq2SeqBatchOptions): PairLengths {
  if (examples.length === 0) throw new DataError('no examples to make batches of')
  return {
    source: Int32Array.from({ length: examples.length }, (_, i) => examples.source.lengthAt(i) + (sourceEos ? 1 : 0)),
    target: Int32Array.from({ length: examples.length }, (_, i) => examples.target.lengthAt(i) + 1),
    maxLength: examples.maxLength,
  }
}

function assembler({ source, target, maxLength }: EncodedPairs, options: Seq2SeqBatchOptions): (examples: Int32Array) => Seq2SeqBatch {
  const { bos, eos, pad, sourceEos = true, padToMultipleOf = 1 } = options
  for (const [name, id] of Object.entries({ bos, eos, pad })) {
    if (!Number.isInteger(id) || id < 0) throw new ConfigError(`${name} is ${id}, expected a token id`)
  }
  return examples => {
    const sentences = examples.length
    const sourceLengths = new Int32Array(sentences), targetLengths = new Int32Array(sentences)
    examples.forEach((example, row) => {
      sourceLengths[row] = source.lengthAt(example) + (sourceEos ? 1 : 0)
      targetLengths[row] = target.lengthAt(example) + 1
    })
    const S = padded(longest(sourceLengths), padToMultipleOf, maxLength), T = padded(longest(targetLengths), padToMultipleOf, maxLength)
    const batch = {
      source: new Int32Array(sentences * S).fill(pad),
      decoderInput: new Int32Array(sentences * T).fill(pad),
      labels: new Int32Array(sentences * T).fill(ignoreIndex),
    }
    let tokens = 0
    examples.forEach((example, row) => {
      batch.source.set(source.at(example), row * S)
      if (sourceEos) batch.source[row * S + sourceLengths[row]! - 1] = eos
      batch.decoderInput[row * T] = bos
      batch.decoderInput.set(target.at(example), row * T + 1)
      batch.labels.set(target.at(example), row * T)
      batch.labels[row * T + targetLengths[row]! - 1] = eos
      tokens += targetLengths[row]!
    })
    return { ...batch, sourceLengths, targetLengths, indices: examples.slice(), sentences, sourceLength: S, targetLength: T, tokens }
  }
}

// FNV-1a over bounds and all lengths: tells other data from this without reading the ids.
function fingerprint({ source, target, maxLength }: PairLengths, bounds: number[]): number {
  let h = 0x811c9dc5
  const add = (value: number) => { h = Math.imul(h ^ (value === Infinity ? -1 : value), 0x01000193) }
  for (const value of [source.length, maxLength, ...bounds]) add(value)
  source.forEach(add)
  target.forEach(add)
  return h >>> 0
}
