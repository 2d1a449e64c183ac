import { ConfigError } from '../errors.js'
import { decoderAttention, type DecoderContext, turnedAttention } from '../nn/groupedQueryAttention.js'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { intoStream, rounded } from '../nn/precision.js'
import { ropeParameters } from '../nn/rope.js'
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

/** GPT-J's configuration under the names of its `config.json`. */
export interface GPTJConfig {
  vocab_size: number
  n_positions: number
  n_embd: number
  n_layer: number
  n_head: number
  /** Coordinates of each head that turn with the position. */
  rotary_dim: number
  /** null: 4 `n_embd`. */
  n_inner: number | null
  activation_function: string
  resid_pdrop: number
  embd_pdrop: number
  attn_pdrop: number
  layer_norm_epsilon: number
  initializer_range: number
  tie_word_embeddings: boolean
}

const defaults: GPTJConfig = {
  vocab_size: 50400, n_positions: 2048, n_embd: 4096, n_layer: 28, n_head: 16, rotary_dim: 64, n_inner: null, activation_function: 'gelu_new', resid_pdrop: 0, embd_pdrop: 0,
  attn_pdrop: 0, layer_norm_epsilon: 1e-5, initializer_range: 0.02, tie_word_embeddings: false,
}

/** Variations that a configuration may name, and that nobody computes. */
const usual = { rotary: true, scale_attn_weights: true, quantization_config: null }

function complete(config: PretrainedConfig): GPTJConfig & PretrainedConfig {
  const names = { max_position_embeddings: 'n_positions', hidden_size: 'n_embd', num_attention_heads: 'n_head', num_hidden_layers: 'n_layer' }
  const c = completed('GPTJ', renamed(config, names), defaults, usual)
  checkSizes('GPTJ', { ...c, n_inner: c.n_inner ?? 4 * c.n_embd }, 'vocab_size', 'n_positions', 'n_embd', 'n_layer', 'n_head', 'n_inner')
  if (c.n_embd % c.n_head !== 0) throw new ConfigError(`GPTJ: n_embd ${c.n_embd} is not a multiple of n_head ${c.n_head}`)
  const R = config['rotary_dim'] === null ? NaN : c.rotary_dim, D = c.n_embd / c.n_head
  if (!(R >= 2 && R % 2 === 0 && R <= D))
    throw new ConfigError(`GPTJ: rotary_dim is ${config['rotary_dim'] === null ? null : R}, expected an even number from 2 to ${D}, the width of a head`)
  return c
}

class Attention extends Module {
  readonly q_proj: Linear
  readonly k_proj: Linear
  readonly v_proj: Linear
  readonly out_proj: Linear

  constructor(private readonly c: GPTJConfig) {
    super()
    const options = { bias: false, initialization: { kind: 'normal', std: c.initializer_range } } as const, projection = (): Linear => new Linear(c.n_embd, c.n_embd, options)
    this.q_proj = projection()
    this.k_proj = projection()
    this.v_proj = projection()
    this.out_proj = new Linear(c.n_embd, c.n_embd, { ...options, ...intoStream })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    const [B, T, C] = x.shape as [number, number, number], H = this.c.n_head
    const heads = (projection: Linear): Tensor => reshape(projection.forward(x), [B, T, H, C / H])
    const y = turnedAttention(heads(this.q_proj), heads(this.k_proj), heads(this.v_proj), context, { dropout: this.training ? this.c.attn_pdrop : 0 })
    return this.out_proj.forward(reshape(y, [B, T, C]))
  }
}

class MLP extends Module {
  readonly fc_in: Linear
  readonly fc_out: Linear
  private readonly activated: ActivatedLinear

  constructor(c: GPTJConfig) {
    super()
    const F = c.n_inner ?? 4 * c.n_embd, initialization = { kind: 'normal', std: c.initializer_range } as const
    this.fc_in = new Linear(c.n_embd, F, { initialization })
    this.fc_out = new Linear(F, c.n_embd, { initialization, ...intoStream })
    this.activated = activatedLinear('GPTJ', 'activation_function', c.activation_function)
  }

  forward(x: Tensor): Tensor { return this.fc_out.forward(this.activated(this.fc_in, x)) }
}

