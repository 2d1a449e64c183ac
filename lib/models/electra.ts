import { ConfigError, ShapeError } from '../errors.js'
import { Dropout, LayerNorm, type Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { intoStream } from '../nn/precision.js'
import { cast } from '../ops/copy.js'
import { eq } from '../ops/compare.js'
import { div, mul } from '../ops/mul.js'
import { mean, sum } from '../ops/reduce.js'
import { select, squeeze } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'
import { activatedLinear, type ActivatedLinear, activationFunction } from './activations.js'
import { type BertConfig, bertDefaults, BertEncoder, bertSizes } from './bertEncoder.js'
import type { PretrainedConfig } from './configuration.js'
import { completedEncoder, dense, encoderConfiguration, type EncoderInputs, type EncoderStep, precisely } from './encoder.js'
import { QuestionAnswering, renamedNorms, TokenClassifier, VocabularyOutput } from './encoderHeads.js'
import { CausalEncoder, EncoderClassifier, MultipleChoice, SequenceClassifier } from './encoderModel.js'
import { binaryCrossEntropy, type LabelLossOptions } from './labels.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** ELECTRA's configuration under the names of its `config.json`. */
export interface ElectraConfig extends BertConfig {
  /** Width of the embeddings. */
  embedding_size: number
  /** Which token stands for the text among choices: 'first', 'last', 'mean' of all, or 'cls_index', which is the last. */
  summary_type: string
  summary_use_proj: boolean
  /** '': none */
  summary_activation: string
  summary_first_dropout: number
  summary_last_dropout: number
}
type Given = Partial<ElectraConfig> & PretrainedConfig

const defaults = {
  ...bertDefaults, model_type: 'electra', embedding_size: 128, hidden_size: 256, num_attention_heads: 4, intermediate_size: 1024, summary_type: 'first', summary_use_proj: true,
  summary_activation: 'gelu', summary_first_dropout: 0, summary_last_dropout: 0.1,
}

/** The layers of ELECTRA (Clark et al. 2020, https://arxiv.org/abs/2003.10555): those of BERT, behind embeddings of another width, without a vector for the whole text. */
export class ElectraModel extends BertEncoder {
  declare readonly config: ElectraConfig & PretrainedConfig
  readonly embeddings_project: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Given = {}) {
    const c = completedEncoder('electra', config, defaults, [...bertSizes, 'embedding_size'])
    super(c, { pooler: false, width: c.embedding_size })
    this.embeddings_project = c.embedding_size === c.hidden_size ? undefined : dense(c, c.embedding_size, c.hidden_size, intoStream)
  }

  protected override embed(ids: Tensor, step: EncoderStep): Tensor {
    const x = super.embed(ids, step)
    return this.embeddings_project?.forward(x) ?? x
  }
}

class Discriminator extends Module {
  readonly dense: Linear
  readonly dense_prediction: Linear
  private readonly activated: ActivatedLinear

  constructor(c: ElectraConfig) {
    super()
    this.dense = dense(c, c.hidden_size, c.hidden_size)
    this.dense_prediction = dense(c, c.hidden_size, 1)
    this.activated = activatedLinear('electra', 'hidden_act', c.hidden_act)
  }

  forward(x: Tensor): Tensor { return squeeze(this.dense_prediction.forward(this.activated(this.dense, x)), -1) }
}

/** ELECTRA that finds the tokens which were replaced: logits `[B, T]`, labels 1 where a token is not the original. */
export class ElectraForPreTraining extends EncoderClassifier<ElectraModel> {
  declare readonly electra: ElectraModel
  readonly discriminator_predictions: Discriminator

  constructor(config: Given = {}) {
    super('electra', new ElectraModel(config))
    this.discriminator_predictions = new Discriminator(this.config)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return this.discriminator_predictions.forward(this.electra.forward(ids, inputs)) }

