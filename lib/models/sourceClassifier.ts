import { ConfigError, ShapeError } from '../errors.js'
import { Dropout, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import type { Initialization } from '../nn/parameter.js'
import { add } from '../ops/add.js'
import { eq, lt } from '../ops/compare.js'
import { indexSelect } from '../ops/indexSelect.js'
import { max } from '../ops/reduce.js'
import { tanh } from '../ops/unary.js'
import { reshape } from '../ops/view.js'
import { where } from '../ops/where.js'
import { arange } from '../tensor/create.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { PretrainedConfig } from './configuration.js'
import { EncoderDecoder, type ReadingOptions } from './encoderDecoder.js'
import { type AnswerLogits, answerLogits, answerLoss, classificationLoss, type LabelConfig, type LabelLossOptions } from './labels.js'

// Heads that read a source by sending it through the encoder and, shifted right, through the decoder (Lewis et al. 2019, section 3).

/** W tanh(W x + b) + b, with dropout before each product. */
export class ClassificationHead extends Module {
  readonly dense: Linear
  readonly out_proj: Linear
  private readonly dropout: Dropout

  constructor(width: number, labels: number, dropout: number, initialization: Initialization) {
    super()
    this.dense = new Linear(width, width, { initialization })
    this.out_proj = new Linear(width, labels, { initialization })
    this.dropout = new Dropout(dropout)
  }

  forward(x: Tensor): Tensor { return this.out_proj.forward(this.dropout.forward(tanh(this.dense.forward(this.dropout.forward(x))))) }
}

/** Classes of whole texts, from the state at the last end token. */
export abstract class SourceClassifier extends EncoderDecoder {
  abstract override readonly config: LabelConfig & PretrainedConfig
  abstract readonly classification_head: ClassificationHead

  /**
   * Logits `[B, L]` of the texts `ids` `[B, S]`.
   * @throws IndexError (when they are read) if a text has no end token; ConfigError if the configuration names none, or several
   */
  forward(ids: Tensor, options: ReadingOptions = {}): Tensor {
    return scope(() => {
      const { eos_token_id: end } = this.config
      if (typeof end !== 'number') throw new ConfigError(`${this.constructor.name}: eos_token_id is ${JSON.stringify(end)}, expected the token whose state is classified`)
      const x = this.read(ids, options), [B, T, C] = x.shape as [number, number, number]
      if (ids.shape[1] !== T) throw new ShapeError(`${this.constructor.name}: the decoder's input has ${T} tokens, expected the ${ids.shape[1]} of the text, whose end tokens are looked up`)
      const last = add(max(where(eq(ids, end), arange(T + 1, { start: 1, dtype: 'int32', device: ids.device }), 0), 1), -1)
      const row = arange(B * T, { step: T, dtype: 'int32', device: ids.device })
      return this.classification_head.forward(indexSelect(reshape(x, [B * T, C]), where(lt(last, 0), -1, add(row, last))))
    })
  }

  /** @see classificationLoss */
  loss({ ids, labels, ...options }: ReadingOptions & { ids: Tensor, labels: Tensor }, how: LabelLossOptions = {}): Tensor {
    return scope(() => classificationLoss(this.forward(ids, options), labels, this.config, how))
  }
}

/** The first and the last token of an answer in the source. */
export abstract class SourceQuestionAnswering extends EncoderDecoder {
  abstract readonly qa_outputs: Linear

  /** Logits of each token of `ids` `[B, S]` for being the first and the last of the answer. */
  forward(ids: Tensor, options: ReadingOptions = {}): AnswerLogits { return scope(() => answerLogits(this.qa_outputs.forward(this.read(ids, options)))) }

  /** @see answerLoss */
  loss({ ids, startPositions, endPositions, ...options }: ReadingOptions & { ids: Tensor, startPositions: Tensor, endPositions: Tensor }, how: LabelLossOptions = {}): Tensor {
    return scope(() => answerLoss(this.forward(ids, options), startPositions, endPositions, how))
  }
}
