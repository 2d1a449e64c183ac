import { ConfigError } from '../errors.js'
import { splitHeads } from '../nn/fusedHeads.js'
import { decoderAttention, type DecoderContext, turnedAttention } from '../nn/groupedQueryAttention.js'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { intoStream } from '../nn/precision.js'
import { ropeParameters, type RopeParameters } from '../nn/rope.js'
import { RotaryPositions } from '../nn/rotaryPositions.js'
import { add } from '../ops/add.js'
import { reshape } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { type ActivatedLinear, activatedLinear } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, type PretrainedConfig } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import { headClasses } from './decoderHeads.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/**
 * GPT-NeoX's configuration under the names of its `config.json`. Positions are those of `rope_parameters` (or `rope_scaling`); where these do not say them,
 * the base is `rotary_emb_base` and the share of a head that turns `rotary_pct`.
 */
export interface GPTNeoXConfig {
  vocab_size: number
  hidden_size: number
  num_hidden_layers: number
  num_attention_heads: number
  intermediate_size: number
  hidden_act: string
  max_position_embeddings: number
  layer_norm_eps: number
  /** Attention and feed-forward side by side instead of one after the other. */
  use_parallel_residual: boolean
  attention_bias: boolean
  attention_dropout: number
  hidden_dropout: number
  /** Of a classifier of tokens. */
  classifier_dropout: number
  initializer_range: number
  tie_word_embeddings: boolean
}

const defaults: GPTNeoXConfig = {
  vocab_size: 50432, hidden_size: 6144, num_hidden_layers: 44, num_attention_heads: 64, intermediate_size: 24576, hidden_act: 'gelu', max_position_embeddings: 2048,
  layer_norm_eps: 1e-5, use_parallel_residual: true, attention_bias: true, attention_dropout: 0, hidden_dropout: 0, classifier_dropout: 0.1,
  initializer_range: 0.02, tie_word_embeddings: false,
}

function complete(config: PretrainedConfig): GPTNeoXConfig & PretrainedConfig {
  const c = completed('GPTNeoX', config, defaults, { quantization_config: null })
  checkSizes('GPTNeoX', c, 'vocab_size', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'max_position_embeddings')
  if (c.hidden_size % c.num_attention_heads !== 0) throw new ConfigError(`GPTNeoX: hidden_size ${c.hidden_size} is not a multiple of num_attention_heads ${c.num_attention_heads}`)
  return c
}

/** As transformers reads them: what `rope_parameters` lacks comes from the family's own names and from nowhere else. */
function rope({ rope_scaling, rope_parameters, rotary_emb_base, rotary_pct, ...c }: PretrainedConfig): RopeParameters {
  const given = { rope_theta: rotary_emb_base ?? 10000, partial_rotary_factor: rotary_pct ?? 0.25, ...(rope_scaling ?? rope_parameters) as PretrainedConfig | null | undefined }
  return ropeParameters('GPTNeoX', { ...c, rope_parameters: given })
}

class Attention extends Module {
  readonly query_key_value: Linear
  readonly dense: Linear

  constructor(private readonly c: GPTNeoXConfig) {
    super()
    const options = { bias: c.attention_bias, initialization: { kind: 'normal', std: c.initializer_range } } as const
    this.query_key_value = new Linear(c.hidden_size, 3 * c.hidden_size, options)
    this.dense = new Linear(c.hidden_size, c.hidden_size, { ...options, ...intoStream })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    const H = this.c.num_attention_heads, { q, k, v } = splitHeads(this.query_key_value.forward(x), H, H)
    return this.dense.forward(reshape(turnedAttention(q, k, v, context, { dropout: this.training ? this.c.attention_dropout : 0 }), x.shape))
  }
}

class MLP extends Module {
  readonly dense_h_to_4h: Linear
  readonly dense_4h_to_h: Linear
  private readonly activated: ActivatedLinear

  constructor(c: GPTNeoXConfig) {
    super()
    const initialization = { kind: 'normal', std: c.initializer_range } as const
    this.dense_h_to_4h = new Linear(c.hidden_size, c.intermediate_size, { initialization })
    this.dense_4h_to_h = new Linear(c.intermediate_size, c.hidden_size, { initialization, ...intoStream })
    this.activated = activatedLinear('GPTNeoX', 'hidden_act', c.hidden_act)
  }

  forward(x: Tensor): Tensor { return this.dense_4h_to_h.forward(this.activated(this.dense_h_to_4h, x)) }
}

