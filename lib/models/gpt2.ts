import { ConfigError } from '../errors.js'
import { packed } from '../nn/groupedQueryAttention.js'
import type { KeyValueCache } from '../nn/keyValueCache.js'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { LearnedPositions } from '../nn/positions.js'
import { intoStream } from '../nn/precision.js'
import { attentionSublayer } from '../nn/recompute.js'
import { add } from '../ops/add.js'
import { attention, type AttentionOptions } from '../ops/attention.js'
import type { Activation } from '../ops/codes.js'
import { linear } from '../ops/linear.js'
import { reshape, splitHeads, transpose } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { type ActivatedLinear, activatedLinear } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, type PretrainedConfig, renamed } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import type { OutputLayer } from './outputLayer.js'

/** GPT-2's configuration under the names of its `config.json`. */
export interface GPT2Config {
  vocab_size: number
  n_positions: number
  n_embd: number
  n_layer: number
  n_head: number
  n_inner: number | null
  activation_function: string
  resid_pdrop: number
  embd_pdrop: number
  attn_pdrop: number
  layer_norm_epsilon: number
  initializer_range: number
  /** Scores of attention are divided by the square root of a head's width. */
  scale_attn_weights: boolean
  /** And those of layer i, counted from 1, by i. */
  scale_attn_by_inverse_layer_idx: boolean
  tie_word_embeddings: boolean
}

const defaults: GPT2Config = {
  vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12, n_inner: null, activation_function: 'gelu_new', resid_pdrop: 0.1, embd_pdrop: 0.1,
  attn_pdrop: 0.1, layer_norm_epsilon: 1e-5, initializer_range: 0.02, scale_attn_weights: true, scale_attn_by_inverse_layer_idx: false, tie_word_embeddings: true,
}

/** Variations of GPT-2 that compute something else and are not built; `reorder_and_upcast_attn` is how the scores are computed here in any case: in float32. */
const usual = { add_cross_attention: false, quantization_config: null }
const names = { max_position_embeddings: 'n_positions', hidden_size: 'n_embd', num_attention_heads: 'n_head', num_hidden_layers: 'n_layer' }

function complete(config: PretrainedConfig): GPT2Config & PretrainedConfig {
  const c = completed('GPT2', renamed(config, names), defaults, usual)
  checkSizes('GPT2', c, 'vocab_size', 'n_positions', 'n_embd', 'n_layer', 'n_head')
  if (c.n_embd % c.n_head !== 0) throw new ConfigError(`GPT2: n_embd ${c.n_embd} is not a multiple of n_head ${c.n_head}`)
  return c
}

type PaddingMask = Pick<AttentionOptions, 'keyPadding' | 'queryOffsets' | 'keyOffsets'>

/** y = x W + b with the weight as GPT-2 stores it, `[in, out]`. */
class Conv1D extends Module {
  /** What adapters go by (peft/baseLayer.ts). */
  readonly fanInFanOut = true
  readonly weight: Parameter
  readonly bias: Parameter

  constructor(inFeatures: number, outFeatures: number, std: number, readonly resultDtype?: 'float32') {
    super()
    this.weight = new Parameter([inFeatures, outFeatures], { kind: 'normal', std })
    this.bias = new Parameter([outFeatures], { kind: 'zeros' })
  }

  forward(x: Tensor, activation: Activation = 'none'): Tensor { return linear(x, transpose(this.weight), this.bias, { activation, dtype: this.resultDtype }) }
}

class CausalSelfAttention extends Module {
  readonly c_attn: Conv1D
  readonly c_proj: Conv1D
  private readonly scale: number

  constructor(private readonly c: GPT2Config, layer: number) {
    super()
    this.scale = (c.scale_attn_weights ? (c.n_embd / c.n_head) ** -0.5 : 1) / (c.scale_attn_by_inverse_layer_idx ? layer + 1 : 1)
    this.c_attn = new Conv1D(c.n_embd, 3 * c.n_embd, c.initializer_range)
    this.c_proj = new Conv1D(c.n_embd, c.n_embd, c.initializer_range / Math.sqrt(2 * c.n_layer), intoStream.resultDtype)
  }

