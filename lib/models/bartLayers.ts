import { ShapeError } from '../errors.js'
import type { DecoderLayerCache } from '../nn/encoderDecoderState.js'
import { isLeftOut } from '../nn/layerDrop.js'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import type { AttentionMask } from '../nn/multiHeadAttention.js'
import { Parameter } from '../nn/parameter.js'
import { LearnedPositions } from '../nn/positions.js'
import { intoStream, rounded } from '../nn/precision.js'
import { ProjectedAttention } from '../nn/projectedAttention.js'
import { attentionSublayer, type Checkpointing, throughLayer } from '../nn/recompute.js'
import { residual } from '../nn/residual.js'
import { add } from '../ops/add.js'
import { cast } from '../ops/copy.js'
import { slice } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { activatedLinear } from './activations.js'
import type { BartConfig } from './bartConfiguration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import type { SourceEncoder, TargetContext, TargetDecoder } from './encoderDecoder.js'

// The layers of BART, mBART, Marian and Pegasus: all of them the paper's, with the norm before or behind each sublayer and learned or sinusoidal positions.

const normal = (c: BartConfig) => ({ kind: 'normal', std: c.init_std }) as const

class BartAttention extends ProjectedAttention {
  readonly k_proj: Linear
  readonly v_proj: Linear
  readonly q_proj: Linear
  readonly out_proj: Linear

  constructor(c: BartConfig, heads: number) {
    super({ heads, dropout: c.attention_dropout })
    const product = () => new Linear(c.d_model, c.d_model, { initialization: normal(c) })
    this.k_proj = product()
    this.v_proj = product()
    this.q_proj = product()
    this.out_proj = new Linear(c.d_model, c.d_model, { initialization: normal(c), ...intoStream })
  }

  protected get products() { return { query: this.q_proj, key: this.k_proj, value: this.v_proj, output: this.out_proj } }
}

/** What layers of encoder and decoder have alike: self-attention and the feed-forward network, around the sublayers of each side. */
abstract class BartLayer extends Module {
  readonly self_attn: BartAttention
  readonly self_attn_layer_norm: LayerNorm
  readonly fc1: Linear
  readonly fc2: Linear
  readonly final_layer_norm: LayerNorm

  constructor(protected readonly c: BartConfig, heads: number, feedForward: number) {
    super()
    this.self_attn = new BartAttention(c, heads)
    this.self_attn_layer_norm = new LayerNorm(c.d_model)
    this.fc1 = new Linear(c.d_model, feedForward, { initialization: normal(c) })
    this.fc2 = new Linear(feedForward, c.d_model, { initialization: normal(c), ...intoStream })
    this.final_layer_norm = new LayerNorm(c.d_model)
  }

  protected through(x: Tensor, mask: AttentionMask, cache: Partial<DecoderLayerCache> | undefined, between: readonly [LayerNorm, (x: Tensor) => Tensor][]): Tensor {
    const { activation_function, activation_dropout, dropout, normalize_before: normFirst } = this.c, drop = new Dropout(this.training ? activation_dropout : 0)
    const inner = activatedLinear(this.c.model_type, 'activation_function', activation_function)
    return scope(() => residual(x, [this.self_attn_layer_norm, ...between.map(([norm]) => norm), this.final_layer_norm], [
      y => attentionSublayer(z => this.self_attn.forward(z!, mask, cache?.self), y),
      ...between.map(([, sublayer]) => sublayer),
      y => this.fc2.forward(drop.forward(inner(this.fc1, y))),
    ], { normFirst, dropout: this.training ? dropout : 0 }))
  }
}

class BartEncoderLayer extends BartLayer {
  constructor(c: BartConfig) { super(c, c.encoder_attention_heads, c.encoder_ffn_dim) }

  forward(x: Tensor /* B S C */, keyPadding?: Tensor): Tensor { return this.through(x, keyPadding ? { keyPadding } : {}, undefined, []) }
}