  /** Binary cross-entropy of the tokens whose mask is 1. */
  protected override criterion(logits: Tensor, labels: Tensor, { reduction = 'mean', labelSmoothing = 0 }: LabelLossOptions, { attentionMask }: EncoderInputs): Tensor {
    if (labelSmoothing) throw new ConfigError(`loss: labelSmoothing is ${labelSmoothing}, but whether a token was replaced is no class that can be smoothed`)
    if (attentionMask && attentionMask.rank !== 2) throw new ShapeError(`loss: attentionMask is [${attentionMask.shape.join(', ')}], expected [B, T]: it says which tokens count`)
    const losses = binaryCrossEntropy(cast(logits, 'float32'), cast(labels, 'float32'))
    if (!attentionMask) return reduction === 'mean' ? mean(losses) : sum(losses)
    const counts = cast(eq(attentionMask, 1), 'float32'), total = sum(mul(losses, counts))
    return reduction === 'mean' ? div(total, sum(counts)) : total
  }
}

class Generator extends Module {
  readonly LayerNorm: LayerNorm
  readonly dense: Linear

  constructor(c: ElectraConfig) {
    super()
    this.LayerNorm = new LayerNorm(c.embedding_size, { eps: c.layer_norm_eps })
    this.dense = dense(c, c.hidden_size, c.embedding_size)
  }

  forward(x: Tensor): Tensor { return this.LayerNorm.forward(this.dense.forward(x, 'gelu')) }
}

const wordsOf = (electra: ElectraModel): Tensor => electra.embeddings.word_embeddings.weight

/** ELECTRA's generator, which predicts the words behind masks: logits `[B, T, V]`. */
export class ElectraForMaskedLM extends EncoderClassifier<ElectraModel> {
  declare readonly electra: ElectraModel
  readonly generator_predictions: Generator
  readonly generator_lm_head: VocabularyOutput

  constructor(config: Given = {}) {
    super('electra', new ElectraModel(config))
    this.generator_predictions = new Generator(this.config)
    this.generator_lm_head = new VocabularyOutput(this.config, this.config.embedding_size)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor {
    return this.generator_lm_head.forward(this.generator_predictions.forward(this.electra.forward(ids, inputs)), wordsOf(this.electra))
  }
}

/** ELECTRA that predicts the next token; `is_decoder` hides those to come. */
export class ElectraForCausalLM extends CausalEncoder<ElectraModel> {
  declare readonly electra: ElectraModel
  readonly generator_predictions: Generator
  readonly generator_lm_head: VocabularyOutput

  constructor(config: Given = {}) {
    super('electra', new ElectraModel(config))
    this.generator_predictions = new Generator(this.config)
    this.generator_lm_head = new VocabularyOutput(this.config, this.config.embedding_size)
  }

  protected override project(x: Tensor): Tensor { return this.generator_lm_head.forward(this.generator_predictions.forward(x), wordsOf(this.electra)) }
}

const classifierDropout = (c: ElectraConfig): number => c.classifier_dropout ?? c.hidden_dropout_prob

/** Logits of the first token's hidden state, through a layer with GELU. */
class ClassificationHead extends Module {
  readonly dense: Linear
  readonly out_proj: Linear
  private readonly dropout: Dropout

  constructor(c: ElectraConfig) {
    super()
    this.dense = dense(c, c.hidden_size, c.hidden_size)
    this.out_proj = dense(c, c.hidden_size, c.num_labels)
    this.dropout = new Dropout(classifierDropout(c))
  }

  forward(x: Tensor): Tensor {
    return precisely(() => this.out_proj.forward(this.dropout.forward(this.dense.forward(this.dropout.forward(select(x, 1, 0)), 'gelu'))))
  }
}

/** ELECTRA that sorts texts or pairs of them. */
export class ElectraForSequenceClassification extends SequenceClassifier<ElectraModel> {
  declare readonly electra: ElectraModel
  readonly classifier: ClassificationHead

  constructor(config: Given = {}) {
    super('electra', new ElectraModel(config))
    this.classifier = new ClassificationHead(this.config)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return this.classifier.forward(this.electra.forward(ids, inputs)) }
}

/** A vector for the whole text. */
class Summary extends Module {
  readonly summary: Linear | undefined
  private readonly activation: (x: Tensor) => Tensor
  private readonly first: Dropout
  private readonly last: Dropout

