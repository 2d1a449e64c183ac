import { ConfigError } from '../errors.js'
import { Dropout, Embedding, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import type { Checkpointing } from '../nn/recompute.js'
import { mul } from '../ops/mul.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { activationFunction } from './activations.js'
import { checkSizes, completed, type PretrainedConfig } from './configuration.js'
import { EncoderDecoder, type ReadingOptions, Seq2SeqLanguageModel } from './encoderDecoder.js'
import { completedLabels, type LabelConfig, type LabelLossOptions, labelNames } from './labels.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass, type Task } from './pretrained.js'
import { ClassificationHead, SourceClassifier, SourceQuestionAnswering } from './sourceClassifier.js'
import { T5Decoder, T5Encoder } from './t5Layers.js'

// T5 (Raffel et al. 2019, https://arxiv.org/abs/1910.10683): every task is text to text. T5 1.1 and mT5 (Xue et al. 2020, https://arxiv.org/abs/2010.11934) have gated
// feed-forward networks, and an output layer whose input is not scaled.

export type T5Type = 't5' | 'mt5'

/** Configuration under the names of `config.json`. */
export interface T5Config extends LabelConfig, PretrainedConfig {
  model_type: T5Type
  vocab_size: number
  d_model: number
  /** D */
  d_kv: number
  d_ff: number
  num_layers: number
  /** Default `num_layers`. */
  num_decoder_layers: number
  num_heads: number
  relative_attention_num_buckets: number
  /** Distance from which on all positions have one bias. */
  relative_attention_max_distance: number
  dropout_rate: number
  classifier_dropout: number
  layer_norm_epsilon: number
  initializer_factor: number
  /** 'relu', or 'gated-gelu' and the like; says the two that follow unless they are given. */
  feed_forward_proj: string
  dense_act_fn: string
  is_gated_act: boolean
  /** T5: what the output layer sees is multiplied by d_model^-0.5. Default: unless `tie_word_embeddings` is false, whatever files have as the output layer. */
  scale_decoder_outputs: boolean
  pad_token_id: number | null
  eos_token_id: number | readonly number[] | null
  decoder_start_token_id: number | null
}

const common = {
  vocab_size: 32128, d_model: 512, d_kv: 64, d_ff: 2048, num_layers: 6, num_heads: 8, relative_attention_num_buckets: 32, relative_attention_max_distance: 128,
  dropout_rate: 0.1, classifier_dropout: 0, layer_norm_epsilon: 1e-6, initializer_factor: 1, feed_forward_proj: 'relu',
}
const defaults = { t5: common, mt5: { ...common, vocab_size: 250112, d_ff: 1024, num_layers: 8, num_heads: 6, feed_forward_proj: 'gated-gelu' } }

type Given = Partial<T5Config> & PretrainedConfig

function complete(given: Given): T5Config {
  const { num_attention_heads, hidden_size, num_hidden_layers, head_dim, ...rest } = given as PretrainedConfig
  // The names that all configurations of transformers answer to.
  const config: PretrainedConfig = Object.fromEntries(Object.entries({ num_heads: num_attention_heads, d_model: hidden_size, num_layers: num_hidden_layers, d_kv: head_dim, ...rest }).filter(([, v]) => v !== undefined))
  const type = (config['model_type'] ?? 't5') as T5Type
  if (!Object.hasOwn(defaults, type)) throw new ConfigError(`T5: model_type is ${JSON.stringify(type)}, expected one of: ${Object.keys(defaults).join(', ')}`)
  const done = completed(type, config, defaults[type], { quantization_config: null, is_decoder: false })
  const projection = done.feed_forward_proj.split('-'), gated = projection[0] === 'gated'
  if (projection.length > 2 || (projection.length === 2 && !gated))
    throw new ConfigError(`${type}: feed_forward_proj is ${JSON.stringify(done.feed_forward_proj)}, expected an activation, or 'gated-' and an activation`)
  const given_ = <T>(key: string, fallback: T): T => config[key] === undefined ? fallback : config[key] as T
  const c: T5Config = {
    ...done, ...completedLabels(type, done, 2), model_type: type, num_decoder_layers: (done['num_decoder_layers'] as number | null | undefined) ?? done.num_layers,
    is_gated_act: given_('is_gated_act', gated), dense_act_fn: given_('dense_act_fn', done.feed_forward_proj === 'gated-gelu' ? 'gelu_new' : projection.at(-1)!),
    scale_decoder_outputs: type === 't5' && given_('scale_decoder_outputs', config['tie_word_embeddings'] !== false),
    pad_token_id: given_('pad_token_id', 0), eos_token_id: given_('eos_token_id', 1), decoder_start_token_id: given_('decoder_start_token_id', type === 'mt5' ? 0 : null),
  }
  checkSizes(type, c, 'vocab_size', 'd_model', 'd_kv', 'd_ff', 'num_layers', 'num_decoder_layers', 'num_heads', 'relative_attention_num_buckets', 'relative_attention_max_distance')
  activationFunction(type, 'feed_forward_proj', c.dense_act_fn)
  // Of the buckets of one side half are for single distances, and the rest reach to the farthest.
  const exact = Math.floor(c.relative_attention_num_buckets / 4), reach = Math.floor(c.relative_attention_num_buckets / 2)
  if (exact < 1 || c.relative_attention_max_distance <= reach)
    throw new ConfigError(`${type}: relative_attention_num_buckets is ${c.relative_attention_num_buckets} and relative_attention_max_distance ${c.relative_attention_max_distance}, `
      + 'expected at least 4 buckets, and a distance of more than half of their number')
  for (const key of ['dropout_rate', 'classifier_dropout'] as const)
    if (!(c[key] >= 0 && c[key] < 1)) throw new ConfigError(`${type}: ${key} is ${c[key]}, expected a number from 0 up to 1`)
  return c
}

const sharedEmbedding = (c: T5Config): Embedding => new Embedding(c.vocab_size, c.d_model, { initialization: { kind: 'normal', std: c.initializer_factor } })

/** Encoder and decoder without a head. */
export class T5Model extends EncoderDecoder {
  readonly config: T5Config
  readonly shared: Embedding
  readonly encoder: T5Encoder
  readonly decoder: T5Decoder

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    const c = this.config = complete(config)
    this.shared = sharedEmbedding(c)
    this.encoder = new T5Encoder(c, this.shared.weight)
    this.decoder = new T5Decoder(c, this.shared.weight)
  }

  get vocabSize(): number { return this.config.vocab_size }

  /** Hidden states of the decoder, `[B, T, C]`, for a text `[B, S]`. */
  forward(ids: Tensor, options: ReadingOptions = {}): Tensor { return scope(() => this.read(ids, options)) }
}

