import { ShapeError } from '../errors.js'
import { Module } from '../nn/module.js'
import type { Checkpointing } from '../nn/recompute.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { reshape, squeeze } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import type { Encoder, EncoderInputs } from './encoder.js'
import { type AnswerLogits, answerLogits, answerLoss, classificationLoss, type LabelLossOptions } from './labels.js'

// What a task asks of an encoder, whatever its family: which inputs there are, and the loss.

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
  get activationCheckpointing(): Checkpointing { return this.encoder.activationCheckpointing }
  set activationCheckpointing(on: Checkpointing) { this.encoder.activationCheckpointing = on }
}

/** One prediction for each text or token: classes, next sentences, words behind masks. */
export abstract class EncoderClassifier<E extends Encoder = Encoder> extends EncoderModel<E> {
  protected abstract logits(ids: Tensor, inputs: EncoderInputs): Tensor

  /** Logits for ids `[B, T]`. */
  forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor { return scope(() => this.logits(ids, inputs)) }

  /** Cross-entropy of the labels, of which there is one for each prediction; -100 does not count. @throws ShapeError if there are more or fewer */
  loss({ ids, labels, ...inputs }: LabelledBatch, options: LabelLossOptions = {}): Tensor {
    return scope(() => this.criterion(this.logits(ids, inputs), labels, options, inputs))
  }

  /** @param inputs what the logits are of, besides the ids */
  protected criterion(logits: Tensor, labels: Tensor, options: LabelLossOptions, inputs: EncoderInputs): Tensor {
    void inputs
    return crossEntropy(logits, labels.rank === logits.rank ? squeeze(labels, -1) : labels, options)
  }
}

/** Logits `[B, L]` of whole texts. */
export abstract class SequenceClassifier<E extends Encoder = Encoder> extends EncoderClassifier<E> {
  /** As `problem_type` has it. @see classificationLoss */
  protected override criterion(logits: Tensor, labels: Tensor, options: LabelLossOptions): Tensor { return classificationLoss(logits, labels, this.config, options) }
}

/** Logits `[B, N]` of N choices for each text; ids and all other inputs are `[B, N, T]`. */
export abstract class MultipleChoice<E extends Encoder = Encoder> extends EncoderClassifier<E> {
  /** Scores `[R, 1]` of texts `[R, T]`. */
  protected abstract scores(ids: Tensor, inputs: EncoderInputs): Tensor

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor {
    if (ids.rank !== 3) throw new ShapeError(`multiple choice: ids are [${ids.shape.join(', ')}], expected [B, N, T]: N texts to choose from`)
    const rows = (x: Tensor): Tensor => x.rank === 3 ? reshape(x, [-1, x.shape[2]!]) : x
    const flat = Object.fromEntries(Object.entries(inputs as Record<string, Tensor | undefined>).map(([name, x]) => [name, x && rows(x)]))
    return reshape(this.scores(rows(ids), flat), [-1, ids.shape[1]!])
  }
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

  forward(ids: Tensor, inputs: EncoderInputs = {}): AnswerLogits { return scope(() => answerLogits(this.logits(ids, inputs))) }

  /** The mean of the cross-entropies of both. */
  loss({ ids, startPositions, endPositions, ...inputs }: QuestionAnsweringBatch, options: LabelLossOptions = {}): Tensor {
    return scope(() => answerLoss(this.forward(ids, inputs), startPositions, endPositions, options))
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
