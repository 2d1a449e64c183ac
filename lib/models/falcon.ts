import { ConfigError } from '../errors.js'
import { Alibi } from '../nn/alibi.js'
import { splitHeads } from '../nn/fusedHeads.js'
import { decoderAttention, type DecoderContext, turnedAttention } from '../nn/groupedQueryAttention.js'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { intoStream, rounded } from '../nn/precision.js'
import { ropeParameters, type RopeParameters, wholeHeadRope } from '../nn/rope.js'
import { RotaryPositions } from '../nn/rotaryPositions.js'
import { add } from '../ops/add.js'
import { reshape } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { type ActivatedLinear, activatedLinear } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, type PretrainedConfig, renamed } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import { headClasses } from './decoderHeads.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** Falcon's configuration under the names of its `config.json`; without `alibi` positions are those of `rope_parameters`, or `rope_theta` and `rope_scaling`. */
export interface FalconConfig {
  vocab_size: number
  hidden_size: number
  num_hidden_layers: number
  num_attention_heads: number
  /** Default 4 `hidden_size`. */
  ffn_hidden_size: number
  activation: string
  layer_norm_epsilon: number
  max_position_embeddings: number
  /** Falcon-40B and -180B: heads share `num_kv_heads` keys and values, and attention and feed-forward have norms of their own. */
  new_decoder_architecture: boolean
  /** Keys and values of the new architecture; default `num_attention_heads`. */
  num_kv_heads: number
  /** Norms of the new architecture, 1 or 2 (default). */
  num_ln_in_parallel_attn: number | null
  /** Falcon-7B: all heads share one key and value. */
  multi_query: boolean
  /** Attention and feed-forward side by side instead of one after the other. */
  parallel_attn: boolean
  /** Falcon-RW: distances instead of rotary positions. */
  alibi: boolean
  bias: boolean
  hidden_dropout: number
  attention_dropout: number
  initializer_range: number
  tie_word_embeddings: boolean
}

const switches = { new_decoder_architecture: false, multi_query: true, parallel_attn: true, alibi: false, bias: false }
const defaults = {
  vocab_size: 65024, hidden_size: 4544, num_hidden_layers: 32, num_attention_heads: 71, ffn_hidden_size: undefined, activation: 'gelu', layer_norm_epsilon: 1e-5,
  max_position_embeddings: 2048, num_kv_heads: undefined, num_ln_in_parallel_attn: null, ...switches, hidden_dropout: 0, attention_dropout: 0, initializer_range: 0.02,
  tie_word_embeddings: true,
}

function complete(config: PretrainedConfig): FalconConfig & PretrainedConfig {
  const off = Object.fromEntries(Object.keys(switches).filter(key => config[key] === null).map(key => [key, false]))
  const c = completed('Falcon', { ...renamed(config, { n_embed: 'hidden_size' }), ...off }, defaults, { apply_residual_connection_post_layernorm: false, quantization_config: null })
  const all = {
    ...c, num_kv_heads: c.num_kv_heads ?? c.num_attention_heads, ffn_hidden_size: c.ffn_hidden_size ?? 4 * c.hidden_size,
    num_ln_in_parallel_attn: c.num_ln_in_parallel_attn ?? (c.new_decoder_architecture ? 2 : null),
  } as FalconConfig & PretrainedConfig
  checkSizes('Falcon', all, 'vocab_size', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'num_kv_heads', 'ffn_hidden_size', 'max_position_embeddings')
  const { hidden_size: C, num_attention_heads: H, num_kv_heads: G, num_ln_in_parallel_attn: norms } = all
  if (C % H !== 0) throw new ConfigError(`Falcon: hidden_size ${C} is not a multiple of num_attention_heads ${H}`)
  if (c.new_decoder_architecture) {
    if (!c.parallel_attn) throw new ConfigError('Falcon: parallel_attn is false, expected true with new_decoder_architecture, which computes attention and feed-forward side by side')
    if (norms !== 1 && norms !== 2) throw new ConfigError(`Falcon: num_ln_in_parallel_attn is ${norms}, expected 1 or 2`)
    if (H % G !== 0) throw new ConfigError(`Falcon: num_attention_heads ${H} is not a multiple of num_kv_heads ${G}`)
  } else {
    if (norms === 2 && c.parallel_attn) throw new ConfigError('Falcon: num_ln_in_parallel_attn is 2, expected 1 or null without new_decoder_architecture')
    if (!c.multi_query && G !== H) throw new ConfigError(`Falcon: num_kv_heads is ${G} with multi_query false, expected ${H}: shared keys and values need new_decoder_architecture`)
  }
  return all
}

