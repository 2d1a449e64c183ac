import { DataError } from '../errors.js'
import type { SavedTokenizer } from '../hub/modelDirectory.js'
import type { Module } from '../nn/module.js'
import type { Tensor } from '../tensor/tensor.js'
import type { TrainingSettings } from './trainingOptions.js'

/** Batches without end, whose position can be saved. `Seq2SeqBatches` and `LanguageModelBatches` are such. */
export interface BatchSource<Batch> {
  next(): Batch
  /** Epochs that are complete; may be a fraction. */
  readonly epoch: number
  /** Batches of the current epoch that were given out. */
  readonly batch?: number
  readonly batchesPerEpoch?: number
  /** Where the batches stand: small JSON. */
  state(): unknown
  /** Goes on with the batch that followed `state()`. */
  restore(state: unknown): void
}

/** Values by name, as `{ loss, perplexity, bleu }`. */
export type Metrics = Readonly<Record<string, number>>

/**
 * What a model is trained on. The trainer asks for the sum of the losses, not for their mean, because only it knows how many targets the whole step has:
 * the mean over micro-batches of unequal size would weigh tokens unequally.
 */
export interface TrainingTask<Batch = unknown> {
  /** Training batches; a plain iterable is repeated epoch after epoch in its own order. */
  readonly batches: BatchSource<Batch> | Iterable<Batch>
  /** The losses of the batch's targets, summed: one float32 element. Called with the model in training mode, or in evaluation mode and without a tape. */
  loss(batch: Batch, options: { labelSmoothing: number }): Tensor
  /** Targets that count: what the sum is divided by. */
  tokens(batch: Batch): number
  /** Batches for the validation loss. */
  readonly evaluationBatches?: Iterable<Batch> | undefined
  /** Further metrics, after the validation loss. Rejects with AbortedError soon after `signal` fires. */
  evaluate?(options: { signal: AbortSignal }): Metrics | Promise<Metrics>
  /** Names of what `evaluate` gives: then a wrong `metricForBestModel` is told before the training and not at its first evaluation. */
  readonly metricNames?: readonly string[] | undefined
  /** Is saved beside the weights. */
  readonly tokenizer?: SavedTokenizer | undefined
}

/** Data that knows how a model is trained on it: `translationData(…)`, `languageModelData(…)`. */
export interface TrainingData { taskFor(model: Module, settings: TrainingSettings): TrainingTask }

export function isTrainingData(value: TrainingTask | TrainingData): value is TrainingData {
  return typeof (value as TrainingData).taskFor === 'function'
}

/** The task's batches as a source. @throws DataError if an iterable has none */
export function sourceOf<Batch>(batches: TrainingTask<Batch>['batches']): BatchSource<Batch> {
  const source = batches as Partial<BatchSource<Batch>>
  const keepsItsPlace = typeof source.next === 'function' && typeof source.state === 'function'
  return keepsItsPlace ? source as BatchSource<Batch> : new RepeatedBatches(batches as Iterable<Batch>)
}

/** Epochs as a number with a fraction, for logs and for what happens once an epoch. */
export function epochsOf({ epoch, batch = 0, batchesPerEpoch }: BatchSource<unknown>): number {
  return batchesPerEpoch !== undefined && Number.isInteger(epoch) ? epoch + batch / batchesPerEpoch : epoch
}

/** An iterable of batches, repeated. */
class RepeatedBatches<Batch> implements BatchSource<Batch> {
  epoch = 0
  batch = 0
  readonly batchesPerEpoch: number
  #iterator: Iterator<Batch>
  #ahead: IteratorResult<Batch>

  constructor(private readonly batches: Iterable<Batch>) {
    let count = 0
    for (const batch of batches) {
      void batch
      count++
    }
    this.batchesPerEpoch = count
    this.#iterator = batches[Symbol.iterator]()
    this.#ahead = this.#first()
  }

  next(): Batch {
    const { value } = this.#ahead as IteratorYieldResult<Batch>
    this.batch++
    this.#ahead = this.#iterator.next()
    if (this.#ahead.done) {
      this.epoch++
      this.batch = 0
      this.#iterator = this.batches[Symbol.iterator]()
      this.#ahead = this.#first()
    }
    return value
  }

  state(): { epoch: number, batch: number, batches: number } { return { epoch: this.epoch, batch: this.batch, batches: this.batchesPerEpoch } }

  /** @throws DataError if the state is of another number of batches */
  restore(state: { epoch: number, batch: number, batches: number }): void {
    if (state.batches !== this.batchesPerEpoch || !(state.batch >= 0 && state.batch < state.batches)) {
      throw new DataError(`the data position was saved with ${state.batches} batches an epoch, here there are ${this.batchesPerEpoch}. `
        + 'Use the same data, or start anew')
    }
    this.#iterator = this.batches[Symbol.iterator]()
    this.#ahead = this.#first()
    for (let i = 0; i < state.batch; i++) this.#ahead = this.#iterator.next()
    this.epoch = state.epoch
    this.batch = state.batch
  }

  #first(): IteratorResult<Batch> {
    const first = this.#iterator.next()
    if (first.done)
      throw new DataError('there are no batches to train on. Batches have to be iterable again and again: give an array, not a generator')
    return first
  }
}
