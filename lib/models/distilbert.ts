import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { LearnedPositions, sinusoidalTable } from '../nn/positions.js'
import { intoStream } from '../nn/precision.js'
import { attentionSublayer } from '../nn/recompute.js'
import { selfAttention, type SelfAttentionOptions } from '../nn/selfAttention.js'
import { select } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { activatedLinear, type ActivatedLinear } from './activations.js'
import type { PretrainedConfig } from './configuration.js'
import {
  attentionMaskOf, checkHeads, completedEncoder, dense, Encoder, type EncoderConfig, encoderConfiguration, encoderDefaults, type EncoderInputs, type EncoderStep, paddingIndexOf,
  precisely,
} from './encoder.js'
import { QuestionAnswering, renamedNorms, TokenClassifier, VocabularyOutput } from './encoderHeads.js'
import { EncoderClassifier, MultipleChoice, SequenceClassifier } from './encoderModel.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** DistilBERT's configuration under the names of its `config.json`. */
export interface DistilBertConfig extends EncoderConfig {
  /** Positions begin as sinusoids instead of at random. */
  sinusoidal_pos_embds: boolean
  n_layers: number
  n_heads: number
  dim: number
  hidden_dim: number
  dropout: number
  attention_dropout: number
  activation: string
  qa_dropout: number
  seq_classif_dropout: number
}
type Given = Partial<DistilBertConfig> & PretrainedConfig

const defaults = {
  ...encoderDefaults, model_type: 'distilbert', vocab_size: 30522, max_position_embeddings: 512, sinusoidal_pos_embds: false, n_layers: 6, n_heads: 12, dim: 768, hidden_dim: 3072,
  dropout: 0.1, attention_dropout: 0.1, activation: 'gelu', qa_dropout: 0.1, seq_classif_dropout: 0.2, pad_token_id: 0,
}
const eps = 1e-12

class Embeddings extends Module {
  readonly word_embeddings: Embedding
  readonly position_embeddings: LearnedPositions
  readonly LayerNorm: LayerNorm
  private readonly dropout: Dropout

  constructor(c: DistilBertConfig) {
    super()
    const initialization = { kind: 'normal', std: c.initializer_range } as const, paddingIndex = paddingIndexOf(c)
    this.word_embeddings = new Embedding(c.vocab_size, c.dim, { initialization, ...(paddingIndex === undefined ? {} : { paddingIndex }) })
    this.position_embeddings = new LearnedPositions(c.max_position_embeddings, c.dim, c.initializer_range)
    if (c.sinusoidal_pos_embds) this.position_embeddings.weight.assign(sinusoidalTable(c.max_position_embeddings, c.dim))
    this.LayerNorm = new LayerNorm(c.dim, { eps })
    this.dropout = new Dropout(c.dropout)
  }

  forward(ids: Tensor, positions: number | Tensor): Tensor {
    return this.dropout.forward(this.LayerNorm.forward(this.position_embeddings.forward(this.word_embeddings.forward(ids), positions)))
  }
}

class SelfAttention extends Module {
  readonly q_lin: Linear
  readonly k_lin: Linear
  readonly v_lin: Linear
  readonly out_lin: Linear

  constructor(private readonly c: DistilBertConfig) {
    super()
    this.q_lin = dense(c, c.dim, c.dim)
    this.k_lin = dense(c, c.dim, c.dim)
    this.v_lin = dense(c, c.dim, c.dim)
    this.out_lin = dense(c, c.dim, c.dim, intoStream)
  }

  forward(x: Tensor, mask: SelfAttentionOptions): Tensor {
    const dropout = this.training ? this.c.attention_dropout : 0
    return this.out_lin.forward(selfAttention(x, [this.q_lin, this.k_lin, this.v_lin], this.c.n_heads, { ...mask, dropout }))
  }
}

class FeedForward extends Module {
  readonly lin1: Linear
  readonly lin2: Linear
  private readonly activated: ActivatedLinear

  constructor(c: DistilBertConfig) {
    super()
    this.lin1 = dense(c, c.dim, c.hidden_dim)
    this.lin2 = dense(c, c.hidden_dim, c.dim, intoStream)
    this.activated = activatedLinear('distilbert', 'activation', c.activation)
  }

  forward(x: Tensor): Tensor { return this.lin2.forward(this.activated(this.lin1, x)) }
}

class Block extends Module {
  readonly attention: SelfAttention
  readonly sa_layer_norm: LayerNorm
  readonly ffn: FeedForward
  readonly output_layer_norm: LayerNorm

  constructor(private readonly c: DistilBertConfig) {
    super()
    this.attention = new SelfAttention(c)
    this.sa_layer_norm = new LayerNorm(c.dim, { eps })
    this.ffn = new FeedForward(c)
    this.output_layer_norm = new LayerNorm(c.dim, { eps })
  }

  forward(x: Tensor /* B T C */, mask: SelfAttentionOptions): Tensor {
    return scope(() => {
      const { y } = this.sa_layer_norm.add(x, attentionSublayer(z => this.attention.forward(z!, mask), x))
      return this.output_layer_norm.add(y, this.ffn.forward(y), this.training ? this.c.dropout : 0).y
    })
  }
}

class Blocks extends Module {
  readonly layer: Block[]

  constructor(c: DistilBertConfig) {
    super()
    this.layer = Array.from({ length: c.n_layers }, () => new Block(c))
  }
}