class Attention extends Module {
  readonly query_key_value: Linear
  readonly dense: Linear
  /** G: keys and values that the heads share. */
  private readonly groups: number

  constructor(private readonly c: FalconConfig) {
    super()
    const options = { bias: c.bias, initialization: { kind: 'normal', std: c.initializer_range } } as const, C = c.hidden_size, H = c.num_attention_heads
    this.groups = c.new_decoder_architecture ? c.num_kv_heads : c.multi_query ? 1 : H
    this.query_key_value = new Linear(C, C + 2 * this.groups * C / H, options)
    this.dense = new Linear(C, C, { ...options, ...intoStream })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    const { q, k, v } = splitHeads(this.query_key_value.forward(x), this.c.num_attention_heads, this.groups)
    // As in transformers, attention weights are dropped where there is ALiBi, and not with rotary positions.
    const dropout = this.training && this.c.alibi ? this.c.attention_dropout : 0
    return this.dense.forward(reshape(turnedAttention(q, k, v, context, { dropout }), x.shape))
  }
}

class MLP extends Module {
  readonly dense_h_to_4h: Linear
  readonly dense_4h_to_h: Linear
  private readonly activated: ActivatedLinear

  constructor(c: FalconConfig) {
    super()
    const options = { bias: c.bias, initialization: { kind: 'normal', std: c.initializer_range } } as const
    this.dense_h_to_4h = new Linear(c.hidden_size, c.ffn_hidden_size, options)
    this.dense_4h_to_h = new Linear(c.ffn_hidden_size, c.hidden_size, { ...options, ...intoStream })
    this.activated = activatedLinear('Falcon', 'activation', c.activation)
  }

  forward(x: Tensor): Tensor { return this.dense_4h_to_h.forward(this.activated(this.dense_h_to_4h, x)) }
}

/** Norms are those that its arrangement has: one for both sublayers, one each side by side (`ln_attn`, `ln_mlp`), or one each in turn. */
class Layer extends Module {
  readonly input_layernorm: LayerNorm | undefined
  readonly ln_attn: LayerNorm | undefined
  readonly ln_mlp: LayerNorm | undefined
  readonly self_attention: Attention
  readonly post_attention_layernorm: LayerNorm | undefined
  readonly mlp: MLP

  constructor(private readonly c: FalconConfig) {
    super()
    const norm = (wanted: boolean): LayerNorm | undefined => wanted ? new LayerNorm(c.hidden_size, { eps: c.layer_norm_epsilon }) : undefined
    const two = c.new_decoder_architecture && c.num_ln_in_parallel_attn === 2
    this.input_layernorm = norm(!two)
    this.ln_attn = norm(two)
    this.ln_mlp = norm(two)
    this.self_attention = new Attention(c)
    this.post_attention_layernorm = norm(!c.parallel_attn)
    this.mlp = new MLP(c)
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const { hidden_dropout, attention_dropout } = this.c, dropout = new Dropout(this.training ? hidden_dropout : 0)
      const forAttention = rounded((this.ln_attn ?? this.input_layernorm)!.forward(x)), attended = decoderAttention((z, kept) => this.self_attention.forward(z, kept), forAttention, context)
      if (this.post_attention_layernorm) {
        const { y, sum } = this.post_attention_layernorm.add(x, attended, this.training ? attention_dropout : 0)
        return add(sum, dropout.forward(this.mlp.forward(y)))
      }
      return add(x, dropout.forward(add(this.mlp.forward(this.ln_mlp?.forward(x) ?? forAttention), attended)))
    })
  }
}

