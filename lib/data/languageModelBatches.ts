import { ConfigError, DataError } from '../errors.js'
import { ignoreIndex } from './ignoreIndex.js'
import { Random } from './random.js'

export interface LanguageModelBatchOptions {
  /** Rows of a batch. */
  batchSize: number
  /** Tokens of a row. */
  blockSize: number
}

/** `B` rows of `T` consecutive tokens; `labels` are the tokens that follow. */
export interface LanguageModelBatch {
  /** `[B, T]` */
  input: Int32Array
  /** `[B, T]`: the token after each of `input`, or `ignoreIndex` (-100) at padding */
  labels: Int32Array
  /** `[B]`: where the rows begin in the stream */
  offsets: Int32Array
  /** B */
  sentences: number
  /** T */
  length: number
  /** Labels that count. */
  tokens: number
}

/** Where the batches stand: small JSON, for checkpoints. */
export interface LanguageModelState { seed: number, step: number, streamLength: number, batchSize: number, blockSize: number }

/**
 * Training batches without end: blocks at random places of one stream of tokens, as in nanoGPT. Batch number k is a function of stream,
 * options, seed and k
 * alone, so that `restore(state())` continues with the same batches.
 */
export class LanguageModelBatches implements Iterable<LanguageModelBatch> {
  readonly seed: number
  readonly #ids: Uint16Array | Int32Array
  readonly #batchSize: number
  readonly #blockSize: number
  #step = 0

  /** @throws ConfigError for sizes out of range   @throws DataError if the stream has less than `blockSize + 1` tokens */
  constructor(ids: Uint16Array | Int32Array, options: LanguageModelBatchOptions & { seed?: number }) {
    checkSizes(options)
    if (ids.length <= options.blockSize) {
      throw new DataError(`the text has ${ids.length} tokens, too few for one block of ${options.blockSize} and the token after it. `
        + 'Give more text or a smaller blockSize')
    }
    this.seed = options.seed ?? 0
    this.#ids = ids
    this.#batchSize = options.batchSize
    this.#blockSize = options.blockSize
  }

  /** Batches given out. */
  get step(): number { return this.#step }
  /** Passes over the stream that the tokens given out amount to. */
  get epoch(): number { return this.#step * this.#batchSize * this.#blockSize / this.#ids.length }

  next(): LanguageModelBatch {
    const random = new Random(this.seed, 'language model offsets', this.#step++)
    const offsets = Int32Array.from({ length: this.#batchSize }, () => random.integer(this.#ids.length - this.#blockSize))
    return blocks(this.#ids, offsets, this.#blockSize)
  }

  /** Without end: break out, or count. */
  *[Symbol.iterator](): Generator<LanguageModelBatch> {
    for (;;) yield this.next()
  }

  state(): LanguageModelState {
    return { seed: this.seed, step: this.#step, streamLength: this.#ids.length, batchSize: this.#batchSize, blockSize: this.#blockSize }
  }

  /** @throws DataError if the state is of another stream, seed or size: the batches to come would not be those that were left out */
  restore(state: LanguageModelState): void {
    const here = this.state()
    for (const name of ['seed', 'streamLength', 'batchSize', 'blockSize'] as const) {
      if (state[name] !== here[name]) {
        throw new DataError(`the data position was saved with ${name} ${state[name]}, here it is ${here[name]}. Use the same, `
          + 'or start the data anew')
      }
    }
    if (!Number.isInteger(state.step) || state.step < 0) throw new DataError(`data position: step is ${state.step}, expected an integer from 0`)
    this.#step = state.step
  }
}

/**
 * Batches for evaluation: blocks one after the other, so that every token but the first is a label exactly once. The last block is padded
 * with 0 where it is shorter
 * (`ignoreIndex` in `labels`). Each iteration begins anew.
 * @throws ConfigError for sizes out of range   @throws DataError if the stream has less than two tokens
 */
export function sequentialBatches(
  ids: Uint16Array | Int32Array, options: LanguageModelBatchOptions,
): Iterable<LanguageModelBatch> & { readonly batches: number } {
  checkSizes(options)
  if (ids.length < 2) throw new DataError(`the text has ${ids.length} tokens, expected at least two: one, and one to predict`)
  const { batchSize, blockSize } = options, rows = Math.ceil((ids.length - 1) / blockSize)
  return {
    batches: Math.ceil(rows / batchSize),
    *[Symbol.iterator]() {
      for (let row = 0; row < rows; row += batchSize) {
        yield blocks(ids, Int32Array.from({ length: Math.min(batchSize, rows - row) }, (_, i) => (row + i) * blockSize), blockSize)
      }
    },
  }
}

function blocks(ids: Uint16Array | Int32Array, offsets: Int32Array, length: number): LanguageModelBatch {
  const input = new Int32Array(offsets.length * length), labels = new Int32Array(offsets.length * length).fill(ignoreIndex)
  let tokens = 0
  offsets.forEach((offset, row) => {
    const following = ids.subarray(offset + 1, offset + 1 + length)
    input.set(ids.subarray(offset, offset + following.length), row * length)
    labels.set(following, row * length)
    tokens += following.length
  })
  return { input, labels, offsets, sentences: offsets.length, length, tokens }
}

function checkSizes({ batchSize, blockSize }: LanguageModelBatchOptions): void {
  for (const [name, value] of Object.entries({ batchSize, blockSize })) {
    if (!Number.isInteger(value) || value < 1) throw new ConfigError(`${name} is ${value}, expected an integer of at least 1`)
  }
}
