import { ConfigError } from '../errors.js'
import { GatedFeedForward } from '../nn/gatedFeedForward.js'
import { decoderAttention, type DecoderContext, GroupedQueryAttention } from '../nn/groupedQueryAttention.js'
import { Embedding, Linear, RMSNorm } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { type RopeParameters, wholeHeadRope } from '../nn/rope.js'
import { RotaryPositions } from '../nn/rotaryPositions.js'
import { add } from '../ops/add.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { gateOf } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, paddingOf, type PretrainedConfig } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import { headClasses } from './decoderHeads.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** The kin of LLaMA that differ in biases, windows and norms of heads alone. */
export type LlamaType = 'llama' | 'mistral' | 'qwen2' | 'qwen3'

/** Configuration under the names of `config.json`; further keys are those of rotary positions (`rope_parameters`, or `rope_theta` and `rope_scaling`). */
export interface LlamaConfig {
  model_type: LlamaType
  vocab_size: number
  hidden_size: number
  intermediate_size: number
  num_hidden_layers: number
  num_attention_heads: number
  /** Default `num_attention_heads`. */
  num_key_value_heads: number
  /** Default `hidden_size / num_attention_heads`. */
  head_dim: number
  hidden_act: string
  max_position_embeddings: number
  rms_norm_eps: number
  initializer_range: number
  attention_bias: boolean
  mlp_bias: boolean
  attention_dropout: number
  tie_word_embeddings: boolean
  /** Mistral, Qwen: positions that a query sees; null: all. */
  sliding_window: number | null
  /** Qwen: whether there is a window at all, and the first layer that has it. */
  use_sliding_window: boolean
  max_window_layers: number
  /** Qwen: 'full_attention' or 'sliding_attention' for each layer; default by the two above. */
  layer_types: readonly string[] | null
}

const common = {
  vocab_size: 32000, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32, num_attention_heads: 32, hidden_act: 'silu', max_position_embeddings: 2048,
  rms_norm_eps: 1e-6, initializer_range: 0.02, attention_bias: false, mlp_bias: false, attention_dropout: 0, tie_word_embeddings: false, sliding_window: null,
  use_sliding_window: false, max_window_layers: 28, layer_types: null,
}
// As transformers completes a config.json of each kind.
const qwen = { ...common, vocab_size: 151936, intermediate_size: 22016, max_position_embeddings: 32768, sliding_window: 4096 }
const defaults = {
  llama: common, mistral: { ...common, intermediate_size: 14336, num_key_value_heads: 8, max_position_embeddings: 131072, sliding_window: 4096 }, qwen2: qwen,
  qwen3: { ...qwen, num_key_value_heads: 32, head_dim: 128 },
}

function complete(config: PretrainedConfig): LlamaConfig & PretrainedConfig {
  const type = (config['model_type'] ?? 'llama') as LlamaType
  if (!Object.hasOwn(defaults, type)) throw new ConfigError(`Llama: model_type is ${JSON.stringify(type)}, expected one of: ${Object.keys(defaults).join(', ')}`)
  const c = completed(type, config, { num_key_value_heads: undefined, head_dim: undefined, ...defaults[type] }, { quantization_config: null }, ['sliding_window'])
  checkSizes(type, c, 'vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'max_position_embeddings')
  const heads = c.num_attention_heads
  const all = {
    ...c, model_type: type, num_key_value_heads: c.num_key_value_heads ?? heads, head_dim: c.head_dim ?? c.hidden_size / heads,
  } as LlamaConfig & PretrainedConfig
  checkSizes(type, all, 'num_key_value_heads', 'head_dim')
  return all
}

/** Positions that queries of a layer see; 0: all. */
function windowOf(c: LlamaConfig, layer: number): number {
  if (c.model_type === 'llama') return 0
  if (c.model_type === 'mistral') return c.sliding_window ?? 0
  const type = c.layer_types?.[layer] ?? (c.use_sliding_window && layer >= c.max_window_layers ? 'sliding_attention' : 'full_attention')
  if (type === 'full_attention') return 0
  if (type === 'sliding_attention' && c.sliding_window) return c.sliding_window
  throw new ConfigError(`${c.model_type}: layer ${layer} is '${type}' with sliding_window ${c.sliding_window}, expected 'full_attention', or 'sliding_attention' with a window`)
}

class Layer extends Module {
  readonly input_layernorm: RMSNorm
  readonly self_attn: GroupedQueryAttention
  readonly post_attention_layernorm: RMSNorm
  readonly mlp: GatedFeedForward

  constructor(c: LlamaConfig, index: number) {
    super()
    const qwen3 = c.model_type === 'qwen3', eps = c.rms_norm_eps
    this.input_layernorm = new RMSNorm(c.hidden_size, { eps })
    this.self_attn = new GroupedQueryAttention({
      width: c.hidden_size, heads: c.num_attention_heads, groups: c.num_key_value_heads, headDim: c.head_dim, bias: c.model_type === 'qwen2' || c.attention_bias,
      outputBias: c.model_type !== 'qwen2' && c.attention_bias, headNorm: qwen3 ? eps : undefined, dropout: c.attention_dropout, window: windowOf(c, index),
      std: c.initializer_range,
    })
    this.post_attention_layernorm = new RMSNorm(c.hidden_size, { eps })
    this.mlp = new GatedFeedForward(c.hidden_size, c.intermediate_size, gateOf(c.model_type, 'hidden_act', c.hidden_act), c.initializer_range, { bias: c.mlp_bias })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const { y, sum } = this.post_attention_layernorm.add(x, decoderAttention((z, kept) => this.self_attn.forward(this.input_layernorm.forward(z), kept), x, context))
      return add(sum, this.mlp.forward(y))
    })
  }
}

