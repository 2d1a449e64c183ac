import { ConfigError } from '../errors.js'
import { Dropout, LayerNorm, type Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { add } from '../ops/add.js'
import { ne } from '../ops/compare.js'
import { cast } from '../ops/copy.js'
import { cumsum } from '../ops/cumsum.js'
import { mul } from '../ops/mul.js'
import { tanh } from '../ops/unary.js'
import { select } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'
import { type BertConfig, bertDefaults, BertEncoder, bertSizes } from './bertEncoder.js'
import type { PretrainedConfig } from './configuration.js'
import { completedEncoder, dense, encoderConfiguration, type EncoderInputs, type EncoderStep, precisely } from './encoder.js'
import { PooledMultipleChoice, QuestionAnswering, renamedNorms, tiedPredictions, TokenClassifier, TokenPredictions } from './encoderHeads.js'
import { CausalEncoder, EncoderClassifier, SequenceClassifier } from './encoderModel.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** RoBERTa, and XLM-RoBERTa, which differs in its vocabulary alone. */
export type RobertaType = 'roberta' | 'xlm-roberta'

/** Configuration under the names of `config.json`. Of the `max_position_embeddings`, those up to `pad_token_id` stand for padding. */
export type RobertaConfig = BertConfig
type Given = Partial<RobertaConfig> & PretrainedConfig

function complete(config: PretrainedConfig): RobertaConfig & PretrainedConfig {
  const type = config['model_type'] ?? 'roberta'
  if (type !== 'roberta' && type !== 'xlm-roberta') throw new ConfigError(`Roberta: model_type is ${JSON.stringify(type)}, expected 'roberta' or 'xlm-roberta'`)
  const c = completedEncoder(type, config, { ...bertDefaults, model_type: type, vocab_size: type === 'roberta' ? 50265 : 30522, pad_token_id: 1 }, bertSizes)
  if (c.pad_token_id === null || c.pad_token_id < 0 || c.pad_token_id >= c.max_position_embeddings)
    throw new ConfigError(`${type}: pad_token_id is ${JSON.stringify(c.pad_token_id)}, expected an id from 0 to ${c.max_position_embeddings - 1}: positions are counted from it on`)
  return c
}

/** The layers of RoBERTa (Liu et al. 2019, https://arxiv.org/abs/1907.11692): those of BERT, with positions that are counted from the id of padding on. */
export class RobertaModel extends BertEncoder {
  /** @param options pooler: whether there is a layer for whole texts @throws ConfigError for what is not known or does not fit */
  constructor(config: Given = {}, { pooler = true } = {}) {
    const c = complete(config)
    super(c, { pooler, positionPadding: c.pad_token_id! })
  }

  /** Tokens of a text: the positions up to that of padding are for none. */
  override get maxPositions(): number { return this.config.max_position_embeddings - this.config.pad_token_id! - 1 }

  /** In a generation they are counted from 0 on instead, which is what transformers does. */
  protected override embed(ids: Tensor, step: EncoderStep): Tensor {
    const given = step.caches !== undefined || typeof step.start !== 'number'
    return super.embed(ids, given ? step : { ...step, start: positionsOf(ids, this.config.pad_token_id!) })
  }
}

/** For each token how many there are up to it in its row, plus the id of padding; that id itself for padding. int32 */
function positionsOf(ids: Tensor, pad: number): Tensor {
  const tokens = cast(ne(ids, pad), 'int32')
  return add(mul(cast(cumsum(tokens, 1), 'int32'), tokens), pad)
}

class LanguageModelHead extends TokenPredictions {
  readonly dense: Linear
  readonly layer_norm: LayerNorm

  constructor(c: RobertaConfig) {
    super(c, c.hidden_size)
    this.dense = dense(c, c.hidden_size, c.hidden_size)
    this.layer_norm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
  }

  protected transformed(x: Tensor): Tensor { return this.layer_norm.forward(this.dense.forward(x, 'gelu')) }
}

const wordsOf = (roberta: RobertaModel): Tensor => roberta.embeddings.word_embeddings.weight

/** RoBERTa that predicts the words behind masks: logits `[B, T, V]`. */
export class RobertaForMaskedLM extends EncoderClassifier<RobertaModel> {
  declare readonly roberta: RobertaModel
  readonly lm_head: LanguageModelHead

  constructor(config: Given = {}) {
    super('roberta', new RobertaModel(config, { pooler: false }))
    this.lm_head = new LanguageModelHead(this.config)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return this.lm_head.forward(this.roberta.forward(ids, inputs), wordsOf(this.roberta)) }
}

/** RoBERTa that predicts the next token; `is_decoder` hides those to come. */
export class RobertaForCausalLM extends CausalEncoder<RobertaModel> {
  declare readonly roberta: RobertaModel
  readonly lm_head: LanguageModelHead

  constructor(config: Given = {}) {
    super('roberta', new RobertaModel(config, { pooler: false }))
    this.lm_head = new LanguageModelHead(this.config)
  }

  protected override project(x: Tensor): Tensor { return this.lm_head.forward(x, wordsOf(this.roberta)) }
}

const classifierDropout = (c: RobertaConfig): number => c.classifier_dropout ?? c.hidden_dropout_prob

/** Logits of the first token's hidden state, through a layer with tanh. */
class ClassificationHead extends Module {
  readonly dense: Linear
  readonly out_proj: Linear
  private readonly dropout: Dropout

  constructor(c: RobertaConfig) {
    super()
    this.dense = dense(c, c.hidden_size, c.hidden_size)
    this.out_proj = dense(c, c.hidden_size, c.num_labels)
    this.dropout = new Dropout(classifierDropout(c))
  }

  forward(x: Tensor): Tensor {
    return precisely(() => this.out_proj.forward(this.dropout.forward(tanh(this.dense.forward(this.dropout.forward(select(x, 1, 0)))))))
  }
}

/** RoBERTa that sorts texts or pairs of them. */
export class RobertaForSequenceClassification extends SequenceClassifier<RobertaModel> {
  declare readonly roberta: RobertaModel
  readonly classifier: ClassificationHead

  constructor(config: Given = {}) {
    super('roberta', new RobertaModel(config, { pooler: false }))
    this.classifier = new ClassificationHead(this.config)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return this.classifier.forward(this.roberta.forward(ids, inputs)) }
}

/** RoBERTa that chooses among texts. */
export class RobertaForMultipleChoice extends PooledMultipleChoice<RobertaModel> {
  declare readonly roberta: RobertaModel
  constructor(config: Given = {}) { super('roberta', new RobertaModel(config), c => c.hidden_dropout_prob) }
}

/** RoBERTa that sorts tokens. */
export class RobertaForTokenClassification extends TokenClassifier<RobertaModel> {
  declare readonly roberta: RobertaModel
  constructor(config: Given = {}) { super('roberta', new RobertaModel(config, { pooler: false }), classifierDropout) }
}

/** RoBERTa that finds the answer to a question in a text. */
export class RobertaForQuestionAnswering extends QuestionAnswering<RobertaModel> {
  declare readonly roberta: RobertaModel
  constructor(config: Given = {}) { super('roberta', new RobertaModel(config, { pooler: false })) }
}

const tied = tiedPredictions('lm_head', 'roberta.embeddings.word_embeddings.weight')

export const robertaClasses: readonly PretrainedClass[] = ([['roberta', 'Roberta'], ['xlm-roberta', 'XLMRoberta']] as const).flatMap(([modelType, name]) => {
  const common = {
    modelType, prefix: 'roberta', config: ({ config }: { config: RobertaModel['config'] }) => encoderConfiguration(config), renamed: renamedNorms,
    ignored: /(^|\.)embeddings\.position_ids$/, others: /^((roberta\.)?pooler|lm_head|classifier|qa_outputs)\./,
  }
  return [
    pretrainedClass({ ...common, architecture: `${name}Model`, task: 'base', Model: RobertaModel }),
    pretrainedClass({ ...common, architecture: `${name}ForMaskedLM`, task: 'masked-lm', Model: RobertaForMaskedLM, tied }),
    pretrainedClass({ ...common, architecture: `${name}ForCausalLM`, task: 'causal-lm', Model: RobertaForCausalLM, tied }),
    pretrainedClass({ ...common, architecture: `${name}ForSequenceClassification`, task: 'sequence-classification', Model: RobertaForSequenceClassification }),
    pretrainedClass({ ...common, architecture: `${name}ForMultipleChoice`, task: 'multiple-choice', Model: RobertaForMultipleChoice }),
    pretrainedClass({ ...common, architecture: `${name}ForTokenClassification`, task: 'token-classification', Model: RobertaForTokenClassification }),
    pretrainedClass({ ...common, architecture: `${name}ForQuestionAnswering`, task: 'question-answering', Model: RobertaForQuestionAnswering }),
  ]
})