class BartDecoderLayer extends BartLayer {
  readonly encoder_attn: BartAttention
  readonly encoder_attn_layer_norm: LayerNorm

  constructor(c: BartConfig) {
    super(c, c.decoder_attention_heads, c.decoder_ffn_dim)
    this.encoder_attn = new BartAttention(c, c.decoder_attention_heads)
    this.encoder_attn_layer_norm = new LayerNorm(c.d_model)
  }

  /** @param memory `[B, S, C]` of the encoder; not needed where the cache holds its keys and values; a decoder alone has neither */
  forward(x: Tensor /* B T C */, memory: Tensor | undefined, { keyPadding, memoryKeyPadding }: TargetContext, cache?: Partial<DecoderLayerCache>): Tensor {
    const mask = memoryKeyPadding ? { keyPadding: memoryKeyPadding } : {}
    const toMemory = (y: Tensor): Tensor => attentionSublayer((z, m) => this.encoder_attn.cross(z!, cache?.memory?.all() ?? this.encoder_attn.project(m!), mask), y, ...(memory ? [memory] : []))
    return this.through(x, keyPadding ? { keyPadding, causal: true } : { causal: true }, cache, memory || cache?.memory ? [[this.encoder_attn_layer_norm, toMemory]] : [])
  }
}

/** Learned positions; the first two rows of the table are those that fairseq keeps for padding. */
class OffsetPositions extends LearnedPositions {
  constructor(c: BartConfig) { super(c.max_position_embeddings + 2, c.d_model, c.init_std) }

  override forward(x: Tensor, start = 0): Tensor { return super.forward(x, start + 2) }
}

/** Sinusoids, all sines before all cosines; files may hold the table. */
class HalvedSinusoids extends Module {
  readonly weight: Parameter

  constructor({ max_position_embeddings: length, d_model: width }: BartConfig) {
    super()
    const table = new Float32Array(length * width), half = Math.ceil(width / 2)
    for (let t = 0; t < length; t++) {
      for (let i = 0; i < width; i++) {
        const angle = t / 10000 ** (2 * (i % half) / width)
        table[t * width + i] = i < half ? Math.sin(angle) : Math.cos(angle)
      }
    }
    this.weight = new Parameter([length, width], table)
    this.weight.requiresGrad = false
    this.weight.optional = true
  }

  forward(x: Tensor, start = 0): Tensor { return add(x, cast(slice(this.weight, 0, start, start + x.shape[1]!), x.dtype)) }
}

/** What stands before and behind the layers of either side. */
interface Frame {
  embed_tokens: Embedding
  embed_positions: OffsetPositions | HalvedSinusoids
  layernorm_embedding: LayerNorm | undefined
  layer_norm: LayerNorm | undefined
}

/** @param weight of an embedding that is shared */
function frame(c: BartConfig, vocabulary: number, weight?: Parameter): Frame {
  return {
    embed_tokens: tokenEmbedding(c, vocabulary, weight),
    embed_positions: c.static_position_embeddings ? new HalvedSinusoids(c) : new OffsetPositions(c),
    layernorm_embedding: c.normalize_embedding ? new LayerNorm(c.d_model) : undefined,
    layer_norm: c.add_final_layer_norm ? new LayerNorm(c.d_model) : undefined,
  }
}

export function tokenEmbedding(c: BartConfig, vocabulary: number, weight?: Parameter): Embedding {
  return new Embedding(vocabulary, c.d_model, { paddingIndex: c.pad_token_id ?? undefined, scale: c.scale_embedding ? Math.sqrt(c.d_model) : 1, initialization: normal(c), weight })
}

/** Embeddings of `ids` `[B, T]` with positions from `start` on. @throws ShapeError if there are more tokens than positions */
function embedded(ids: Tensor, start: number, { embed_tokens, embed_positions, layernorm_embedding }: Frame, c: BartConfig, dropout: number): Tensor {
  const end = start + ids.shape[1]!
  if (end > c.max_position_embeddings)
    throw new ShapeError(`${c.model_type}: the sequence has ${end} tokens, the model was built for at most ${c.max_position_embeddings}. Cut the text, or use a model with more positions`)
  const x = embed_positions.forward(embed_tokens.forward(ids), start)
  return new Dropout(dropout).forward(layernorm_embedding?.forward(x) ?? x)
}