class Layer extends Module {
  readonly input_layernorm: LayerNorm
  readonly attention: Attention
  readonly post_attention_layernorm: LayerNorm
  readonly mlp: MLP

  constructor(private readonly c: GPTNeoXConfig) {
    super()
    this.input_layernorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
    this.attention = new Attention(c)
    this.post_attention_layernorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
    this.mlp = new MLP(c)
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const p = this.training ? this.c.hidden_dropout : 0, dropout = new Dropout(p)
      const attended = decoderAttention((z, kept) => this.attention.forward(this.input_layernorm.forward(z), kept), x, context)
      if (this.c.use_parallel_residual) return add(add(dropout.forward(this.mlp.forward(this.post_attention_layernorm.forward(x))), dropout.forward(attended)), x)
      const { y, sum } = this.post_attention_layernorm.add(x, attended, p)
      return add(sum, dropout.forward(this.mlp.forward(y)))
    })
  }
}

/** The layers of GPT-NeoX. */
export class GPTNeoXModel extends Decoder {
  readonly config: GPTNeoXConfig & PretrainedConfig
  readonly embed_in: Embedding
  readonly layers: Layer[]
  readonly final_layer_norm: LayerNorm
  private readonly emb_dropout: Dropout
  private readonly rope: RopeParameters
  private readonly rotary: RotaryPositions

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GPTNeoXConfig> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config)
    this.embed_in = new Embedding(c.vocab_size, c.hidden_size, { initialization: { kind: 'normal', std: c.initializer_range } })
    this.layers = Array.from({ length: c.num_hidden_layers }, () => new Layer(c))
    this.final_layer_norm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
    this.emb_dropout = new Dropout(c.hidden_dropout)
    this.rope = rope(c)
    this.rotary = new RotaryPositions(this.rope, c.hidden_size / c.num_attention_heads)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.hidden_size }
  get layerCount(): number { return this.config.num_hidden_layers }
  /** What it was trained for; 'dynamic' positions stretch with the sequence. */
  get maxPositions(): number { return this.rope.type === 'dynamic' ? Infinity : this.config.max_position_embeddings }

  protected override get packs(): boolean { return this.rotary.isFixed }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { keyPadding, offsets, end } = step, x = this.emb_dropout.forward(this.embed_in.forward(ids))
    return this.final_layer_norm.forward(this.through(this.layers, x, step, (layer, y, cache, _, start) => layer.forward(y, { turn: this.rotary.at(start, end), keyPadding, offsets, cache })))
  }
}

/**
 * GPT-NeoX (Black et al. 2022, https://arxiv.org/abs/2204.06745), Pythia: pre-norm, a part of each head turns with its position, attention and feed-forward
 * read the same stream side by side.
 */
export class GPTNeoX extends CausalLanguageModel {
  readonly config: GPTNeoXConfig & PretrainedConfig
  readonly gpt_neox: GPTNeoXModel
  readonly embed_out: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GPTNeoXConfig> & PretrainedConfig = {}) {
    super()
    this.gpt_neox = new GPTNeoXModel(config)
    const c = this.config = this.gpt_neox.config
    this.embed_out = c.tie_word_embeddings ? undefined : new Linear(c.hidden_size, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): GPTNeoXModel { return this.gpt_neox }
  protected override get output(): OutputLayer { return { layer: this.embed_out, table: this.gpt_neox.embed_in.weight } }
}

const configuration = ({ config }: GPTNeoX | GPTNeoXModel): PretrainedConfig => config
const inOldFiles = /(^|\.)attention\.((masked_)?bias|rotary_emb\.inv_freq)$/   // causal masks and frequencies

const layers = pretrainedClass({ architecture: 'GPTNeoXModel', modelType: 'gpt_neox', task: 'base', prefix: 'gpt_neox', Model: GPTNeoXModel, config: configuration, ignored: inOldFiles })

export const gptNeoxClasses: readonly PretrainedClass[] = [
  pretrainedClass({
    architecture: 'GPTNeoXForCausalLM', modelType: 'gpt_neox', task: 'causal-lm', prefix: 'gpt_neox', Model: GPTNeoX, config: configuration, ignored: inOldFiles,
    // Files have embed_out, transformers from version 5 on has lm_head in memory.
    tied: ({ embed_out }) => {
      const embedding = 'gpt_neox.embed_in.weight'
      return embed_out ? { 'lm_head.weight': 'embed_out.weight' } : { 'lm_head.weight': embedding, 'embed_out.weight': embedding }
    },
  }),
  layers, ...headClasses(layers),
]