  constructor(private readonly c: ElectraConfig & PretrainedConfig) {
    super()
    const types = ['first', 'last', 'mean', 'cls_index']
    if (!types.includes(c.summary_type)) throw new ConfigError(`electra: summary_type is ${JSON.stringify(c.summary_type)}, expected one of: ${types.join(', ')}`)
    if (c['summary_proj_to_labels']) throw new ConfigError('electra: summary_proj_to_labels: true is not supported')
    this.summary = c.summary_use_proj ? dense(c, c.hidden_size, c.hidden_size) : undefined
    this.activation = c.summary_activation ? activationFunction('electra', 'summary_activation', c.summary_activation) : x => x
    this.first = new Dropout(c.summary_first_dropout)
    this.last = new Dropout(c.summary_last_dropout)
  }

  forward(x: Tensor /* B T C */): Tensor {
    const { summary_type: type } = this.c
    const y = this.first.forward(type === 'mean' ? mean(x, 1) : select(x, 1, type === 'first' ? 0 : -1))
    return this.last.forward(this.activation(this.summary ? this.summary.forward(y) : y))
  }
}

/** ELECTRA that chooses among texts. */
export class ElectraForMultipleChoice extends MultipleChoice<ElectraModel> {
  declare readonly electra: ElectraModel
  readonly sequence_summary: Summary
  readonly classifier: Linear

  constructor(config: Given = {}) {
    super('electra', new ElectraModel(config))
    this.sequence_summary = new Summary(this.config)
    this.classifier = dense(this.config, this.config.hidden_size, 1)
  }

  protected scores(ids: Tensor, inputs: EncoderInputs): Tensor {
    const x = this.electra.forward(ids, inputs)
    return precisely(() => this.classifier.forward(this.sequence_summary.forward(x)))
  }
}

/** ELECTRA that sorts tokens. */
export class ElectraForTokenClassification extends TokenClassifier<ElectraModel> {
  declare readonly electra: ElectraModel
  constructor(config: Given = {}) { super('electra', new ElectraModel(config), classifierDropout) }
}

/** ELECTRA that finds the answer to a question in a text. */
export class ElectraForQuestionAnswering extends QuestionAnswering<ElectraModel> {
  declare readonly electra: ElectraModel
  constructor(config: Given = {}) { super('electra', new ElectraModel(config)) }
}

const common = {
  modelType: 'electra', prefix: 'electra', config: ({ config }: { config: ElectraModel['config'] }) => encoderConfiguration(config), renamed: renamedNorms,
  ignored: /(^|\.)embeddings\.position_ids$/, others: /^(discriminator_predictions|generator_predictions|generator_lm_head|sequence_summary|classifier|qa_outputs)\./,
}
const tied = ({ config }: { readonly config: ElectraConfig }): Record<string, string> => config.tie_word_embeddings ? { 'generator_lm_head.weight': 'electra.embeddings.word_embeddings.weight' } : {}

export const electraClasses: readonly PretrainedClass[] = [
  pretrainedClass({ ...common, architecture: 'ElectraModel', task: 'base', Model: ElectraModel }),
  pretrainedClass({ ...common, architecture: 'ElectraForPreTraining', task: 'pretraining', Model: ElectraForPreTraining }),
  pretrainedClass({ ...common, architecture: 'ElectraForMaskedLM', task: 'masked-lm', Model: ElectraForMaskedLM, tied }),
  pretrainedClass({ ...common, architecture: 'ElectraForCausalLM', task: 'causal-lm', Model: ElectraForCausalLM, tied }),
  pretrainedClass({ ...common, architecture: 'ElectraForSequenceClassification', task: 'sequence-classification', Model: ElectraForSequenceClassification }),
  pretrainedClass({ ...common, architecture: 'ElectraForMultipleChoice', task: 'multiple-choice', Model: ElectraForMultipleChoice }),
  pretrainedClass({ ...common, architecture: 'ElectraForTokenClassification', task: 'token-classification', Model: ElectraForTokenClassification }),
  pretrainedClass({ ...common, architecture: 'ElectraForQuestionAnswering', task: 'question-answering', Model: ElectraForQuestionAnswering }),
]