/** The layers of Falcon. */
export class FalconModel extends Decoder {
  readonly config: FalconConfig & PretrainedConfig
  readonly word_embeddings: Embedding
  readonly h: Layer[]
  readonly ln_f: LayerNorm
  private readonly rope: RopeParameters
  private readonly rotary: RotaryPositions | undefined
  private readonly alibi: Alibi | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<FalconConfig> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config), D = c.hidden_size / c.num_attention_heads
    this.word_embeddings = new Embedding(c.vocab_size, c.hidden_size, { initialization: { kind: 'normal', std: c.initializer_range } })
    this.h = Array.from({ length: c.num_hidden_layers }, () => new Layer(c))
    this.ln_f = new LayerNorm(c.hidden_size, { eps: c.layer_norm_epsilon })
    this.rope = (c.alibi ? ropeParameters : wholeHeadRope)('Falcon', c)
    this.rotary = c.alibi ? undefined : new RotaryPositions(this.rope, D)
    // The bias is divided by √D as scores are: it was added to them before.
    this.alibi = c.alibi ? new Alibi(c.num_attention_heads, { bfloat16: true, scale: 1 / Math.sqrt(D) }) : undefined
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.hidden_size }
  get layerCount(): number { return this.config.num_hidden_layers }
  /** What it was trained for; distances have no end, and 'dynamic' positions stretch with the sequence. */
  get maxPositions(): number { return this.alibi || this.rope.type === 'dynamic' ? Infinity : this.config.max_position_embeddings }

  protected override get packs(): boolean { return !this.alibi && this.rotary!.isFixed }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { keyPadding, offsets, end } = step
    return this.ln_f.forward(this.through(this.h, this.word_embeddings.forward(ids), step, (layer, y, cache, bias, start) => layer.forward(y, { turn: this.rotary?.at(start, end), bias, keyPadding, offsets, cache }),
      this.alibi?.at(end, keyPadding)))
  }
}

/**
 * Falcon (Almazrouei et al. 2023, https://arxiv.org/abs/2311.16867). 7B: attention and feed-forward side by side behind one norm, one key and value for all heads;
 * 40B and 180B: a norm for each, keys and values in groups; RW: sublayers in turn, distances (ALiBi) instead of rotary positions.
 */
export class Falcon extends CausalLanguageModel {
  readonly config: FalconConfig & PretrainedConfig
  readonly transformer: FalconModel
  readonly lm_head: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<FalconConfig> & PretrainedConfig = {}) {
    super()
    this.transformer = new FalconModel(config)
    const c = this.config = this.transformer.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.hidden_size, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): FalconModel { return this.transformer }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.transformer.word_embeddings.weight } }
}

const configuration = ({ config }: Falcon | FalconModel): PretrainedConfig => config
const inOldFiles = /(^|\.)(rotary|rotary_emb|maybe_rotary)\.inv_freq$/

const layers = pretrainedClass({ architecture: 'FalconModel', modelType: 'falcon', task: 'base', prefix: 'transformer', Model: FalconModel, config: configuration, ignored: inOldFiles })

export const falconClasses: readonly PretrainedClass[] = [
  pretrainedClass({
    architecture: 'FalconForCausalLM', modelType: 'falcon', task: 'causal-lm', prefix: 'transformer', Model: Falcon, config: configuration, ignored: inOldFiles,
    tied: model => model.lm_head ? {} : { 'lm_head.weight': 'transformer.word_embeddings.weight' },
  }),
  layers, ...headClasses(layers),
]