/** Text from text. The output layer is the embedding, but for files that have one of its own (T5 1.1). */
export class T5ForConditionalGeneration extends Seq2SeqLanguageModel {
  readonly config: T5Config
  readonly shared: Embedding
  readonly encoder: T5Encoder
  readonly decoder: T5Decoder
  readonly lm_head: Linear
  /** Distances may be as great as they like. */
  readonly maxPositions = Infinity

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    const c = this.config = complete(config)
    this.shared = sharedEmbedding(c)
    this.encoder = new T5Encoder(c, this.shared.weight)
    this.decoder = new T5Decoder(c, this.shared.weight)
    this.lm_head = new Linear(c.d_model, c.vocab_size, { bias: false, weight: this.shared.weight })
  }

  get vocabSize(): number { return this.config.vocab_size }
  protected override get output(): OutputLayer | undefined { return this.config.scale_decoder_outputs ? undefined : { layer: this.lm_head, table: this.lm_head.weight } }
  protected override project(x: Tensor): Tensor { return this.lm_head.forward(this.config.scale_decoder_outputs ? mul(x, this.config.d_model ** -0.5) : x) }
}

/** The encoder alone. */
export class T5EncoderModel extends Module {
  readonly config: T5Config
  readonly shared: Embedding
  readonly encoder: T5Encoder

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    const c = this.config = complete(config)
    this.shared = sharedEmbedding(c)
    this.encoder = new T5Encoder(c, this.shared.weight)
  }

  get vocabSize(): number { return this.config.vocab_size }
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  get activationCheckpointing(): Checkpointing { return this.encoder.activationCheckpointing }
  set activationCheckpointing(on: Checkpointing) { this.encoder.activationCheckpointing = on }

  /** Hidden states `[B, T, C]` of `ids` `[B, T]`. @param attentionMask not 0 where there is a token, `[B, T]` */
  forward(ids: Tensor, { attentionMask }: { attentionMask?: Tensor | undefined } = {}): Tensor { return this.encoder.forward(ids, attentionMask) }
}

/** Classes of texts, from the decoder's state at the last end token. */
export class T5ForSequenceClassification extends SourceClassifier {
  readonly config: T5Config
  readonly transformer: T5Model
  readonly classification_head: ClassificationHead

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    this.transformer = new T5Model(config)
    const c = this.config = this.transformer.config
    this.classification_head = new ClassificationHead(c.d_model, c.num_labels, c.classifier_dropout, { kind: 'normal', std: c.initializer_factor * c.d_model ** -0.5 })
  }

  get vocabSize(): number { return this.config.vocab_size }
  get encoder(): T5Encoder { return this.transformer.encoder }
  get decoder(): T5Decoder { return this.transformer.decoder }
}