  forward(x: Tensor /* B T C */, cache?: KeyValueCache, mask: PaddingMask = {}): Tensor {
    const [B, T, C] = x.shape as [number, number, number]
    const [q, k, v] = splitHeads(this.c_attn.forward(x), 3, this.c.n_head) as [Tensor, Tensor, Tensor]
    const { keys, values } = cache ? cache.append(k, v) : { keys: k, values: v }
    const y = attention(q, keys, values, { ...mask, causal: true, scale: this.scale, dropout: this.training ? this.c.attn_pdrop : 0 })   // B T H D
    return this.c_proj.forward(reshape(y, [B, T, C]))
  }
}

class MLP extends Module {
  readonly c_fc: Conv1D
  readonly c_proj: Conv1D
  private readonly activated: ActivatedLinear

  constructor(c: GPT2Config) {
    super()
    const F = c.n_inner ?? 4 * c.n_embd
    this.c_fc = new Conv1D(c.n_embd, F, c.initializer_range)
    this.c_proj = new Conv1D(F, c.n_embd, c.initializer_range / Math.sqrt(2 * c.n_layer), intoStream.resultDtype)
    this.activated = activatedLinear('GPT2', 'activation_function', c.activation_function)
  }

  forward(x: Tensor): Tensor { return this.c_proj.forward(this.activated(this.c_fc, x)) }
}

class Block extends Module {
  readonly ln_1: LayerNorm
  readonly attn: CausalSelfAttention
  readonly ln_2: LayerNorm
  readonly mlp: MLP

  constructor(private readonly c: GPT2Config, layer: number) {
    super()
    this.ln_1 = new LayerNorm(c.n_embd, { eps: c.layer_norm_epsilon })
    this.attn = new CausalSelfAttention(c, layer)
    this.ln_2 = new LayerNorm(c.n_embd, { eps: c.layer_norm_epsilon })
    this.mlp = new MLP(c)
  }

  forward(x: Tensor /* B T C */, cache?: KeyValueCache, mask?: PaddingMask): Tensor {
    return scope(() => {
      const p = this.training ? this.c.resid_pdrop : 0
      const { y, sum } = this.ln_2.add(x, attentionSublayer(z => this.attn.forward(this.ln_1.forward(z!), cache, mask), x), p)
      return add(sum, new Dropout(p).forward(this.mlp.forward(y)))
    })
  }
}

/** The layers of GPT-2. */
export class GPT2Model extends Decoder {
  readonly config: GPT2Config & PretrainedConfig
  readonly wte: Embedding
  readonly wpe: LearnedPositions
  readonly h: Block[]
  readonly ln_f: LayerNorm

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GPT2Config> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config)
    this.wte = new Embedding(c.vocab_size, c.n_embd, { initialization: { kind: 'normal', std: c.initializer_range } })
    this.wpe = new LearnedPositions(c.n_positions, c.n_embd, c.initializer_range)
    this.h = Array.from({ length: c.n_layer }, (_, layer) => new Block(c, layer))
    this.ln_f = new LayerNorm(c.n_embd, { eps: c.layer_norm_epsilon })
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.n_embd }
  get layerCount(): number { return this.config.n_layer }
  get maxPositions(): number { return this.config.n_positions }

  protected override get packs(): boolean { return true }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const mask = step.offsets ? packed(step.offsets) : step.keyPadding && { keyPadding: step.keyPadding }
    const x = new Dropout(this.training ? this.config.embd_pdrop : 0).forward(this.wpe.forward(this.wte.forward(ids), step.start))
    return this.ln_f.forward(this.through(this.h, x, step, (block, y, cache) => block.forward(y, cache, mask)))
  }
}

/** GPT-2 (Radford et al. 2019): a pre-norm decoder, learned positions, GELU (tanh), output tied to the token embedding unless told otherwise. */
export class GPT2 extends CausalLanguageModel {
  readonly config: GPT2Config & PretrainedConfig
  readonly transformer: GPT2Model
  readonly lm_head: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GPT2Config> & PretrainedConfig = {}) {
    super()
    this.transformer = new GPT2Model(config)
    const c = this.config = this.transformer.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.n_embd, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): GPT2Model { return this.transformer }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.transformer.wte.weight } }
}
