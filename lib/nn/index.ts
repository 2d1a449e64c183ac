export type { DecodingInputs, DecodingState, GenerativeModel } from './decoding.js'
export { KeyValueCache } from './keyValueCache.js'
export { Dropout, Embedding, LayerNorm, Linear, RMSNorm } from './layers.js'
export { Module } from './module.js'
export { type AttentionMask, MultiHeadAttention } from './multiHeadAttention.js'
export { type Initialization, initialValues, Parameter } from './parameter.js'
export { LearnedPositions, SinusoidalPositions, sinusoidalTable } from './positions.js'
export {
  type DecoderLayerCache, FeedForward, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer, type TransformerLayerOptions,
} from './transformerLayers.js'
