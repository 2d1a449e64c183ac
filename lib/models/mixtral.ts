import { type Gate, gated } from '../nn/gatedFeedForward.js'
import { decoderAttention, type DecoderContext, GroupedQueryAttention } from '../nn/groupedQueryAttention.js'
import { Linear, RMSNorm } from '../nn/layers.js'
import { MixtureOfExperts } from '../nn/mixtureOfExperts.js'
import { Module } from '../nn/module.js'
import { intoStream } from '../nn/precision.js'
import { add } from '../ops/add.js'
import { concat } from '../ops/concat.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { gateOf } from './activations.js'
import { checkSizes, completed, type PretrainedConfig } from './configuration.js'
import { headClasses } from './decoderHeads.js'
import { expertsApart, type MixtureConfig, MixtureDecoder, MixtureLanguageModel, type MixtureLayer } from './mixtureDecoder.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** Configuration under the names of `config.json`; further keys are those of rotary positions (`rope_parameters`, or `rope_theta` and `rope_scaling`). */
export interface MixtralConfig extends MixtureConfig {
  intermediate_size: number
  num_attention_heads: number
  num_key_value_heads: number
  hidden_act: string
  attention_dropout: number
  /** Positions that a query sees; null: all. */
  sliding_window: number | null
  num_local_experts: number
  /** In training what a mixture reads is multiplied by numbers up to so much above or below 1. */
  router_jitter_noise: number
}

const defaults = {
  vocab_size: 32000, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 8, head_dim: undefined,
  hidden_act: 'silu', max_position_embeddings: 131072, rms_norm_eps: 1e-5, initializer_range: 0.02, attention_dropout: 0, tie_word_embeddings: false, sliding_window: null,
  num_local_experts: 8, num_experts_per_tok: 2, output_router_logits: false, router_aux_loss_coef: 0.001, router_jitter_noise: 0,
}

function complete(config: PretrainedConfig): MixtralConfig & PretrainedConfig {
  const c = completed('mixtral', config, defaults, { quantization_config: null }, ['num_key_value_heads'])
  checkSizes('mixtral', c, 'vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'max_position_embeddings', 'num_local_experts')
  const heads = c.num_attention_heads, groups = c.num_key_value_heads as number | null
  const all = { ...c, num_key_value_heads: groups ?? heads, head_dim: c.head_dim ?? c.hidden_size / heads } as unknown as MixtralConfig & PretrainedConfig
  checkSizes('mixtral', all, 'num_key_value_heads', 'head_dim')
  return all
}

/** An expert under the names that files have: w2(activation(w1 x) · w3 x). */
class MixtralExpert extends Module {
  readonly w1: Linear
  readonly w2: Linear
  readonly w3: Linear

  constructor(width: number, inner: number, private readonly activation: Gate, std: number) {
    super()
    const options = { bias: false, initialization: { kind: 'normal', std } } as const
    this.w1 = new Linear(width, inner, options)
    this.w2 = new Linear(inner, width, { ...options, ...intoStream })
    this.w3 = new Linear(width, inner, options)
  }

  forward(x: Tensor): Tensor { return this.w2.forward(gated(this.w1.forward(x), this.w3.forward(x), this.activation)) }
}

class Layer extends Module implements MixtureLayer {
  readonly input_layernorm: RMSNorm
  readonly self_attn: GroupedQueryAttention
  readonly post_attention_layernorm: RMSNorm
  readonly block_sparse_moe: MixtureOfExperts

  get experts(): number { return this.block_sparse_moe.experts.length }

  readonly window: number

  constructor(c: MixtralConfig) {
    super()
    this.window = c.sliding_window ?? 0
    const eps = c.rms_norm_eps, std = c.initializer_range, activation = gateOf('mixtral', 'hidden_act', c.hidden_act)
    this.input_layernorm = new RMSNorm(c.hidden_size, { eps })
    this.self_attn = new GroupedQueryAttention({
      width: c.hidden_size, heads: c.num_attention_heads, groups: c.num_key_value_heads, headDim: c.head_dim, dropout: c.attention_dropout, window: this.window, std,
    })
    this.post_attention_layernorm = new RMSNorm(c.hidden_size, { eps })
    this.block_sparse_moe = new MixtureOfExperts(Array.from({ length: c.num_local_experts }, () => new MixtralExpert(c.hidden_size, c.intermediate_size, activation, std)),
      { width: c.hidden_size, perToken: c.num_experts_per_tok, jitter: c.router_jitter_noise, std })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext, router = false): Tensor {
    return scope(() => {
      const { y, sum } = this.post_attention_layernorm.add(x, decoderAttention((z, kept) => this.self_attn.forward(this.input_layernorm.forward(z), kept), x, context))
      const mixed = this.block_sparse_moe.forward(y), result = add(sum, mixed.y)
      return router ? concat([result, mixed.logits], -1) : result
    })
  }
}

/** The layers of Mixtral. */
export class MixtralModel extends MixtureDecoder<MixtralConfig & PretrainedConfig> {
  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<MixtralConfig> & PretrainedConfig = {}) {
    const c = complete(config)
    super('mixtral', c, () => new Layer(c), 1e6)
  }
}

/** Mixtral (Jiang et al. 2024, https://arxiv.org/abs/2401.04088): Mistral whose feed-forward layers are mixtures of experts, of which each token sees a few. */
export class Mixtral extends MixtureLanguageModel<MixtralConfig & PretrainedConfig> {
  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<MixtralConfig> & PretrainedConfig = {}) { super(new MixtralModel(config)) }
}

const inOldFiles = /(^|\.)rotary_emb\.inv_freq$/

const partsOf = expertsApart('w1', 'w3', 'w2')
const renamed = (name: string): string => name.replace('.mlp.', '.block_sparse_moe.')

const files = { modelType: 'mixtral', prefix: 'model', ignored: inOldFiles, partsOf, renamed } as const

const layers = pretrainedClass({ ...files, architecture: 'MixtralModel', task: 'base', Model: MixtralModel, config: model => model.config })

export const mixtralClasses: readonly PretrainedClass[] = [
  pretrainedClass({
    ...files, architecture: 'MixtralForCausalLM', task: 'causal-lm', Model: Mixtral, config: model => model.config,
    tied: model => model.lm_head ? {} : { 'lm_head.weight': 'model.embed_tokens.weight' },
  }),
  layers, ...headClasses(layers, { tokens: 'score' }),
]
