import { ConfigError, DataError } from '../../errors.js'
import { Random } from '../random.js'
import type { CollatedBatch, Collator } from './collation.js'

/** Where the batches stand: small JSON, for checkpoints. */
export interface CollatedState { seed: number, step: number, examples: number, batchSize: number }

/**
 * Batches without end, every example once an epoch, in an order that is drawn anew for each. Batch number k is a function of examples, seed and k alone, also where the
 * collator draws masks.
 */
export class CollatedBatches<Example> {
  readonly batchesPerEpoch: number
  #step = 0
  #order: { epoch: number, rows: Int32Array } | undefined

  /** @throws DataError if there are no examples   @throws ConfigError for a batch size out of range */
  constructor(private readonly examples: readonly Example[], private readonly collate: Collator<Example>, private readonly options: { batchSize: number, seed: number }) {
    const { batchSize } = options
    if (!Number.isInteger(batchSize) || batchSize < 1) throw new ConfigError(`batchSize is ${batchSize}, expected a positive whole number`)
    if (examples.length === 0) throw new DataError('there are no examples to train on')
    this.batchesPerEpoch = Math.ceil(examples.length / batchSize)
  }

  get epoch(): number { return Math.floor(this.#step / this.batchesPerEpoch) }
  get batch(): number { return this.#step % this.batchesPerEpoch }

  next(): CollatedBatch {
    const { batchSize, seed } = this.options, { epoch, batch } = this
    if (this.#order?.epoch !== epoch) this.#order = { epoch, rows: new Random(seed, 'order of examples', epoch).permutation(this.examples.length) }
    const rows = this.#order.rows.subarray(batch * batchSize, (batch + 1) * batchSize)
    return this.collate(Array.from(rows, i => this.examples[i]!), new Random(seed, 'collator', this.#step++))
  }

  state(): CollatedState { return { seed: this.options.seed, step: this.#step, examples: this.examples.length, batchSize: this.options.batchSize } }

  /** @throws DataError if the state is of other examples, another seed or size */
  restore(state: CollatedState): void {
    const here = this.state()
    for (const name of ['seed', 'examples', 'batchSize'] as const)
      if (state[name] !== here[name]) throw new DataError(`the data position was saved with ${name} ${state[name]}, here it is ${here[name]}. Use the same, or start anew`)
    this.#step = state.step
  }
}

/** Every example once, in order, for validation: the same each time. */
export function evaluationBatchesOf<Example>(examples: readonly Example[], collate: Collator<Example>, batchSize: number): Iterable<CollatedBatch> {
  return {
    *[Symbol.iterator]() {
      for (let from = 0; from < examples.length; from += batchSize) yield collate(examples.slice(from, from + batchSize), new Random(0, 'validation', from))
    },
  }
}
