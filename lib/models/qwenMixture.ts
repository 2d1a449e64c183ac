import { ConfigError } from '../errors.js'
import { type Gate, GatedFeedForward } from '../nn/gatedFeedForward.js'
import { decoderAttention, type DecoderContext, GroupedQueryAttention } from '../nn/groupedQueryAttention.js'
import { Linear, RMSNorm } from '../nn/layers.js'
import { MixtureOfExperts, type MixtureOptions } from '../nn/mixtureOfExperts.js'
import { Module } from '../nn/module.js'
import { intoStream } from '../nn/precision.js'
import { add } from '../ops/add.js'
import { concat } from '../ops/concat.js'
import { mul } from '../ops/mul.js'
import { sigmoid } from '../ops/unary.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { gateOf } from './activations.js'
import { checkSizes, completed, type PretrainedConfig } from './configuration.js'
import { headClasses } from './decoderHeads.js'
import { expertsApart, type MixtureConfig, MixtureDecoder, MixtureLanguageModel, type MixtureLayer } from './mixtureDecoder.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

export type QwenMixtureType = 'qwen2_moe' | 'qwen3_moe'

/** Configuration under the names of `config.json`; further keys are those of rotary positions (`rope_parameters`, or `rope_theta` and `rope_scaling`). */
export interface QwenMixtureConfig extends MixtureConfig {
  model_type: QwenMixtureType
  /** Of the layers without experts. */
  intermediate_size: number
  num_attention_heads: number
  num_key_value_heads: number
  hidden_act: string
  attention_dropout: number
  /** Qwen2: of queries, keys and values. */
  qkv_bias: boolean
  /** Qwen3: of these and the output. */
  attention_bias: boolean
  /** Whether there is a window at all; in Qwen3 every layer has it then, in Qwen2 those of `layer_types`: by default every other one before `max_window_layers`. */
  use_sliding_window: boolean
  sliding_window: number | null
  max_window_layers: number
  layer_types: readonly string[] | null
  /** Every so many layers one has experts; those of `mlp_only_layers` have none. */
  decoder_sparse_step: number
  mlp_only_layers: readonly number[]
  /** Also `num_local_experts`. */
  num_experts: number
  moe_intermediate_size: number
  /** Qwen2: of the expert that every token sees. */
  shared_expert_intermediate_size: number
  /** Whether the weights of the chosen experts add up to 1. */
  norm_topk_prob: boolean
}

const common = {
  vocab_size: 151936, hidden_size: 2048, num_hidden_layers: 24, head_dim: undefined, hidden_act: 'silu', max_position_embeddings: 32768, rms_norm_eps: 1e-6,
  initializer_range: 0.02, attention_dropout: 0, tie_word_embeddings: false, use_sliding_window: false, sliding_window: 4096, max_window_layers: 28, layer_types: null,
  decoder_sparse_step: 1, mlp_only_layers: [], norm_topk_prob: false, output_router_logits: false, router_aux_loss_coef: 0.001, qkv_bias: true, attention_bias: false,
  shared_expert_intermediate_size: 5632,
}
const defaults = {
  qwen2_moe: { ...common, intermediate_size: 5632, num_attention_heads: 16, num_key_value_heads: 16, num_experts: 60, num_experts_per_tok: 4, moe_intermediate_size: 1408 },
  qwen3_moe: { ...common, intermediate_size: 6144, num_attention_heads: 32, num_key_value_heads: 4, num_experts: 128, num_experts_per_tok: 8, moe_intermediate_size: 768 },
}