/** x + attention(norm(x)) + feed-forward(norm(x)), with one norm. */
class Block extends Module {
  readonly ln_1: LayerNorm
  readonly attn: Attention
  readonly mlp: MLP
  private readonly dropout: Dropout

  constructor(c: GPTJConfig) {
    super()
    this.ln_1 = new LayerNorm(c.n_embd, { eps: c.layer_norm_epsilon })
    this.attn = new Attention(c)
    this.mlp = new MLP(c)
    this.dropout = new Dropout(c.resid_pdrop)
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const normed = rounded(this.ln_1.forward(x))
      return add(add(this.dropout.forward(decoderAttention((z, kept) => this.attn.forward(z, kept), normed, context)), this.dropout.forward(this.mlp.forward(normed))), x)
    })
  }
}

/** The layers of GPT-J. */
export class GPTJModel extends Decoder {
  readonly config: GPTJConfig & PretrainedConfig
  readonly wte: Embedding
  readonly h: Block[]
  readonly ln_f: LayerNorm
  private readonly drop: Dropout
  private readonly rotary: RotaryPositions

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GPTJConfig> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config)
    this.wte = new Embedding(c.vocab_size, c.n_embd, { initialization: { kind: 'normal', std: c.initializer_range } })
    this.h = Array.from({ length: c.n_layer }, () => new Block(c))
    this.ln_f = new LayerNorm(c.n_embd, { eps: c.layer_norm_epsilon })
    this.drop = new Dropout(c.embd_pdrop)
    this.rotary = new RotaryPositions(ropeParameters('GPTJ', {}), c.rotary_dim, true)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.n_embd }
  get layerCount(): number { return this.config.n_layer }
  get maxPositions(): number { return this.config.n_positions }

  protected override get packs(): boolean { return true }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { keyPadding, offsets, end } = step, x = this.drop.forward(this.wte.forward(ids))
    return this.ln_f.forward(this.through(this.h, x, step, (block, y, cache, _, start) => block.forward(y, { turn: this.rotary.at(start, end), keyPadding, offsets, cache })))
  }
}

/** The output layer; with a tied weight the bias is its own. */
class Head extends Module {
  readonly weight: Parameter | undefined
  readonly bias: Parameter

  constructor(c: GPTJConfig) {
    super()
    this.weight = c.tie_word_embeddings ? undefined : new Parameter([c.vocab_size, c.n_embd], { kind: 'normal', std: c.initializer_range })
    this.bias = new Parameter([c.vocab_size], { kind: 'zeros' })
  }
}

/** GPT-J (Wang, Komatsuzaki 2021): attention and feed-forward side by side behind one norm; neighbouring coordinates of a head turn with the position. */
export class GPTJ extends CausalLanguageModel {
  readonly config: GPTJConfig & PretrainedConfig
  readonly transformer: GPTJModel
  readonly lm_head: Head

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GPTJConfig> & PretrainedConfig = {}) {
    super()
    this.transformer = new GPTJModel(config)
    this.config = this.transformer.config
    this.lm_head = new Head(this.config)
  }

  get decoder(): GPTJModel { return this.transformer }
  protected override get output(): OutputLayer { return { layer: undefined, table: this.lm_head.weight ?? this.transformer.wte.weight, bias: this.lm_head.bias } }
}

const configuration = ({ config }: GPTJ | GPTJModel): PretrainedConfig => config
const causalMask = /(^|\.)attn\.(masked_)?bias$/   // which old files hold

const layers = pretrainedClass({ architecture: 'GPTJModel', modelType: 'gptj', task: 'base', prefix: 'transformer', Model: GPTJModel, config: configuration, ignored: causalMask })

export const gptjClasses: readonly PretrainedClass[] = [
  pretrainedClass({
    architecture: 'GPTJForCausalLM', modelType: 'gptj', task: 'causal-lm', prefix: 'transformer', Model: GPTJ, config: configuration, ignored: causalMask,
    tied: ({ lm_head }) => lm_head.weight ? {} : { 'lm_head.weight': 'transformer.wte.weight' },
  }),
  layers, ...headClasses(layers, { tokens: false }),
]
