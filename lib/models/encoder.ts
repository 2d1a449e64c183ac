import { ConfigError, ShapeError } from '../errors.js'
import { Linear } from '../nn/layers.js'
import type { AttentionOptions } from '../ops/attention.js'
import { ne } from '../ops/compare.js'
import { where } from '../ops/where.js'
import { full } from '../tensor/create.js'
import { isFloating } from '../tensor/dtype.js'
import { scope, withContext } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkSizes, completed, type PretrainedConfig } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import { completedLabels, type LabelConfig, labelNames } from './labels.js'

/** What an encoder is given besides the ids, `[B, T]`. */
export interface EncoderInputs {
  /**
   * `[B, T]`, not 0 where there is a token that may be seen. Or four dimensions that broadcast to `[B, H, T, T]`: bool or integers, not 0 where a query may see a
   * key; or floating numbers that are added to the scores.
   */
  attentionMask?: Tensor | undefined
  /** Which of the texts a token belongs to, `[B, T]`; default: the first. */
  tokenTypeIds?: Tensor | undefined
  /** `[B, T]` or `[1, T]`; default: 0 to T - 1, or what the family has instead. */
  positionIds?: Tensor | undefined
}

/** Where the tokens of a pass through an encoder stand, and what they see. */
export interface EncoderStep extends DecoderStep {
  tokenTypeIds?: Tensor | undefined
  /** Added to the scores instead of a padding mask and whatever else hides keys; broadcasts to `[B, H, T, T]`. */
  bias?: Tensor | undefined
}

/** The layers of an encoder, between the ids and a head. It has what a decoder has, because some of them run as one. */
export abstract class Encoder extends Decoder {
  abstract override readonly config: EncoderConfig & PretrainedConfig
  protected abstract override hidden(ids: Tensor, step: EncoderStep): Tensor

  /** Hidden states `[B, T, C]` of `ids` `[B, T]`. @throws ShapeError if there are more tokens than positions */
  override forward(ids: Tensor, { attentionMask, tokenTypeIds, positionIds }: EncoderInputs = {}): Tensor {
    return scope(() => this.hidden(ids, { start: positionIds ?? 0, end: ids.shape[1]!, tokenTypeIds, ...seen(attentionMask) }))
  }
}

function seen(mask: Tensor | undefined): Pick<EncoderStep, 'keyPadding' | 'bias'> {
  if (!mask || mask.rank === 2) return { keyPadding: mask }
  if (mask.rank !== 4) throw new ShapeError(`encoder: attentionMask is [${mask.shape.join(', ')}], expected [B, T], or four dimensions that broadcast to [B, H, T, T]`)
  return { bias: isFloating(mask.dtype) ? mask : where(ne(mask, 0), full([1, 1, 1, 1], 0), -Infinity) }
}

/** The mask of a step as attention takes it. */
export function attentionMaskOf({ keyPadding, bias }: EncoderStep, causal = false): Pick<AttentionOptions, 'causal' | 'keyPadding' | 'bias'> {
  return bias ? { bias } : keyPadding ? { causal, keyPadding } : { causal }
}

/** What the configurations of all encoders have. */
export interface EncoderConfig extends LabelConfig {
  model_type: string
  vocab_size: number
  max_position_embeddings: number
  /** Whose embedding is not trained; null: there is none. */
  pad_token_id: number | null
  initializer_range: number
  tie_word_embeddings: boolean
}

export const encoderDefaults = { initializer_range: 0.02, tie_word_embeddings: true }

/** Options of old and of other models that change what is computed. */
const usual = { position_embedding_type: 'absolute', add_cross_attention: false, is_encoder_decoder: false, pruned_heads: {}, quantization_config: null }

/** An encoder's configuration with defaults for what it does not say. @param sizes keys of positive whole numbers @throws ConfigError for what is not supported or does not fit */
export function completedEncoder<C extends object>(model: string, config: PretrainedConfig, defaults: C, sizes: readonly string[]): C & EncoderConfig & PretrainedConfig {
  const c = {
    ...completed(model, config, defaults, usual), ...completedLabels(model, config, 2),
    ...(config['pad_token_id'] === null ? { pad_token_id: null } : {}),   // said to be none, which is not the same as not said
  } as C & EncoderConfig & PretrainedConfig
  checkSizes(model, c, 'vocab_size', 'max_position_embeddings', ...sizes)
  const pad = c.pad_token_id
  if (pad !== null && !(Number.isInteger(pad) && pad >= -c.vocab_size && pad < c.vocab_size))
    throw new ConfigError(`${model}: pad_token_id is ${JSON.stringify(pad)}, expected null or an id of the ${c.vocab_size} of the vocabulary`)
  return c
}

/** The embedding's row that is not trained; negative ids count from the end. */
export const paddingIndexOf = ({ pad_token_id: pad, vocab_size }: EncoderConfig): number | undefined => pad === null ? undefined : pad < 0 ? pad + vocab_size : pad

/** config.json, where two labels need no names. */
export function encoderConfiguration({ num_labels, id2label, label2id, problem_type, ...config }: EncoderConfig & PretrainedConfig): PretrainedConfig {
  const unnamed = num_labels === 2 && id2label === null
  return { ...config, ...(unnamed ? problem_type === null ? {} : { problem_type } : labelNames({ num_labels, id2label, label2id, problem_type })) }
}

/** Runs what costs little, and decides much, in float32 in half precision as well. */
export const precisely = <T>(fn: () => T): T => withContext({ precision: 'float32' }, fn)

/** A linear layer with the first values that all encoders have: normal weights, no bias. */
export const dense = ({ initializer_range: std }: Pick<EncoderConfig, 'initializer_range'>, from: number, to: number, options: { resultDtype?: 'float32' } = {}): Linear =>
  new Linear(from, to, { initialization: { kind: 'normal', std }, ...options })

/** @throws ConfigError if heads do not divide the width */
export function checkHeads(model: string, key: string, width: number, heads: number): void {
  if (width % heads !== 0) throw new ConfigError(`${model}: ${key} ${width} is not a multiple of the ${heads} attention heads`)
}