export class BartEncoder extends Module implements SourceEncoder, Frame {
  activationCheckpointing: Checkpointing = false
  readonly embed_tokens: Embedding
  readonly embed_positions: OffsetPositions | HalvedSinusoids
  readonly layers: BartEncoderLayer[]
  readonly layernorm_embedding: LayerNorm | undefined
  readonly layer_norm: LayerNorm | undefined

  constructor(private readonly c: BartConfig, weight?: Parameter) {
    super()
    const { embed_tokens, embed_positions, layernorm_embedding, layer_norm } = frame(c, c.vocab_size, weight)
    this.embed_tokens = embed_tokens
    this.embed_positions = embed_positions
    this.layers = Array.from({ length: c.encoder_layers }, () => new BartEncoderLayer(c))
    this.layernorm_embedding = layernorm_embedding
    this.layer_norm = layer_norm
  }

  forward(ids: Tensor /* B S */, keyPadding?: Tensor): Tensor {
    let x = embedded(ids, 0, this, this.c, this.training ? this.c.dropout : 0)
    for (const layer of this.layers) {
      if (isLeftOut(this.training ? this.c.encoder_layerdrop : 0)) continue
      x = throughLayer(this.activationCheckpointing, y => layer.forward(y!, keyPadding), x)
    }
    return this.layer_norm?.forward(x) ?? x
  }
}

/** Beside an encoder, or alone as a causal model. */
export class BartDecoder extends Decoder implements TargetDecoder, Frame {
  readonly embed_tokens: Embedding
  readonly embed_positions: OffsetPositions | HalvedSinusoids
  readonly layers: BartDecoderLayer[]
  readonly layernorm_embedding: LayerNorm | undefined
  readonly layer_norm: LayerNorm | undefined

  constructor(readonly config: BartConfig, weight?: Parameter) {
    super()
    const { embed_tokens, embed_positions, layernorm_embedding, layer_norm } = frame(config, config.decoder_vocab_size, weight)
    this.embed_tokens = embed_tokens
    this.embed_positions = embed_positions
    this.layers = Array.from({ length: config.decoder_layers }, () => new BartDecoderLayer(config))
    this.layernorm_embedding = layernorm_embedding
    this.layer_norm = layer_norm
  }

  get vocabSize(): number { return this.config.decoder_vocab_size }
  get width(): number { return this.config.d_model }
  get layerCount(): number { return this.config.decoder_layers }
  get maxPositions(): number { return this.config.max_position_embeddings }

  states(ids: Tensor /* B T */, context: TargetContext): Tensor {
    const { start = 0, layers: caches } = context, memory = context.memory && rounded(context.memory)
    let x = embedded(ids, start, this, this.config, this.training ? this.config.dropout : 0)
    for (const [i, layer] of this.layers.entries()) {
      if (isLeftOut(this.training ? this.config.decoder_layerdrop : 0)) continue
      x = throughLayer(caches ? 'none' : this.activationCheckpointing, (y, m) => layer.forward(y!, m, context, caches?.[i]), x, ...(memory ? [memory] : []))
    }
    return this.layer_norm?.forward(x) ?? x
  }

  memories(memory: Tensor): { keys: Tensor, values: Tensor }[] { return this.layers.map(layer => layer.encoder_attn.project(memory)) }

  /** Columns are counted as they are: padding in front takes positions, as in transformers. */
  protected hidden(ids: Tensor, { end, keyPadding, caches }: DecoderStep): Tensor {
    return this.states(ids, { start: end - ids.shape[1]!, keyPadding, layers: caches?.map(self => ({ self })) })
  }
}