/** Classes of tokens, from the encoder's states. */
export class T5ForTokenClassification extends Module {
  readonly config: T5Config
  readonly transformer: T5EncoderModel
  readonly classifier: Linear
  private readonly dropout: Dropout

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    this.transformer = new T5EncoderModel(config)
    const c = this.config = this.transformer.config
    this.dropout = new Dropout(c.classifier_dropout)
    this.classifier = new Linear(c.d_model, c.num_labels, { initialization: { kind: 'normal', std: c.initializer_factor } })
  }

  get vocabSize(): number { return this.config.vocab_size }
  get activationCheckpointing(): Checkpointing { return this.transformer.activationCheckpointing }
  set activationCheckpointing(on: Checkpointing) { this.transformer.activationCheckpointing = on }

  /** Logits `[B, T, L]` of `ids` `[B, T]`. @param attentionMask not 0 where there is a token, `[B, T]` */
  forward(ids: Tensor, options: { attentionMask?: Tensor | undefined } = {}): Tensor {
    return scope(() => this.classifier.forward(this.dropout.forward(this.transformer.forward(ids, options))))
  }

  /** Cross-entropy of `labels` `[B, T]`, -100 not counted. */
  loss({ ids, labels, attentionMask }: { ids: Tensor, labels: Tensor, attentionMask?: Tensor | undefined }, options: LabelLossOptions = {}): Tensor {
    return scope(() => crossEntropy(this.forward(ids, { attentionMask }), labels, options))
  }
}

/** Where the answer to a question lies in the text behind it. */
export class T5ForQuestionAnswering extends SourceQuestionAnswering {
  readonly config: T5Config
  readonly shared: Embedding
  readonly encoder: T5Encoder
  readonly decoder: T5Decoder
  readonly qa_outputs: Linear

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    const c = this.config = complete(config)
    if (c.num_labels !== 2) throw new ConfigError(`${c.model_type}: num_labels is ${c.num_labels}, expected 2 for question answering: the beginning of the answer and its end`)
    this.shared = sharedEmbedding(c)
    this.encoder = new T5Encoder(c, this.shared.weight)
    this.decoder = new T5Decoder(c, this.shared.weight)
    this.qa_outputs = new Linear(c.d_model, 2, { initialization: { kind: 'normal', std: c.initializer_factor * c.d_model ** -0.5 } })
  }

  get vocabSize(): number { return this.config.vocab_size }
}

function configuration(model: { readonly config: T5Config, readonly shared?: Embedding, readonly lm_head?: Linear }, encoderAlone: boolean): PretrainedConfig {
  const { num_labels, id2label, label2id, problem_type, scale_decoder_outputs, ...all } = model.config
  return {
    ...all, ...labelNames(model.config), ...(all.model_type === 't5' ? { scale_decoder_outputs } : {}), is_encoder_decoder: !encoderAlone,
    tie_word_embeddings: !model.lm_head || model.lm_head.weight === model.shared?.weight,
  }
}

type T5Class = new (config: Given) => T5Model | T5ForConditionalGeneration | T5EncoderModel | T5ForSequenceClassification | T5ForTokenClassification | T5ForQuestionAnswering
// Some old files have a bias of the attention to the source, which was never used.
const ignored = /(^|\.)decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/, encoderOnly = /(^|\.)decoder\.|^lm_head\./
const classes: readonly [name: string, task: Task, Model: T5Class][] = [
  ['ForConditionalGeneration', 'seq2seq-lm', T5ForConditionalGeneration], ['ForSequenceClassification', 'sequence-classification', T5ForSequenceClassification],
  ['ForTokenClassification', 'token-classification', T5ForTokenClassification], ['ForQuestionAnswering', 'question-answering', T5ForQuestionAnswering],
  ['Model', 'base', T5Model], ['EncoderModel', 'base', T5EncoderModel],
]

export const t5Classes: readonly PretrainedClass[] = (['t5', 'mt5'] as const).flatMap(modelType => classes.map(([name, task, Model]) => {
  const encoderAlone = Model === T5EncoderModel || Model === T5ForTokenClassification
  return pretrainedClass({
    architecture: `${modelType === 't5' ? 'T5' : 'MT5'}${name}`, modelType, task, prefix: 'transformer', Model, config: model => configuration(model, encoderAlone),
    ignored: encoderAlone ? encoderOnly : ignored,
  })
}))
