import { ConfigError } from '../errors.js'
import { activationFunction } from './activations.js'
import { checkSizes, completed, type PretrainedConfig } from './configuration.js'
import { completedLabels, type LabelConfig, labelNames } from './labels.js'

export type BartType = 'bart' | 'mbart' | 'marian' | 'pegasus'

/** Configuration of BART and its kin under the names of `config.json`. */
export interface BartConfig extends LabelConfig, PretrainedConfig {
  model_type: BartType
  vocab_size: number
  /** Marian: of the target; default `vocab_size`. */
  decoder_vocab_size: number
  max_position_embeddings: number
  d_model: number
  encoder_layers: number
  encoder_ffn_dim: number
  encoder_attention_heads: number
  decoder_layers: number
  decoder_ffn_dim: number
  decoder_attention_heads: number
  activation_function: string
  dropout: number
  attention_dropout: number
  activation_dropout: number
  /** On what the classifier sees, and behind its hidden layer. */
  classifier_dropout: number
  /** Probability that a layer is left out while training. */
  encoder_layerdrop: number
  decoder_layerdrop: number
  init_std: number
  /** Embeddings are multiplied by sqrt(d_model). */
  scale_embedding: boolean
  /** One table for source, target and output. */
  tie_word_embeddings: boolean
  /** Marian: source and target have one vocabulary and table. */
  share_encoder_decoder_embeddings: boolean
  /** Whose embedding is not trained, except as an output. */
  pad_token_id: number | null
  eos_token_id: number | readonly number[] | null
  decoder_start_token_id: number | null
  // In what the families differ. Files that say otherwise describe a model that transformers does not have.
  normalize_before: boolean
  add_final_layer_norm: boolean
  normalize_embedding: boolean
  static_position_embeddings: boolean
}

const common = {
  vocab_size: 50265, max_position_embeddings: 1024, d_model: 1024, encoder_layers: 12, encoder_ffn_dim: 4096, encoder_attention_heads: 16, decoder_layers: 12,
  decoder_ffn_dim: 4096, decoder_attention_heads: 16, activation_function: 'gelu', dropout: 0.1, attention_dropout: 0, activation_dropout: 0, classifier_dropout: 0,
  encoder_layerdrop: 0, decoder_layerdrop: 0, init_std: 0.02, scale_embedding: false, tie_word_embeddings: true, share_encoder_decoder_embeddings: true,
}
type Ids = Pick<BartConfig, 'pad_token_id' | 'eos_token_id' | 'decoder_start_token_id'>
const defaults: Readonly<Record<BartType, { vocab_size?: number } & Ids>> = {
  bart: { pad_token_id: 1, eos_token_id: 2, decoder_start_token_id: 2 },
  mbart: { pad_token_id: 1, eos_token_id: 2, decoder_start_token_id: null },
  marian: { vocab_size: 58101, pad_token_id: 58100, eos_token_id: 0, decoder_start_token_id: 58100 },
  pegasus: { pad_token_id: 0, eos_token_id: 1, decoder_start_token_id: 0 },
}
const traits: Readonly<Record<BartType, Pick<BartConfig, 'normalize_before' | 'add_final_layer_norm' | 'normalize_embedding' | 'static_position_embeddings'>>> = {
  bart: { normalize_before: false, add_final_layer_norm: false, normalize_embedding: true, static_position_embeddings: false },
  mbart: { normalize_before: true, add_final_layer_norm: true, normalize_embedding: true, static_position_embeddings: false },
  marian: { normalize_before: false, add_final_layer_norm: false, normalize_embedding: false, static_position_embeddings: true },
  pegasus: { normalize_before: true, add_final_layer_norm: true, normalize_embedding: false, static_position_embeddings: true },
}

/** @throws ConfigError for what is not supported or does not fit */
export function completedBart(type: BartType, given: PretrainedConfig): BartConfig {
  const { num_attention_heads, hidden_size, num_hidden_layers, ...rest } = given
  // The names that all configurations of transformers answer to.
  const config = Object.fromEntries(Object.entries({ encoder_attention_heads: num_attention_heads, d_model: hidden_size, encoder_layers: num_hidden_layers, ...rest }).filter(([, v]) => v !== undefined))
  const { pad_token_id, eos_token_id, decoder_start_token_id, ...own } = defaults[type]
  const done = completed(type, config, { ...common, ...own }, { ...traits[type], quantization_config: null })
  const id = <T>(key: string, fallback: T): T => config[key] === undefined ? fallback : config[key] as T
  const c: BartConfig = {
    ...done, ...traits[type], ...completedLabels(type, done, type === 'bart' ? 3 : 2), model_type: type, decoder_vocab_size: (done['decoder_vocab_size'] as number | null | undefined) || done.vocab_size,
    pad_token_id: id('pad_token_id', pad_token_id), eos_token_id: id('eos_token_id', eos_token_id), decoder_start_token_id: id('decoder_start_token_id', decoder_start_token_id),
  }
  checkSizes(type, c, 'vocab_size', 'decoder_vocab_size', 'max_position_embeddings', 'd_model', 'encoder_layers', 'encoder_ffn_dim', 'encoder_attention_heads', 'decoder_layers',
    'decoder_ffn_dim', 'decoder_attention_heads')
  activationFunction(type, 'activation_function', c.activation_function)
  for (const key of ['encoder_attention_heads', 'decoder_attention_heads'] as const)
    if (c.d_model % c[key] !== 0) throw new ConfigError(`${type}: d_model ${c.d_model} is not a multiple of ${key} ${c[key]}`)
  for (const key of ['dropout', 'attention_dropout', 'activation_dropout', 'classifier_dropout', 'encoder_layerdrop', 'decoder_layerdrop'] as const)
    if (!(c[key] >= 0 && c[key] < 1)) throw new ConfigError(`${type}: ${key} is ${c[key]}, expected a number from 0 up to 1`)
  if (type !== 'marian' && (c.decoder_vocab_size !== c.vocab_size || !c.share_encoder_decoder_embeddings))
    throw new ConfigError(`${type}: decoder_vocab_size ${c.decoder_vocab_size} and share_encoder_decoder_embeddings ${c.share_encoder_decoder_embeddings} are options of marian alone`)
  if (c.share_encoder_decoder_embeddings && c.decoder_vocab_size !== c.vocab_size)
    throw new ConfigError(`${type}: decoder_vocab_size is ${c.decoder_vocab_size} and vocab_size ${c.vocab_size}, but source and target share their embeddings. Set share_encoder_decoder_embeddings to false`)
  const pad = c.pad_token_id, rows = Math.min(c.vocab_size, c.decoder_vocab_size)
  if (pad !== null && !(Number.isInteger(pad) && pad >= 0 && pad < rows)) throw new ConfigError(`${type}: pad_token_id is ${JSON.stringify(pad)}, expected null or an id below ${rows}`)
  return c
}

/** config.json of a model: what its family has. */
export function bartConfiguration({ config }: { config: BartConfig }): PretrainedConfig {
  const { normalize_before, add_final_layer_norm, normalize_embedding, static_position_embeddings, decoder_vocab_size, share_encoder_decoder_embeddings, classifier_dropout,
    num_labels, id2label, label2id, problem_type, ...all } = config
  return {
    ...all,
    ...(config.model_type === 'marian' ? { decoder_vocab_size, share_encoder_decoder_embeddings } : {}),
    ...(config.model_type === 'bart' || config.model_type === 'mbart' ? { classifier_dropout, ...labelNames(config) } : {}),
  }
}