/** The layers of DistilBERT (Sanh et al. 2019, https://arxiv.org/abs/1910.01108): half of BERT's, which know of no second text. */
export class DistilBertModel extends Encoder {
  readonly config: DistilBertConfig & PretrainedConfig
  readonly embeddings: Embeddings
  readonly transformer: Blocks

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Given = {}) {
    super()
    const c = this.config = completedEncoder('distilbert', config, defaults, ['n_layers', 'n_heads', 'dim', 'hidden_dim'])
    checkHeads('distilbert', 'dim', c.dim, c.n_heads)
    this.embeddings = new Embeddings(c)
    this.transformer = new Blocks(c)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.config.max_position_embeddings }
  get layerCount(): number { return this.config.n_layers }
  get width(): number { return this.config.dim }

  protected hidden(ids: Tensor, step: EncoderStep): Tensor {
    const mask = attentionMaskOf(step)
    return this.through(this.transformer.layer, this.embeddings.forward(ids, step.start), step, (layer, x) => layer.forward(x, mask))
  }
}

/** DistilBERT that predicts the words behind masks: logits `[B, T, V]`. */
export class DistilBertForMaskedLM extends EncoderClassifier<DistilBertModel> {
  declare readonly distilbert: DistilBertModel
  readonly vocab_transform: Linear
  readonly vocab_layer_norm: LayerNorm
  readonly vocab_projector: VocabularyOutput
  private readonly activated: ActivatedLinear

  constructor(config: Given = {}) {
    super('distilbert', new DistilBertModel(config))
    const { config: c } = this
    this.vocab_transform = dense(c, c.dim, c.dim)
    this.vocab_layer_norm = new LayerNorm(c.dim, { eps })
    this.vocab_projector = new VocabularyOutput(c, c.dim)
    this.activated = activatedLinear('distilbert', 'activation', c.activation)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor {
    const x = this.activated(this.vocab_transform, this.distilbert.forward(ids, inputs))
    return this.vocab_projector.forward(this.vocab_layer_norm.forward(x), this.distilbert.embeddings.word_embeddings.weight)
  }
}

/** Logits of the first token's hidden state, through a layer with ReLU. */
function firstToken(x: Tensor, preClassifier: Linear, dropout: Dropout, classifier: Linear): Tensor {
  return precisely(() => classifier.forward(dropout.forward(preClassifier.forward(select(x, 1, 0), 'relu'))))
}

/** DistilBERT that sorts texts. */
export class DistilBertForSequenceClassification extends SequenceClassifier<DistilBertModel> {
  declare readonly distilbert: DistilBertModel
  readonly pre_classifier: Linear
  readonly classifier: Linear
  private readonly dropout: Dropout

  constructor(config: Given = {}) {
    super('distilbert', new DistilBertModel(config))
    const { config: c } = this
    this.pre_classifier = dense(c, c.dim, c.dim)
    this.classifier = dense(c, c.dim, c.num_labels)
    this.dropout = new Dropout(c.seq_classif_dropout)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return firstToken(this.distilbert.forward(ids, inputs), this.pre_classifier, this.dropout, this.classifier) }
}

/** DistilBERT that chooses among texts. */
export class DistilBertForMultipleChoice extends MultipleChoice<DistilBertModel> {
  declare readonly distilbert: DistilBertModel
  readonly pre_classifier: Linear
  readonly classifier: Linear
  private readonly dropout: Dropout

  constructor(config: Given = {}) {
    super('distilbert', new DistilBertModel(config))
    const { config: c } = this
    this.pre_classifier = dense(c, c.dim, c.dim)
    this.classifier = dense(c, c.dim, 1)
    this.dropout = new Dropout(c.seq_classif_dropout)
  }

  protected scores(ids: Tensor, inputs: EncoderInputs): Tensor { return firstToken(this.distilbert.forward(ids, inputs), this.pre_classifier, this.dropout, this.classifier) }
}

/** DistilBERT that sorts tokens. */
export class DistilBertForTokenClassification extends TokenClassifier<DistilBertModel> {
  declare readonly distilbert: DistilBertModel
  constructor(config: Given = {}) { super('distilbert', new DistilBertModel(config), c => c.dropout) }
}

/** DistilBERT that finds the answer to a question in a text. */
export class DistilBertForQuestionAnswering extends QuestionAnswering<DistilBertModel> {
  declare readonly distilbert: DistilBertModel
  constructor(config: Given = {}) { super('distilbert', new DistilBertModel(config), c => c.qa_dropout) }
}

const common = {
  modelType: 'distilbert', prefix: 'distilbert', config: ({ config }: { config: DistilBertModel['config'] }) => encoderConfiguration(config), renamed: renamedNorms,
  ignored: /(^|\.)embeddings\.position_ids$/, others: /^(vocab_transform|vocab_layer_norm|vocab_projector|pre_classifier|classifier|qa_outputs)\./,
}

export const distilbertClasses: readonly PretrainedClass[] = [
  pretrainedClass({ ...common, architecture: 'DistilBertModel', task: 'base', Model: DistilBertModel }),
  pretrainedClass({
    ...common, architecture: 'DistilBertForMaskedLM', task: 'masked-lm', Model: DistilBertForMaskedLM,
    tied: ({ config }): Record<string, string> => config.tie_word_embeddings ? { 'vocab_projector.weight': 'distilbert.embeddings.word_embeddings.weight' } : {},
  }),
  pretrainedClass({ ...common, architecture: 'DistilBertForSequenceClassification', task: 'sequence-classification', Model: DistilBertForSequenceClassification }),
  pretrainedClass({ ...common, architecture: 'DistilBertForMultipleChoice', task: 'multiple-choice', Model: DistilBertForMultipleChoice }),
  pretrainedClass({ ...common, architecture: 'DistilBertForTokenClassification', task: 'token-classification', Model: DistilBertForTokenClassification }),
  pretrainedClass({ ...common, architecture: 'DistilBertForQuestionAnswering', task: 'question-answering', Model: DistilBertForQuestionAnswering }),
]