function complete({ num_local_experts, ...config }: PretrainedConfig): QwenMixtureConfig & PretrainedConfig {
  const type = (config['model_type'] ?? 'qwen3_moe') as QwenMixtureType
  if (!Object.hasOwn(defaults, type)) throw new ConfigError(`Qwen's mixtures: model_type is ${JSON.stringify(type)}, expected one of: ${Object.keys(defaults).join(', ')}`)
  const given = num_local_experts === undefined ? config : { num_experts: num_local_experts, ...config }
  const c = completed(type, given, defaults[type], { quantization_config: null }, ['sliding_window'])
  checkSizes(type, c, 'vocab_size', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads', 'max_position_embeddings', 'decoder_sparse_step')
  const all = { ...c, model_type: type, head_dim: c.head_dim ?? c.hidden_size / c.num_attention_heads } as unknown as QwenMixtureConfig & PretrainedConfig
  checkSizes(type, all, 'head_dim')
  if (!Array.isArray(all.mlp_only_layers)) throw new ConfigError(`${type}: mlp_only_layers is ${JSON.stringify(all.mlp_only_layers)}, expected a list of layers`)
  return all
}

/** Positions that queries of a layer see; 0: all. */
function windowOf(c: QwenMixtureConfig, layer: number): number {
  const second = c.model_type === 'qwen2_moe', everyOther = layer % 2 === 0 && layer < c.max_window_layers
  const type = (second ? c.layer_types?.[layer] : undefined) ?? (c.use_sliding_window && (!second || everyOther) ? 'sliding_attention' : 'full_attention')
  if (type === 'full_attention' || (!second && c.sliding_window === null)) return 0
  if (type === 'sliding_attention' && c.use_sliding_window && c.sliding_window) return c.sliding_window
  throw new ConfigError(`${c.model_type}: layer ${layer} is '${type}' with sliding_window ${c.sliding_window} and use_sliding_window ${c.use_sliding_window}, `
    + "expected 'full_attention', or 'sliding_attention' with a window")
}

/** Experts of which each token sees a few, and in Qwen2 one that all see, as much as a gate of its own lets through. */
class Mixture extends MixtureOfExperts {
  readonly shared_expert: GatedFeedForward | undefined
  readonly shared_expert_gate: Linear | undefined

  constructor(c: QwenMixtureConfig, activation: Gate, options: MixtureOptions) {
    checkSizes(c.model_type, c as unknown as PretrainedConfig, 'num_experts', 'moe_intermediate_size')
    super(Array.from({ length: c.num_experts }, () => new GatedFeedForward(c.hidden_size, c.moe_intermediate_size, activation, options.std)), options)
    const shared = c.model_type === 'qwen2_moe'
    this.shared_expert = shared ? new GatedFeedForward(c.hidden_size, c.shared_expert_intermediate_size, activation, options.std) : undefined
    this.shared_expert_gate = shared ? new Linear(c.hidden_size, 1, { bias: false, initialization: { kind: 'normal', std: options.std }, ...intoStream }) : undefined
  }

  override forward(x: Tensor): { y: Tensor, logits: Tensor } {
    const routed = super.forward(x)
    if (!this.shared_expert || !this.shared_expert_gate) return routed
    return { ...routed, y: add(routed.y, mul(this.shared_expert.forward(x), sigmoid(this.shared_expert_gate.forward(x)))) }
  }
}

class Layer extends Module implements MixtureLayer {
  readonly input_layernorm: RMSNorm
  readonly self_attn: GroupedQueryAttention
  readonly post_attention_layernorm: RMSNorm
  readonly mlp: Mixture | GatedFeedForward
  readonly window: number

  constructor(c: QwenMixtureConfig, index: number) {
    super()
    this.window = windowOf(c, index)
    const third = c.model_type === 'qwen3_moe', eps = c.rms_norm_eps, std = c.initializer_range, activation = gateOf(c.model_type, 'hidden_act', c.hidden_act)
    this.input_layernorm = new RMSNorm(c.hidden_size, { eps })
    this.self_attn = new GroupedQueryAttention({
      width: c.hidden_size, heads: c.num_attention_heads, groups: c.num_key_value_heads, headDim: c.head_dim, bias: third ? c.attention_bias : c.qkv_bias,
      outputBias: third && c.attention_bias, headNorm: third ? eps : undefined, dropout: c.attention_dropout, window: this.window, std,
    })
    this.post_attention_layernorm = new RMSNorm(c.hidden_size, { eps })
    const sparse = !c.mlp_only_layers.includes(index) && c.num_experts > 0 && (index + 1) % c.decoder_sparse_step === 0
    this.mlp = sparse ? new Mixture(c, activation, { width: c.hidden_size, perToken: c.num_experts_per_tok, normalised: c.norm_topk_prob, std })
      : new GatedFeedForward(c.hidden_size, c.intermediate_size, activation, std)
  }

  get experts(): number { return this.mlp instanceof Mixture ? this.mlp.experts.length : 0 }

  forward(x: Tensor /* B T C */, context: DecoderContext, router = false): Tensor {
    return scope(() => {
      const { y, sum } = this.post_attention_layernorm.add(x, decoderAttention((z, kept) => this.self_attn.forward(this.input_layernorm.forward(z), kept), x, context))
      if (!(this.mlp instanceof Mixture)) return add(sum, this.mlp.forward(y))
      const mixed = this.mlp.forward(y), result = add(sum, mixed.y)
      return router ? concat([result, mixed.logits], -1) : result
    })
  }
}

/** The layers of Qwen2's and Qwen3's mixtures. */
export class QwenMixtureModel extends MixtureDecoder<QwenMixtureConfig & PretrainedConfig> {
  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<QwenMixtureConfig> & PretrainedConfig = {}) {
    const c = complete(config)
    super(c.model_type, c, i => new Layer(c, i), 10000)
  }
}

/** Qwen2's and Qwen3's mixtures of experts (Yang et al. 2024, https://arxiv.org/abs/2407.10671; 2025, https://arxiv.org/abs/2505.09388). */
export class QwenMixture extends MixtureLanguageModel<QwenMixtureConfig & PretrainedConfig> {
  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<QwenMixtureConfig> & PretrainedConfig = {}) { super(new QwenMixtureModel(config)) }
}

/** config.json of either has its own keys alone. */
function configuration({ config }: QwenMixture | QwenMixtureModel): PretrainedConfig {
  const { qkv_bias, attention_bias, max_window_layers, layer_types, shared_expert_intermediate_size, ...shared } = config
  if (config.model_type === 'qwen3_moe') return { ...shared, attention_bias }
  return { ...shared, qkv_bias, max_window_layers, shared_expert_intermediate_size, ...(layer_types ? { layer_types } : {}) }
}

const inOldFiles = /(^|\.)rotary_emb\.inv_freq$/
const partsOf = expertsApart('gate_proj', 'up_proj', 'down_proj')
const families = [['qwen2_moe', 'Qwen2Moe', 'model'], ['qwen3_moe', 'Qwen3Moe', 'transformer']] as const

export const qwenMixtureClasses: readonly PretrainedClass[] = families.flatMap(([modelType, name, answers]) => {
  const layers = pretrainedClass({
    architecture: `${name}Model`, modelType, task: 'base', prefix: 'model', Model: QwenMixtureModel, config: configuration, ignored: inOldFiles, partsOf,
  })
  return [
    pretrainedClass({
      architecture: `${name}ForCausalLM`, modelType, task: 'causal-lm', prefix: 'model', Model: QwenMixture, config: configuration, ignored: inOldFiles, partsOf,
      tied: model => model.lm_head ? {} : { 'lm_head.weight': 'model.embed_tokens.weight' },
    }),
    layers, ...headClasses(layers, { tokens: 'score', answers }),
  ]
})
