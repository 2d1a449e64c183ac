import { Dropout, LayerNorm, type Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { intoStream } from '../nn/precision.js'
import { attentionSublayer } from '../nn/recompute.js'
import { selfAttention, type SelfAttentionOptions } from '../nn/selfAttention.js'
import { add } from '../ops/add.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { tanh } from '../ops/unary.js'
import { select } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { activatedLinear, type ActivatedLinear } from './activations.js'
import { BertEmbeddings } from './bertEncoder.js'
import type { PretrainedConfig } from './configuration.js'
import {
  attentionMaskOf, checkHeads, completedEncoder, dense, Encoder, type EncoderConfig, encoderConfiguration, encoderDefaults, type EncoderInputs, type EncoderStep, precisely,
} from './encoder.js'
import { classes, PooledMultipleChoice, PooledSequenceClassifier, QuestionAnswering, renamedNorms, tiedPredictions, TokenClassifier, TokenPredictions } from './encoderHeads.js'
import { EncoderClassifier, EncoderModel, type LabelledBatch } from './encoderModel.js'
import type { LabelLossOptions } from './labels.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** ALBERT's configuration under the names of its `config.json`. */
export interface AlbertConfig extends EncoderConfig {
  /** Width of the embeddings. */
  embedding_size: number
  hidden_size: number
  /** How often a group of layers is passed through, and how many groups share that, one after the other. */
  num_hidden_layers: number
  num_hidden_groups: number
  /** Layers of a group. */
  inner_group_num: number
  num_attention_heads: number
  intermediate_size: number
  hidden_act: string
  hidden_dropout_prob: number
  attention_probs_dropout_prob: number
  type_vocab_size: number
  layer_norm_eps: number
  classifier_dropout_prob: number
}
type Given = Partial<AlbertConfig> & PretrainedConfig

const defaults = {
  ...encoderDefaults, model_type: 'albert', vocab_size: 30000, embedding_size: 128, hidden_size: 4096, num_hidden_layers: 12, num_hidden_groups: 1, num_attention_heads: 64,
  intermediate_size: 16384, inner_group_num: 1, hidden_act: 'gelu_new', hidden_dropout_prob: 0, attention_probs_dropout_prob: 0, max_position_embeddings: 512, type_vocab_size: 2,
  layer_norm_eps: 1e-12, classifier_dropout_prob: 0.1, pad_token_id: 0,
}
const sizes = ['embedding_size', 'hidden_size', 'num_hidden_layers', 'num_hidden_groups', 'num_attention_heads', 'intermediate_size', 'inner_group_num', 'type_vocab_size']

class Attention extends Module {
  readonly query: Linear
  readonly key: Linear
  readonly value: Linear
  readonly dense: Linear
  readonly LayerNorm: LayerNorm

  constructor(private readonly c: AlbertConfig) {
    super()
    this.query = dense(c, c.hidden_size, c.hidden_size)
    this.key = dense(c, c.hidden_size, c.hidden_size)
    this.value = dense(c, c.hidden_size, c.hidden_size)
    this.dense = dense(c, c.hidden_size, c.hidden_size, intoStream)
    this.LayerNorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
  }

  forward(x: Tensor, mask: SelfAttentionOptions): Tensor {
    const [dropout, residual] = this.training ? [this.c.attention_probs_dropout_prob, this.c.hidden_dropout_prob] : [0, 0]
    const y = selfAttention(x, [this.query, this.key, this.value], this.c.num_attention_heads, { ...mask, dropout })
    return this.LayerNorm.add(x, this.dense.forward(y), residual).y
  }
}

class Layer extends Module {
  readonly full_layer_layer_norm: LayerNorm
  readonly attention: Attention
  readonly ffn: Linear
  readonly ffn_output: Linear
  private readonly activated: ActivatedLinear

  constructor(c: AlbertConfig) {
    super()
    this.full_layer_layer_norm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
    this.attention = new Attention(c)
    this.ffn = dense(c, c.hidden_size, c.intermediate_size)
    this.ffn_output = dense(c, c.intermediate_size, c.hidden_size, intoStream)
    this.activated = activatedLinear('albert', 'hidden_act', c.hidden_act)
  }

  forward(x: Tensor /* B T C */, mask: SelfAttentionOptions): Tensor {
    return scope(() => {
      const y = attentionSublayer(z => this.attention.forward(z!, mask), x)
      return this.full_layer_layer_norm.add(y, this.ffn_output.forward(this.activated(this.ffn, y))).y
    })
  }
}

class Group extends Module {
  readonly albert_layers: Layer[]

  constructor(c: AlbertConfig) {
    super()
    this.albert_layers = Array.from({ length: c.inner_group_num }, () => new Layer(c))
  }
}

class Groups extends Module {
  readonly embedding_hidden_mapping_in: Linear
  readonly albert_layer_groups: Group[]

  constructor(c: AlbertConfig) {
    super()
    this.embedding_hidden_mapping_in = dense(c, c.embedding_size, c.hidden_size, intoStream)
    this.albert_layer_groups = Array.from({ length: c.num_hidden_groups }, () => new Group(c))
  }
}

/** The layers of ALBERT (Lan et al. 2019, https://arxiv.org/abs/1909.11942): those of BERT, used again and again, behind narrow embeddings. */
export class AlbertModel extends Encoder {
  readonly config: AlbertConfig & PretrainedConfig
  readonly embeddings: BertEmbeddings
  readonly encoder: Groups
  readonly pooler: Linear | undefined

  /** @param options pooler: whether there is a layer for whole texts @throws ConfigError for what is not known or does not fit */
  constructor(config: Given = {}, { pooler = true } = {}) {
    super()
    const c = this.config = completedEncoder('albert', config, defaults, sizes)
    checkHeads('albert', 'hidden_size', c.hidden_size, c.num_attention_heads)
    this.embeddings = new BertEmbeddings(c, c.embedding_size)
    this.encoder = new Groups(c)
    this.pooler = pooler ? dense(c, c.hidden_size, c.hidden_size) : undefined
  }

  get vocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.config.max_position_embeddings }
  get layerCount(): number { return this.config.num_hidden_layers * this.config.inner_group_num }
  get width(): number { return this.config.hidden_size }

  /** tanh(W x + b) of the first token: of hidden states `[B, T, C]`, `[B, C]`. */
  pool(x: Tensor): Tensor { return precisely(() => tanh(this.pooler!.forward(select(x, 1, 0)))) }

  protected hidden(ids: Tensor, step: EncoderStep): Tensor {
    const mask = attentionMaskOf(step), { embedding_hidden_mapping_in, albert_layer_groups } = this.encoder, { num_hidden_layers } = this.config
    const x = embedding_hidden_mapping_in.forward(this.embeddings.forward(ids, step.start, step.tokenTypeIds))
    const order = Array.from({ length: num_hidden_layers }, (_, i) => albert_layer_groups[Math.floor(i / (num_hidden_layers / albert_layer_groups.length))]!.albert_layers)
    return this.through(order.flat(), x, step, (layer, y) => layer.forward(y, mask))
  }
}

