import { ConfigError } from '../errors.js'
import { Dropout, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import type { Checkpointing } from '../nn/recompute.js'
import { add } from '../ops/add.js'
import { argmax } from '../ops/argmax.js'
import { ne } from '../ops/compare.js'
import { cast } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { indexSelect } from '../ops/indexSelect.js'
import { mul } from '../ops/mul.js'
import { reshape } from '../ops/view.js'
import { arange } from '../tensor/create.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { PretrainedConfig } from './configuration.js'
import type { Decoder } from './decoder.js'
import { type AnswerLogits, answerLogits, answerLoss, classificationLoss, completedLabels, type LabelConfig, type LabelLossOptions, labelNames } from './labels.js'
import type { PretrainedClass } from './pretrained.js'

/** Tokens that a head reads. */
interface Input { ids: Tensor, attentionMask?: Tensor | undefined }

/** A decoder with a head for another task than the next token. The decoder lies under the name that files of its family have for it: `model`, `transformer`. */
abstract class DecoderWithHead extends Module {
  readonly config: LabelConfig & PretrainedConfig
  readonly #decoder: Decoder

  /** @throws ConfigError for labels that do not fit together */
  constructor(decoder: Decoder, prefix: string) {
    super()
    this.#decoder = decoder
    this.config = { ...decoder.config, ...completedLabels(decoder.constructor.name, decoder.config, 2) }
    Object.assign(this, { [prefix]: decoder })
  }

  get decoder(): Decoder { return this.#decoder }
  get vocabSize(): number { return this.decoder.vocabSize }
  get maxPositions(): number { return this.decoder.maxPositions }
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  get activationCheckpointing(): Checkpointing { return this.decoder.activationCheckpointing }
  set activationCheckpointing(on: Checkpointing) { this.decoder.activationCheckpointing = on }

  protected linear(outputs: number, bias: boolean): Linear {
    const std = this.config['initializer_range']
    return new Linear(this.decoder.width, outputs, { bias, initialization: { kind: 'normal', std: typeof std === 'number' ? std : 0.02 } })
  }
}

/** One label, or numbers, for each text: a linear layer on the last token that is not padding. */
export class DecoderForSequenceClassification extends DecoderWithHead {
  readonly score: Linear

  constructor(decoder: Decoder, prefix: string) {
    super(decoder, prefix)
    this.score = this.linear(this.config.num_labels, false)
  }

  /**
   * Logits `[B, L]` of `ids` `[B, T]`.
   * @param attentionMask 1 where there is a token, `[B, T]`
   * @throws ConfigError for several texts without `pad_token_id` in the configuration: their last tokens cannot be told from padding
   */
  forward(ids: Tensor, options: { attentionMask?: Tensor | undefined } = {}): Tensor {
    return scope(() => {
      const x = this.decoder.forward(ids, options), [B, T, C] = x.shape as [number, number, number]
      return this.score.forward(indexSelect(reshape(x, [B * T, C]), lastTokens(ids, this.config['pad_token_id'])))
    })
  }

  /** @see classificationLoss */
  loss({ ids, labels, attentionMask }: Input & { labels: Tensor }, options: LabelLossOptions = {}): Tensor {
    return scope(() => classificationLoss(this.forward(ids, { attentionMask }), labels, this.config, options))
  }
}

/** Where the last token of each text lies among all, `[B]` int32: the rightmost that is not `pad`, on whichever side padding is; the first column if all are. */
function lastTokens(ids: Tensor, pad: unknown): Tensor {
  return noGrad(() => scope(() => {
    const [B, T] = ids.shape as [number, number], like = { dtype: 'int32', device: ids.device } as const
    if (typeof pad !== 'number') {
      if (B !== 1) throw new ConfigError(`a classifier of ${B} texts at once needs to know what padding is: pad_token_id is missing in its configuration`)
      return arange(T, { start: T - 1, ...like })
    }
    return add(argmax(mul(cast(ne(ids, pad), 'int32'), arange(T, like))), arange(B * T, { step: T, ...like }))
  }))
}

/** A label for each token. The layer is named as the family's files have it. */
export class DecoderForTokenClassification extends DecoderWithHead {
  private readonly dropout: Dropout
  readonly #output: Linear

  constructor(decoder: Decoder, prefix: string, name: 'score' | 'classifier') {
    super(decoder, prefix)
    const c = this.config
    this.dropout = new Dropout(Number(c['classifier_dropout'] ?? c['hidden_dropout'] ?? 0.1))
    this.#output = this.linear(c.num_labels, c['token_classification_bias'] !== false)
    Object.assign(this, { [name]: this.#output })
  }

  /** Logits `[B, T, L]`. @param attentionMask 1 where there is a token, `[B, T]` */
  forward(ids: Tensor, options: { attentionMask?: Tensor | undefined } = {}): Tensor {
    return scope(() => this.#output.forward(this.dropout.forward(this.decoder.forward(ids, options))))
  }

  /** @param labels `[B, T]` int32, -100 not counted */
  loss({ ids, labels, attentionMask }: Input & { labels: Tensor }, options: LabelLossOptions = {}): Tensor {
    return scope(() => crossEntropy(this.forward(ids, { attentionMask }), labels, options))
  }
}

/** The first and the last token of an answer within the text. */
export class DecoderForQuestionAnswering extends DecoderWithHead {
  readonly qa_outputs: Linear

  constructor(decoder: Decoder, prefix: string) {
    super(decoder, prefix)
    this.qa_outputs = this.linear(2, true)
  }

  /** Logits of each token for being the first and the last of the answer. @param attentionMask 1 where there is a token, `[B, T]` */
  forward(ids: Tensor, options: { attentionMask?: Tensor | undefined } = {}): AnswerLogits {
    return scope(() => answerLogits(this.qa_outputs.forward(this.decoder.forward(ids, options))))
  }

  /** @see answerLoss */
  loss({ ids, startPositions, endPositions, attentionMask }: Input & { startPositions: Tensor, endPositions: Tensor }, options: LabelLossOptions = {}): Tensor {
    return scope(() => answerLoss(this.forward(ids, { attentionMask }), startPositions, endPositions, options))
  }
}

/** Where a family differs from the others in its heads; false: it has none of the kind. */
export interface HeadNames {
  /** The layer that labels tokens; default `classifier`. */
  tokens?: 'score' | 'classifier' | false
  /** What holds the decoder of a model that answers questions; default: the same as elsewhere. */
  answers?: string | false
}

/** The classes of a family's heads, made from that of its layers: `…headClasses(base, { tokens: 'score' })`. */
export function headClasses(base: PretrainedClass, { tokens = 'classifier', answers = base.prefix }: HeadNames = {}): PretrainedClass[] {
  const family = base.architecture.replace(/Model$/, '')
  const head = (task: PretrainedClass['task'], suffix: string, prefix: string, Model: new (...args: never[]) => DecoderWithHead,
    withHead: (decoder: Decoder) => DecoderWithHead): PretrainedClass => ({
    architecture: `${family}For${suffix}`, modelType: base.modelType, task, prefix, create: config => withHead(base.create(config) as Decoder), partsOf: base.partsOf,
    is: model => model instanceof Model && base.is(model.decoder),
    config(model) {
      const { num_labels, problem_type, ...config } = base.config((model as DecoderWithHead).decoder)
      return { ...config, ...labelNames((model as DecoderWithHead).config) }
    },
    nameOf(name, model) {
      if (/^(score|classifier|qa_outputs)\./.test(name)) return name
      const lead = [prefix, base.prefix].find(known => name.startsWith(`${known}.`))
      const inside = base.nameOf(lead === undefined ? name : name.slice(lead.length + 1), (model as DecoderWithHead).decoder)
      return inside && `${prefix}.${inside}`
    },
  })
  const { prefix } = base, Sequence = DecoderForSequenceClassification, Tokens = DecoderForTokenClassification, Answers = DecoderForQuestionAnswering
  return [
    head('sequence-classification', 'SequenceClassification', prefix, Sequence, decoder => new Sequence(decoder, prefix)),
    ...(tokens ? [head('token-classification', 'TokenClassification', prefix, Tokens, decoder => new Tokens(decoder, prefix, tokens))] : []),
    ...(answers ? [head('question-answering', 'QuestionAnswering', answers, Answers, decoder => new Answers(decoder, answers))] : []),
  ]
}
