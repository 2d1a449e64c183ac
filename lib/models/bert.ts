import { LayerNorm, type Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { add } from '../ops/add.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { activatedLinear, type ActivatedLinear } from './activations.js'
import { type BertConfig, bertDefaults, BertEncoder, bertSizes } from './bertEncoder.js'
import type { PretrainedConfig } from './configuration.js'
import { completedEncoder, dense, encoderConfiguration, type EncoderInputs } from './encoder.js'
import { classes, PooledMultipleChoice, PooledSequenceClassifier, QuestionAnswering, renamedNorms, tiedPredictions, TokenClassifier, TokenPredictions } from './encoderHeads.js'
import { CausalEncoder, EncoderClassifier, EncoderModel, type LabelledBatch } from './encoderModel.js'
import type { LabelLossOptions } from './labels.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

export type { BertConfig } from './bertEncoder.js'
type Given = Partial<BertConfig> & PretrainedConfig

/** The layers of BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805): a post-norm encoder with learned positions, for one text or two. */
export class BertModel extends BertEncoder {
  /** @param options pooler: whether there is a layer for whole texts @throws ConfigError for what is not known or does not fit */
  constructor(config: Given = {}, { pooler = true } = {}) {
    super(completedEncoder('bert', config, { ...bertDefaults, model_type: 'bert' }, bertSizes), { pooler })
  }
}

class Transform extends Module {
  readonly dense: Linear
  readonly LayerNorm: LayerNorm
  private readonly activated: ActivatedLinear

  constructor(c: BertConfig) {
    super()
    this.dense = dense(c, c.hidden_size, c.hidden_size)
    this.LayerNorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
    this.activated = activatedLinear(c.model_type, 'hidden_act', c.hidden_act)
  }

  forward(x: Tensor): Tensor { return this.LayerNorm.forward(this.activated(this.dense, x)) }
}

class Predictions extends TokenPredictions {
  readonly transform: Transform

  constructor(c: BertConfig) {
    super(c, c.hidden_size)
    this.transform = new Transform(c)
  }

  protected transformed(x: Tensor): Tensor { return this.transform.forward(x) }
}

/** Heads of the pretraining: words behind masks, and whether the second text follows the first. */
class Heads<P extends Predictions | undefined, S extends Linear | undefined> extends Module {
  constructor(readonly predictions: P, readonly seq_relationship: S) { super() }
}

const predictionHead = (c: BertConfig): Heads<Predictions, undefined> => new Heads(new Predictions(c), undefined)
const wordsOf = (bert: BertModel): Tensor => bert.embeddings.word_embeddings.weight

export interface BertPreTrainingOutput {
  /** `[B, T, V]` */
  predictionLogits: Tensor
  /** `[B, 2]`: 0 where the second text follows the first, 1 where it is another */
  seqRelationshipLogits: Tensor
}

/** BERT as it is pretrained. */
export class BertForPreTraining extends EncoderModel<BertModel> {
  declare readonly bert: BertModel
  readonly cls: Heads<Predictions, Linear>

  constructor(config: Given = {}) {
    super('bert', new BertModel(config))
    const { config: c } = this
    this.cls = new Heads(new Predictions(c), dense(c, c.hidden_size, 2))
  }

  forward(ids: Tensor, inputs: EncoderInputs = {}): BertPreTrainingOutput {
    return scope(() => {
      const { bert, cls } = this, x = bert.forward(ids, inputs)
      return { predictionLogits: cls.predictions.forward(x, wordsOf(bert)), seqRelationshipLogits: classes(cls.seq_relationship, bert.pool(x)) }
    })
  }

  /** Sum of two cross-entropies: of words, `labels` `[B, T]`, and of `nextSentenceLabel` `[B]`; -100 does not count. */
  loss({ ids, labels, nextSentenceLabel, ...inputs }: LabelledBatch & { nextSentenceLabel: Tensor }, options: LabelLossOptions = {}): Tensor {
    return scope(() => {
      const { predictionLogits, seqRelationshipLogits } = this.forward(ids, inputs)
      return add(crossEntropy(predictionLogits, labels, options), crossEntropy(seqRelationshipLogits, nextSentenceLabel, options))
    })
  }
}

/** BERT that predicts the words behind masks: logits `[B, T, V]`. */
export class BertForMaskedLM extends EncoderClassifier<BertModel> {
  declare readonly bert: BertModel
  readonly cls: Heads<Predictions, undefined>

  constructor(config: Given = {}) {
    super('bert', new BertModel(config, { pooler: false }))
    this.cls = predictionHead(this.config)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return this.cls.predictions.forward(this.bert.forward(ids, inputs), wordsOf(this.bert)) }
}

/** BERT that predicts the next token; `is_decoder` hides those to come. Without it a prompt is read in both directions, and what follows sees all before it. */
export class BertLMHeadModel extends CausalEncoder<BertModel> {
  declare readonly bert: BertModel
  readonly cls: Heads<Predictions, undefined>

  constructor(config: Given = {}) {
    super('bert', new BertModel(config, { pooler: false }))
    this.cls = predictionHead(this.config)
  }

  protected override project(x: Tensor): Tensor { return this.cls.predictions.forward(x, wordsOf(this.bert)) }
}

/** BERT that tells whether the second text follows the first, 0, or is another, 1: logits `[B, 2]`. */
export class BertForNextSentencePrediction extends EncoderClassifier<BertModel> {
  declare readonly bert: BertModel
  readonly cls: Heads<undefined, Linear>

  constructor(config: Given = {}) {
    super('bert', new BertModel(config))
    this.cls = new Heads(undefined, dense(this.config, this.config.hidden_size, 2))
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return classes(this.cls.seq_relationship, this.bert.pool(this.bert.forward(ids, inputs))) }
}

const classifierDropout = (c: BertConfig): number => c.classifier_dropout ?? c.hidden_dropout_prob

/** BERT that sorts texts or pairs of them. */
export class BertForSequenceClassification extends PooledSequenceClassifier<BertModel> {
  declare readonly bert: BertModel
  constructor(config: Given = {}) { super('bert', new BertModel(config), classifierDropout) }
}

/** BERT that chooses among texts. */
export class BertForMultipleChoice extends PooledMultipleChoice<BertModel> {
  declare readonly bert: BertModel
  constructor(config: Given = {}) { super('bert', new BertModel(config), classifierDropout) }
}

/** BERT that sorts tokens: names, parts of speech. */
export class BertForTokenClassification extends TokenClassifier<BertModel> {
  declare readonly bert: BertModel
  constructor(config: Given = {}) { super('bert', new BertModel(config, { pooler: false }), classifierDropout) }
}

/** BERT that finds the answer to a question in a text. */
export class BertForQuestionAnswering extends QuestionAnswering<BertModel> {
  declare readonly bert: BertModel
  constructor(config: Given = {}) { super('bert', new BertModel(config, { pooler: false })) }
}

const common = {
  modelType: 'bert', prefix: 'bert', config: ({ config }: { config: BertModel['config'] }) => encoderConfiguration(config), renamed: renamedNorms,
  ignored: /(^|\.)embeddings\.position_ids$/, others: /^((bert\.)?pooler|cls|classifier|qa_outputs)\./,
}
const tied = tiedPredictions('cls.predictions', 'bert.embeddings.word_embeddings.weight')

export const bertClasses: readonly PretrainedClass[] = [
  pretrainedClass({ ...common, architecture: 'BertModel', task: 'base', Model: BertModel }),
  pretrainedClass({ ...common, architecture: 'BertForPreTraining', task: 'pretraining', Model: BertForPreTraining, tied }),
  pretrainedClass({ ...common, architecture: 'BertForMaskedLM', task: 'masked-lm', Model: BertForMaskedLM, tied }),
  pretrainedClass({ ...common, architecture: 'BertLMHeadModel', task: 'causal-lm', Model: BertLMHeadModel, tied }),
  pretrainedClass({ ...common, architecture: 'BertForNextSentencePrediction', task: 'next-sentence-prediction', Model: BertForNextSentencePrediction }),
  pretrainedClass({ ...common, architecture: 'BertForSequenceClassification', task: 'sequence-classification', Model: BertForSequenceClassification }),
  pretrainedClass({ ...common, architecture: 'BertForMultipleChoice', task: 'multiple-choice', Model: BertForMultipleChoice }),
  pretrainedClass({ ...common, architecture: 'BertForTokenClassification', task: 'token-classification', Model: BertForTokenClassification }),
  pretrainedClass({ ...common, architecture: 'BertForQuestionAnswering', task: 'question-answering', Model: BertForQuestionAnswering }),
]
