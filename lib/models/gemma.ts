import { ConfigError } from '../errors.js'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../io/halfFloats.js'
import { GatedFeedForward } from '../nn/gatedFeedForward.js'
import { decoderAttention, type DecoderContext, GroupedQueryAttention } from '../nn/groupedQueryAttention.js'
import { Embedding, Linear, RMSNorm } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { type RopeParameters, wholeHeadRope } from '../nn/rope.js'
import { RotaryPositions } from '../nn/rotaryPositions.js'
import { add } from '../ops/add.js'
import { linear } from '../ops/linear.js'
import { tanh } from '../ops/unary.js'
import { div, mul } from '../ops/mul.js'
import { context, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { gateOf } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, paddingOf, type PretrainedConfig } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import { headClasses } from './decoderHeads.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

export type GemmaType = 'gemma' | 'gemma2'

/** Configuration under the names of `config.json`; further keys are those of rotary positions (`rope_parameters`, or `rope_theta` and `rope_scaling`). */
export interface GemmaConfig {
  model_type: GemmaType
  vocab_size: number
  hidden_size: number
  intermediate_size: number
  num_hidden_layers: number
  num_attention_heads: number
  num_key_value_heads: number
  head_dim: number
  /** The activation of Gemma, where 'gelu' too means the one with tanh, as its first files had it; `hidden_activation` is not read there. */
  hidden_act: string
  /** The activation of Gemma 2. */
  hidden_activation: string
  max_position_embeddings: number
  rms_norm_eps: number
  initializer_range: number
  attention_bias: boolean
  attention_dropout: number
  tie_word_embeddings: boolean
  pad_token_id: number | null
  /** Gemma 2: scores of attention are divided by its square root. */
  query_pre_attn_scalar: number
  /** Gemma 2: positions that a query sees in the layers that are 'sliding_attention'; by default these are the first, the third and so on. */
  sliding_window: number | null
  layer_types: readonly string[] | null
  /** Gemma 2: bounds c of scores and logits, which become c tanh(x / c); null: none. */
  attn_logit_softcapping: number | null
  final_logit_softcapping: number | null
}

const common = {
  vocab_size: 256000, hidden_act: 'gelu_pytorch_tanh', hidden_activation: 'gelu_pytorch_tanh', head_dim: 256, max_position_embeddings: 8192, rms_norm_eps: 1e-6,
  initializer_range: 0.02, attention_bias: false, attention_dropout: 0, tie_word_embeddings: true, pad_token_id: 0, query_pre_attn_scalar: 256, sliding_window: 4096,
  layer_types: null, attn_logit_softcapping: 50, final_logit_softcapping: 30,
}
const defaults = {
  gemma: { ...common, hidden_size: 3072, intermediate_size: 24576, num_hidden_layers: 28, num_attention_heads: 16, num_key_value_heads: 16 },
  gemma2: { ...common, hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26, num_attention_heads: 8, num_key_value_heads: 4 },
}
const usual = { use_bidirectional_attention: false, quantization_config: null }

function complete(config: PretrainedConfig): GemmaConfig & PretrainedConfig {
  const type = (config['model_type'] ?? 'gemma') as GemmaType
  if (!Object.hasOwn(defaults, type)) throw new ConfigError(`Gemma: model_type is ${JSON.stringify(type)}, expected one of: ${Object.keys(defaults).join(', ')}`)
  const nullable = ['pad_token_id', 'sliding_window', 'attn_logit_softcapping', 'final_logit_softcapping'] as const
  const c = completed(type, config, defaults[type], usual, nullable) as unknown as GemmaConfig & PretrainedConfig
  checkSizes(type, c, 'vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads', 'head_dim',
    'max_position_embeddings')
  for (const key of ['query_pre_attn_scalar', 'attn_logit_softcapping', 'final_logit_softcapping'] as const)
    if (c[key] !== null && !(c[key] > 0))
      throw new ConfigError(`${type}: ${key} is ${c[key]}, expected a positive number${key === 'query_pre_attn_scalar' ? '' : ', or null for none'}`)
  return { ...c, model_type: type }
}

