export type { DecodingInputs, DecodingState, GenerativeModel } from './decoding.js'
export { GatedFeedForward } from './gatedFeedForward.js'
export { type DecoderContext, GroupedQueryAttention, type GroupedQueryOptions } from './groupedQueryAttention.js'
export { type CacheKind, type CacheOptions, KeyValueCache } from './keyValueCache.js'
export { Dropout, Embedding, LayerNorm, Linear, RMSNorm } from './layers.js'
export { Module } from './module.js'
export { type AttentionMask, MultiHeadAttention } from './multiHeadAttention.js'
export { type Initialization, initialValues, Parameter } from './parameter.js'
export { LearnedPositions, SinusoidalPositions, sinusoidalTable } from './positions.js'
export { ropeFrequencies, ropeParameters, type RopeParameters } from './rope.js'
export { RotaryPositions, type Turn } from './rotaryPositions.js'
export {
  type DecoderLayerCache, FeedForward, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer, type TransformerLayerOptions,
} from './transformerLayers.js'