/** The layers of LLaMA and its kin. */
export class LlamaModel extends Decoder {
  readonly config: LlamaConfig & PretrainedConfig
  readonly embed_tokens: Embedding
  readonly layers: Layer[]
  readonly norm: RMSNorm
  private readonly rope: RopeParameters
  private readonly rotary: RotaryPositions

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<LlamaConfig> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config)
    this.embed_tokens = new Embedding(c.vocab_size, c.hidden_size, { initialization: { kind: 'normal', std: c.initializer_range }, ...paddingOf(c) })
    this.layers = Array.from({ length: c.num_hidden_layers }, (_, i) => new Layer(c, i))
    this.norm = new RMSNorm(c.hidden_size, { eps: c.rms_norm_eps })
    this.rope = wholeHeadRope(c.model_type, c)
    this.rotary = new RotaryPositions(this.rope, c.head_dim)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.hidden_size }
  get layerCount(): number { return this.config.num_hidden_layers }
  /** What it was trained for; 'dynamic' positions stretch with the sequence. */
  get maxPositions(): number { return this.rope.type === 'dynamic' ? Infinity : this.config.max_position_embeddings }

  override windowOf(layer: number): number { return windowOf(this.config, layer) }

  protected override get packs(): boolean { return this.rotary.isFixed }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { keyPadding, offsets, end } = step
    const x = this.through(this.layers, this.embed_tokens.forward(ids), step, (layer, y, cache, _, start) => layer.forward(y, { turn: this.rotary.at(start, end), cache, keyPadding, offsets }))
    return this.norm.forward(x)
  }
}

/**
 * LLaMA 1 to 3 (Touvron et al. 2023, https://arxiv.org/abs/2302.13971): pre-norm by root mean squares, rotary positions, SwiGLU, heads that share keys and values.
 * Mistral adds a sliding window, Qwen2 biases, Qwen3 norms of each head.
 */
export class Llama extends CausalLanguageModel {
  readonly config: LlamaConfig & PretrainedConfig
  readonly model: LlamaModel
  readonly lm_head: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<LlamaConfig> & PretrainedConfig = {}) {
    super()
    this.model = new LlamaModel(config)
    const c = this.config = this.model.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.hidden_size, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): LlamaModel { return this.model }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.model.embed_tokens.weight } }
}

/** config.json: a key that its family does not have would make another model of it; to transformers a Mistral with layer_types is a Ministral. */
function configuration({ layer_types, use_sliding_window, max_window_layers, sliding_window, ...config }: LlamaConfig & PretrainedConfig): PretrainedConfig {
  if (config.model_type === 'llama') return config
  if (config.model_type === 'mistral') return { ...config, sliding_window }
  return { ...config, sliding_window, use_sliding_window, max_window_layers, ...(layer_types ? { layer_types } : {}) }
}

const inOldFiles = /(^|\.)rotary_emb\.inv_freq$/

const families = [['llama', 'Llama', 'transformer'], ['mistral', 'Mistral', 'model'], ['qwen2', 'Qwen2', 'transformer'], ['qwen3', 'Qwen3', 'transformer']] as const

export const llamaClasses: readonly PretrainedClass[] = families.flatMap(([modelType, name, answers]) => {
  const layers = pretrainedClass({
    architecture: `${name}Model`, modelType, task: 'base', prefix: 'model', Model: LlamaModel, config: model => configuration(model.config), ignored: inOldFiles,
  })
  return [
    pretrainedClass({
      architecture: `${name}ForCausalLM`, modelType, task: 'causal-lm', prefix: 'model', Model: Llama, config: model => configuration(model.config), ignored: inOldFiles,
      tied: model => model.lm_head ? {} : { 'lm_head.weight': 'model.embed_tokens.weight' },
    }),
    layers, ...headClasses(layers, { tokens: 'score', answers }),
  ]
})