class Predictions extends TokenPredictions {
  readonly LayerNorm: LayerNorm
  readonly dense: Linear
  private readonly activated: ActivatedLinear

  constructor(c: AlbertConfig) {
    super(c, c.embedding_size)
    this.LayerNorm = new LayerNorm(c.embedding_size, { eps: c.layer_norm_eps })
    this.dense = dense(c, c.hidden_size, c.embedding_size)
    this.activated = activatedLinear('albert', 'hidden_act', c.hidden_act)
  }

  protected transformed(x: Tensor): Tensor { return this.LayerNorm.forward(this.activated(this.dense, x)) }
}

class SentenceOrder extends Module {
  readonly classifier: Linear
  private readonly dropout: Dropout

  constructor(c: AlbertConfig) {
    super()
    this.classifier = dense(c, c.hidden_size, c.num_labels)
    this.dropout = new Dropout(c.classifier_dropout_prob)
  }

  forward(pooled: Tensor): Tensor { return classes(this.classifier, this.dropout.forward(pooled)) }
}

export interface AlbertPreTrainingOutput {
  /** `[B, T, V]` */
  predictionLogits: Tensor
  /** `[B, 2]`: 0 where the texts stand in their order, 1 where they were exchanged */
  sopLogits: Tensor
}

const wordsOf = (albert: AlbertModel): Tensor => albert.embeddings.word_embeddings.weight

/** ALBERT as it is pretrained: words behind masks, and the order of two texts. */
export class AlbertForPreTraining extends EncoderModel<AlbertModel> {
  declare readonly albert: AlbertModel
  readonly predictions: Predictions
  readonly sop_classifier: SentenceOrder