/** Positions that queries of a layer see; 0: all. */
function windowOf({ model_type, layer_types, sliding_window }: GemmaConfig, layer: number): number {
  if (model_type === 'gemma') return 0
  const type = layer_types ? layer_types[layer] : layer % 2 === 0 ? 'sliding_attention' : 'full_attention'
  if (type === 'full_attention') return 0
  if (type === 'sliding_attention' && sliding_window) return sliding_window
  throw new ConfigError(`gemma2: layer ${layer} is '${type}' with sliding_window ${sliding_window}, expected 'full_attention', or 'sliding_attention' with a window`)
}

const withTanh = (activation: string): string => activation === 'gelu' ? 'gelu_pytorch_tanh' : activation
const norm = (c: GemmaConfig): RMSNorm => new RMSNorm(c.hidden_size, { eps: c.rms_norm_eps, unitOffset: true })

class Layer extends Module {
  readonly input_layernorm: RMSNorm
  readonly self_attn: GroupedQueryAttention
  readonly post_attention_layernorm: RMSNorm
  readonly pre_feedforward_layernorm: RMSNorm | undefined
  readonly post_feedforward_layernorm: RMSNorm | undefined
  readonly mlp: GatedFeedForward

  constructor(c: GemmaConfig, index: number) {
    super()
    const second = c.model_type === 'gemma2'
    const activation = second ? gateOf('gemma2', 'hidden_activation', c.hidden_activation) : gateOf('gemma', 'hidden_act', withTanh(c.hidden_act))
    this.input_layernorm = norm(c)
    this.self_attn = new GroupedQueryAttention({
      width: c.hidden_size, heads: c.num_attention_heads, groups: c.num_key_value_heads, headDim: c.head_dim, bias: c.attention_bias, outputBias: c.attention_bias,
      dropout: c.attention_dropout, window: windowOf(c, index), std: c.initializer_range,
      ...(second ? { scale: 1 / Math.sqrt(c.query_pre_attn_scalar), softcap: c.attn_logit_softcapping ?? 0 } : {}),
    })
    this.post_attention_layernorm = norm(c)
    this.pre_feedforward_layernorm = second ? norm(c) : undefined
    this.post_feedforward_layernorm = second ? norm(c) : undefined
    this.mlp = new GatedFeedForward(c.hidden_size, c.intermediate_size, activation, c.initializer_range)
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const attended = decoderAttention((z, kept) => this.self_attn.forward(this.input_layernorm.forward(z), kept), x, context)
      if (!this.pre_feedforward_layernorm || !this.post_feedforward_layernorm) {
        const { y, sum } = this.post_attention_layernorm.add(x, attended)
        return add(sum, this.mlp.forward(y))
      }
      const { y, sum } = this.pre_feedforward_layernorm.add(x, this.post_attention_layernorm.forward(attended))
      return add(sum, this.post_feedforward_layernorm.forward(this.mlp.forward(y)))
    })
  }
}

/** sqrt(C) in the precision of products, as Gemma was trained: in bfloat16 the factor of 3072 is 55.5. */
function embeddingScale(width: number): number {
  const root = Float32Array.of(Math.sqrt(width)), { precision } = context()
  return (precision === 'bfloat16' ? fromBfloat16(toBfloat16(root)) : precision === 'float16' ? fromFloat16(toFloat16(root)) : root)[0]!
}

