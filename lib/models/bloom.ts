import { ConfigError } from '../errors.js'
import { Alibi } from '../nn/alibi.js'
import { splitHeads } from '../nn/fusedHeads.js'
import { decoderAttention, type DecoderContext, turnedAttention } from '../nn/groupedQueryAttention.js'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { intoStream } from '../nn/precision.js'
import { add } from '../ops/add.js'
import { linear } from '../ops/linear.js'
import { reshape } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, type PretrainedConfig, renamed } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import { headClasses } from './decoderHeads.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** BLOOM's configuration under the names of its `config.json`. */
export interface BloomConfig {
  vocab_size: number
  hidden_size: number
  n_layer: number
  n_head: number
  layer_norm_epsilon: number
  /** The residual stream of a layer begins behind its norms. */
  apply_residual_connection_post_layernorm: boolean
  hidden_dropout: number
  attention_dropout: number
  /** Ranks that the model was trained on; with `slow_but_exact`, more than one leave out the biases behind attention and feed-forward, as in transformers. */
  pretraining_tp: number
  slow_but_exact: boolean
  initializer_range: number
  tie_word_embeddings: boolean
}

const defaults: BloomConfig = {
  vocab_size: 250880, hidden_size: 64, n_layer: 2, n_head: 8, layer_norm_epsilon: 1e-5, apply_residual_connection_post_layernorm: false, hidden_dropout: 0, attention_dropout: 0,
  pretraining_tp: 1, slow_but_exact: false, initializer_range: 0.02, tie_word_embeddings: true,
}

function complete(config: PretrainedConfig): BloomConfig & PretrainedConfig {
  const c = completed('Bloom', renamed(config, { num_hidden_layers: 'n_layer', num_attention_heads: 'n_head', n_embed: 'hidden_size' }), defaults, { quantization_config: null })
  checkSizes('Bloom', c, 'vocab_size', 'hidden_size', 'n_layer', 'n_head', 'pretraining_tp')
  if (c.hidden_size % c.n_head !== 0) throw new ConfigError(`Bloom: hidden_size ${c.hidden_size} is not a multiple of n_head ${c.n_head}`)
  return c
}

/** The last product of a sublayer: in slices, one for each rank, it comes without its bias. */
function output(c: BloomConfig, layer: Linear, x: Tensor): Tensor {
  return c.slow_but_exact && c.pretraining_tp > 1 ? linear(x, layer.weight, undefined, { dtype: layer.resultDtype }) : layer.forward(x)
}

class Attention extends Module {
  readonly query_key_value: Linear
  readonly dense: Linear

  constructor(private readonly c: BloomConfig) {
    super()
    const initialization = { kind: 'normal', std: c.initializer_range } as const
    this.query_key_value = new Linear(c.hidden_size, 3 * c.hidden_size, { initialization })
    this.dense = new Linear(c.hidden_size, c.hidden_size, { initialization, ...intoStream })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    const H = this.c.n_head, { q, k, v } = splitHeads(this.query_key_value.forward(x), H, H)
    return output(this.c, this.dense, reshape(turnedAttention(q, k, v, context, { dropout: this.training ? this.c.attention_dropout : 0 }), x.shape))
  }
}

class MLP extends Module {
  readonly dense_h_to_4h: Linear
  readonly dense_4h_to_h: Linear

  constructor(private readonly c: BloomConfig) {
    super()
    const initialization = { kind: 'normal', std: c.initializer_range } as const
    this.dense_h_to_4h = new Linear(c.hidden_size, 4 * c.hidden_size, { initialization })
    this.dense_4h_to_h = new Linear(4 * c.hidden_size, c.hidden_size, { initialization, ...intoStream })
  }

  forward(x: Tensor): Tensor { return output(this.c, this.dense_4h_to_h, this.dense_h_to_4h.forward(x, 'geluTanh')) }
}

class Block extends Module {
  readonly input_layernorm: LayerNorm
  readonly self_attention: Attention
  readonly post_attention_layernorm: LayerNorm
  readonly mlp: MLP

  constructor(private readonly c: BloomConfig) {
    super()
    this.input_layernorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_epsilon })
    this.self_attention = new Attention(c)
    this.post_attention_layernorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_epsilon })
    this.mlp = new MLP(c)
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const p = this.training ? this.c.hidden_dropout : 0, behindNorm = this.c.apply_residual_connection_post_layernorm
      const normed = this.input_layernorm.forward(x)
      const { y, sum } = this.post_attention_layernorm.add(behindNorm ? normed : x, decoderAttention((z, kept) => this.self_attention.forward(z, kept), normed, context), p)
      return add(behindNorm ? y : sum, new Dropout(p).forward(this.mlp.forward(y)))
    })
  }
}

/** The layers of BLOOM. */
export class BloomModel extends Decoder {
  readonly config: BloomConfig & PretrainedConfig
  readonly word_embeddings: Embedding
  readonly word_embeddings_layernorm: LayerNorm
  readonly h: Block[]
  readonly ln_f: LayerNorm
  private readonly alibi: Alibi

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<BloomConfig> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config)
    this.word_embeddings = new Embedding(c.vocab_size, c.hidden_size, { initialization: { kind: 'normal', std: c.initializer_range } })
    this.word_embeddings_layernorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_epsilon })
    this.h = Array.from({ length: c.n_layer }, () => new Block(c))
    this.ln_f = new LayerNorm(c.hidden_size, { eps: c.layer_norm_epsilon })
    this.alibi = new Alibi(c.n_head)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.hidden_size }
  get layerCount(): number { return this.config.n_layer }
  /** Distances have no end. */
  get maxPositions(): number { return Infinity }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { keyPadding, end } = step, x = this.word_embeddings_layernorm.forward(this.word_embeddings.forward(ids))
    return this.ln_f.forward(this.through(this.h, x, step, (block, y, cache, bias) => block.forward(y, { bias, keyPadding, cache }), this.alibi.at(end, keyPadding)))
  }
}

/** BLOOM (BigScience Workshop 2022, https://arxiv.org/abs/2211.05100): a pre-norm decoder with a norm behind its embedding; distances instead of positions (ALiBi). */
export class Bloom extends CausalLanguageModel {
  readonly config: BloomConfig & PretrainedConfig
  readonly transformer: BloomModel
  readonly lm_head: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<BloomConfig> & PretrainedConfig = {}) {
    super()
    this.transformer = new BloomModel(config)
    const c = this.config = this.transformer.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.hidden_size, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): BloomModel { return this.transformer }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.transformer.word_embeddings.weight } }
}

const configuration = ({ config }: Bloom | BloomModel): PretrainedConfig => config

const layers = pretrainedClass({ architecture: 'BloomModel', modelType: 'bloom', task: 'base', prefix: 'transformer', Model: BloomModel, config: configuration })

export const bloomClasses: readonly PretrainedClass[] = [
  pretrainedClass({
    architecture: 'BloomForCausalLM', modelType: 'bloom', task: 'causal-lm', prefix: 'transformer', Model: Bloom, config: configuration,
    tied: model => model.lm_head ? {} : { 'lm_head.weight': 'transformer.word_embeddings.weight' },
  }),
  layers, ...headClasses(layers),
]