  constructor(config: Given = {}) {
    super('albert', new AlbertModel(config))
    this.predictions = new Predictions(this.config)
    this.sop_classifier = new SentenceOrder(this.config)
  }

  forward(ids: Tensor, inputs: EncoderInputs = {}): AlbertPreTrainingOutput {
    return scope(() => {
      const x = this.albert.forward(ids, inputs)
      return { predictionLogits: this.predictions.forward(x, wordsOf(this.albert)), sopLogits: this.sop_classifier.forward(this.albert.pool(x)) }
    })
  }

  /** Sum of two cross-entropies: of words, `labels` `[B, T]`, and of `sentenceOrderLabel` `[B]`; -100 does not count. */
  loss({ ids, labels, sentenceOrderLabel, ...inputs }: LabelledBatch & { sentenceOrderLabel: Tensor }, options: LabelLossOptions = {}): Tensor {
    return scope(() => {
      const { predictionLogits, sopLogits } = this.forward(ids, inputs)
      return add(crossEntropy(predictionLogits, labels, options), crossEntropy(sopLogits, sentenceOrderLabel, options))
    })
  }
}

/** ALBERT that predicts the words behind masks: logits `[B, T, V]`. */
export class AlbertForMaskedLM extends EncoderClassifier<AlbertModel> {
  declare readonly albert: AlbertModel
  readonly predictions: Predictions

  constructor(config: Given = {}) {
    super('albert', new AlbertModel(config, { pooler: false }))
    this.predictions = new Predictions(this.config)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return this.predictions.forward(this.albert.forward(ids, inputs), wordsOf(this.albert)) }
}

const classifierDropout = (c: AlbertConfig): number => c.classifier_dropout_prob

/** ALBERT that sorts texts or pairs of them. */
export class AlbertForSequenceClassification extends PooledSequenceClassifier<AlbertModel> {
  declare readonly albert: AlbertModel
  constructor(config: Given = {}) { super('albert', new AlbertModel(config), classifierDropout) }
}

/** ALBERT that chooses among texts. */
export class AlbertForMultipleChoice extends PooledMultipleChoice<AlbertModel> {
  declare readonly albert: AlbertModel
  constructor(config: Given = {}) { super('albert', new AlbertModel(config), classifierDropout) }
}

/** ALBERT that sorts tokens. */
export class AlbertForTokenClassification extends TokenClassifier<AlbertModel> {
  declare readonly albert: AlbertModel
  constructor(config: Given = {}) { super('albert', new AlbertModel(config, { pooler: false }), classifierDropout) }
}

/** ALBERT that finds the answer to a question in a text. */
export class AlbertForQuestionAnswering extends QuestionAnswering<AlbertModel> {
  declare readonly albert: AlbertModel
  constructor(config: Given = {}) { super('albert', new AlbertModel(config, { pooler: false })) }
}

const common = {
  modelType: 'albert', prefix: 'albert', config: ({ config }: { config: AlbertModel['config'] }) => encoderConfiguration(config), renamed: renamedNorms,
  ignored: /(^|\.)embeddings\.position_ids$/, others: /^((albert\.)?pooler|predictions|sop_classifier|classifier|qa_outputs)\./,
}
const tied = tiedPredictions('predictions', 'albert.embeddings.word_embeddings.weight')

export const albertClasses: readonly PretrainedClass[] = [
  pretrainedClass({ ...common, architecture: 'AlbertModel', task: 'base', Model: AlbertModel }),
  pretrainedClass({ ...common, architecture: 'AlbertForPreTraining', task: 'pretraining', Model: AlbertForPreTraining, tied }),
  pretrainedClass({ ...common, architecture: 'AlbertForMaskedLM', task: 'masked-lm', Model: AlbertForMaskedLM, tied }),
  pretrainedClass({ ...common, architecture: 'AlbertForSequenceClassification', task: 'sequence-classification', Model: AlbertForSequenceClassification }),
  pretrainedClass({ ...common, architecture: 'AlbertForMultipleChoice', task: 'multiple-choice', Model: AlbertForMultipleChoice }),
  pretrainedClass({ ...common, architecture: 'AlbertForTokenClassification', task: 'token-classification', Model: AlbertForTokenClassification }),
  pretrainedClass({ ...common, architecture: 'AlbertForQuestionAnswering', task: 'question-answering', Model: AlbertForQuestionAnswering }),
]