/** The layers of Gemma and Gemma 2. */
export class GemmaModel extends Decoder {
  readonly config: GemmaConfig & PretrainedConfig
  readonly embed_tokens: Embedding
  readonly layers: Layer[]
  readonly norm: RMSNorm
  private readonly rope: RopeParameters
  private readonly rotary: RotaryPositions

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GemmaConfig> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config)
    this.embed_tokens = new Embedding(c.vocab_size, c.hidden_size, { initialization: { kind: 'normal', std: c.initializer_range }, scale: () => embeddingScale(c.hidden_size), ...paddingOf(c) })
    this.layers = Array.from({ length: c.num_hidden_layers }, (_, i) => new Layer(c, i))
    this.norm = norm(c)
    this.rope = wholeHeadRope(c.model_type, c)
    this.rotary = new RotaryPositions(this.rope, c.head_dim)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.hidden_size }
  get layerCount(): number { return this.config.num_hidden_layers }
  override windowOf(layer: number): number { return windowOf(this.config, layer) }
  /** What it was trained for; 'dynamic' positions stretch with the sequence. */
  get maxPositions(): number { return this.rope.type === 'dynamic' ? Infinity : this.config.max_position_embeddings }

  protected override get packs(): boolean { return this.rotary.isFixed }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { keyPadding, offsets, end } = step, x = this.embed_tokens.forward(ids)
    return this.norm.forward(this.through(this.layers, x, step, (layer, y, cache, _, start) => layer.forward(y, { turn: this.rotary.at(start, end), cache, keyPadding, offsets })))
  }
}

/**
 * Gemma (Gemma team 2024, https://arxiv.org/abs/2403.08295): LLaMA with GEGLU, wide heads, embeddings times sqrt(C) that are the output too, norms stored as 1 less.
 * Gemma 2 (https://arxiv.org/abs/2408.00118) norms what a sublayer gives as well, bounds scores and logits, and sees a window in every other layer.
 */
export class Gemma extends CausalLanguageModel {
  readonly config: GemmaConfig & PretrainedConfig
  readonly model: GemmaModel
  readonly lm_head: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GemmaConfig> & PretrainedConfig = {}) {
    super()
    this.model = new GemmaModel(config)
    const c = this.config = this.model.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.hidden_size, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): GemmaModel { return this.model }
  protected override project(x: Tensor): Tensor {
    const logits = this.lm_head ? this.lm_head.forward(x) : linear(x, this.model.embed_tokens.weight)
    const cap = this.config.model_type === 'gemma2' ? this.config.final_logit_softcapping : null
    return cap === null ? logits : mul(tanh(div(logits, cap)), cap)
  }
}

/** config.json of either has its own keys alone; Gemma's has its activation under the name that older versions of transformers read as well. */
function configuration(config: GemmaConfig & PretrainedConfig): PretrainedConfig {
  const { hidden_act, hidden_activation, query_pre_attn_scalar, sliding_window, layer_types, attn_logit_softcapping, final_logit_softcapping, ...shared } = config
  if (config.model_type === 'gemma') return { ...shared, hidden_act: withTanh(hidden_act), hidden_activation: withTanh(hidden_act) }
  return {
    ...shared, hidden_activation, query_pre_attn_scalar, sliding_window, attn_logit_softcapping, final_logit_softcapping, ...(layer_types ? { layer_types } : {}),
  }
}

const inOldFiles = /(^|\.)rotary_emb\.inv_freq$/

export const gemmaClasses: readonly PretrainedClass[] = ([['gemma', 'Gemma'], ['gemma2', 'Gemma2']] as const).flatMap(([modelType, name]) => {
  const layers = pretrainedClass({
    architecture: `${name}Model`, modelType, task: 'base', prefix: 'model', Model: GemmaModel, config: model => configuration(model.config), ignored: inOldFiles,
  })
  return [
    pretrainedClass({
      architecture: `${name}ForCausalLM`, modelType, task: 'causal-lm', prefix: 'model', Model: Gemma, config: model => configuration(model.config), ignored: inOldFiles,
      tied: model => model.lm_head ? {} : { 'lm_head.weight': 'model.embed_tokens.weight' },
    }),
    layers, ...headClasses(layers, { tokens: 'score', answers: false }),
  ]
})
