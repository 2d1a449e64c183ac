import { ConfigError } from '../errors.js'
import { Module } from '../nn/module.js'
import { add, sub } from '../ops/add.js'
import { cast, contiguous } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { clamp } from '../ops/maximum.js'
import { mul } from '../ops/mul.js'
import { mean, sum } from '../ops/reduce.js'
import { softplus, square } from '../ops/unary.js'
import { reshape, select, squeeze } from '../ops/view.js'
import { isFloating } from '../tensor/dtype.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import type { Encoder, EncoderInputs } from './encoder.js'

// What a task asks of an encoder, whatever its family: which inputs there are, and the loss.

/** 'mean' is over the targets that count; the sum is for who knows how many there are in a whole step. */
export interface EncoderLossOptions { reduction?: 'mean' | 'sum', labelSmoothing?: number }

/** A batch with one label for each text or token. */
export interface LabelledBatch extends EncoderInputs { ids: Tensor, labels: Tensor }

/** An encoder with a head. The layers lie under the name that the family's files have: `model.bert`, `model.roberta`. */
export abstract class EncoderModel<E extends Encoder = Encoder> extends Module {
  readonly config: E['config']
  readonly #prefix: string

  constructor(prefix: string, layers: E) {
    super()
    this.#prefix = prefix
    this.config = layers.config
    Object.assign(this, { [prefix]: layers })
  }

  /** The layers. */
  get encoder(): E { return (this as unknown as Record<string, E>)[this.#prefix]! }
  get vocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.encoder.maxPositions }
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  get activationCheckpointing(): boolean { return this.encoder.activationCheckpointing }
  set activationCheckpointing(on: boolean) { this.encoder.activationCheckpointing = on }
}

/** One prediction for each text or token: classes, next sentences, words behind masks. */
export abstract class EncoderClassifier<E extends Encoder = Encoder> extends EncoderModel<E> {
  protected abstract logits(ids: Tensor, inputs: EncoderInputs): Tensor

  /** Logits for ids `[B, T]`. */
  forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor { return scope(() => this.logits(ids, inputs)) }

  /** Cross-entropy of the labels, of which there is one for each prediction; -100 does not count. @throws ShapeError if there are more or fewer */
  loss({ ids, labels, ...inputs }: LabelledBatch, options: EncoderLossOptions = {}): Tensor {
    return scope(() => this.criterion(this.logits(ids, inputs), labels, options, inputs))
  }

  /** @param inputs what the logits are of, besides the ids */
  protected criterion(logits: Tensor, labels: Tensor, options: EncoderLossOptions, inputs: EncoderInputs): Tensor {
    void inputs
    return crossEntropy(logits, labels.rank === logits.rank ? squeeze(labels, -1) : labels, options)
  }
}

/** Logits `[B, L]` of whole texts. */
export abstract class SequenceClassifier<E extends Encoder = Encoder> extends EncoderClassifier<E> {
  /**
   * As `problem_type` has it: cross-entropy of classes `[B]`, squared differences to numbers `[B]` or `[B, L]`, or binary cross-entropy of `[B, L]`, whether each label applies.
   * @throws ConfigError if labels are to be smoothed that are no classes
   */
  protected override criterion(logits: Tensor, labels: Tensor, options: EncoderLossOptions, inputs: EncoderInputs): Tensor {
    const L = this.config.num_labels
    const type = this.config.problem_type ?? (L === 1 ? 'regression' : isFloating(labels.dtype) ? 'multi_label_classification' : 'single_label_classification')
    if (type === 'single_label_classification') return super.criterion(logits, labels, options, inputs)
    if (options.labelSmoothing) throw new ConfigError(`loss: labelSmoothing is ${options.labelSmoothing}, but problem_type is '${type}': only classes can be smoothed`)
    const x = cast(logits, 'float32'), y = cast(labels, 'float32'), { reduction = 'mean' } = options
    const losses = (type === 'regression' ? squaredError : binaryCrossEntropy)(x, L === 1 && y.rank === 1 ? reshape(y, [-1, 1]) : y)
    return reduction === 'mean' ? mean(losses) : sum(losses)
  }
}

const squaredError = (x: Tensor, y: Tensor): Tensor => square(sub(x, y))

/** -(y log σ(x) + (1 - y) log(1 - σ(x))), element by element. */
export const binaryCrossEntropy = (x: Tensor, y: Tensor): Tensor => sub(softplus(x), mul(x, y))

/** Logits `[B, N]` of N choices for each text; ids and all other inputs are `[B, N, T]`. */
export abstract class MultipleChoice<E extends Encoder = Encoder> extends EncoderClassifier<E> {
  /** Scores `[R, 1]` of texts `[R, T]`. */
  protected abstract scores(ids: Tensor, inputs: EncoderInputs): Tensor

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor {
    const rows = (x: Tensor): Tensor => x.rank === 3 ? reshape(x, [-1, x.shape[2]!]) : x
    const flat = Object.fromEntries(Object.entries(inputs as Record<string, Tensor | undefined>).map(([name, x]) => [name, x && rows(x)]))
    return reshape(this.scores(rows(ids), flat), [-1, ids.shape[1]!])
  }
}

/** Where an answer begins and ends. */
export interface QuestionAnsweringOutput {
  /** `[B, T]` */
  startLogits: Tensor
  /** `[B, T]` */
  endLogits: Tensor
}

export interface QuestionAnsweringBatch extends EncoderInputs {
  ids: Tensor
  /** `[B]`, like the other: a position behind the text does not count, one before it is its beginning. */
  startPositions: Tensor
  endPositions: Tensor
}

/** Logits of each token for being the first and the last of the answer. */
export abstract class ExtractiveAnswering<E extends Encoder = Encoder> extends EncoderModel<E> {
  /** `[B, T, 2]` */
  protected abstract logits(ids: Tensor, inputs: EncoderInputs): Tensor

  forward(ids: Tensor, inputs: EncoderInputs = {}): QuestionAnsweringOutput {
    return scope(() => {
      const logits = this.logits(ids, inputs)
      return { startLogits: contiguous(select(logits, -1, 0)), endLogits: contiguous(select(logits, -1, 1)) }
    })
  }

  /** The mean of the cross-entropies of both. */
  loss({ ids, startPositions, endPositions, ...inputs }: QuestionAnsweringBatch, options: EncoderLossOptions = {}): Tensor {
    return scope(() => {
      const { startLogits, endLogits } = this.forward(ids, inputs), T = ids.shape[1]!
      const of = (logits: Tensor, positions: Tensor): Tensor =>
        crossEntropy(logits, clamp(positions.rank === 2 ? squeeze(positions, -1) : positions, { min: 0, max: T }), { ...options, ignoreIndex: T })
      return mul(add(of(startLogits, startPositions), of(endLogits, endPositions)), 0.5)
    })
  }
}

/** An encoder that runs as a decoder: logits `[B, T, V]` of the next token. */
export abstract class CausalEncoder<E extends Encoder = Encoder> extends CausalLanguageModel {
  readonly config: E['config']
  readonly #prefix: string

  constructor(prefix: string, layers: E) {
    super()
    this.#prefix = prefix
    this.config = layers.config
    Object.assign(this, { [prefix]: layers })
  }

  get decoder(): E { return (this as unknown as Record<string, E>)[this.#prefix]! }

  override forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor { return scope(() => this.project(this.decoder.forward(ids, inputs))) }
}
