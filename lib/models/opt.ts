import { ConfigError, ShapeError } from '../errors.js'
import { decoderAttention, type DecoderContext, turnedAttention } from '../nn/groupedQueryAttention.js'
import { isLeftOut } from '../nn/layerDrop.js'
import { Dropout, Embedding, LayerNorm, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { intoStream, rounded } from '../nn/precision.js'
import { tokenPositions } from '../nn/promptMask.js'
import { add } from '../ops/add.js'
import { cast } from '../ops/copy.js'
import { embedding } from '../ops/embedding.js'
import { reshape, slice } from '../ops/view.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { type ActivatedLinear, activatedLinear } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, paddingOf, type PretrainedConfig } from './configuration.js'
import { Decoder, type DecoderStep } from './decoder.js'
import { headClasses } from './decoderHeads.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** OPT's configuration under the names of its `config.json`. */
export interface OPTConfig {
  vocab_size: number
  hidden_size: number
  num_hidden_layers: number
  num_attention_heads: number
  ffn_dim: number
  max_position_embeddings: number
  /** false in OPT-350m alone: layers normalise what they give, not what they take, and there is no last norm. */
  do_layer_norm_before: boolean
  /** Of models that were fine-tuned before the norm behind the last layer was known of. */
  _remove_final_layer_norm: boolean
  /** Width of the token embedding; others than `hidden_size` are projected. */
  word_embed_proj_dim: number
  dropout: number
  attention_dropout: number
  /** Share of the layers that a training step leaves out. */
  layerdrop: number
  activation_function: string
  enable_bias: boolean
  layer_norm_elementwise_affine: boolean
  init_std: number
  /** Its embedding takes no gradient as an input. */
  pad_token_id: number | null
  tie_word_embeddings: boolean
}

const defaults = {
  vocab_size: 50272, hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, ffn_dim: 3072, max_position_embeddings: 2048, do_layer_norm_before: true,
  _remove_final_layer_norm: false, word_embed_proj_dim: undefined, dropout: 0.1, attention_dropout: 0, layerdrop: 0, activation_function: 'relu', enable_bias: true,
  layer_norm_elementwise_affine: true, init_std: 0.02, pad_token_id: 1, tie_word_embeddings: true,
}

function complete(config: PretrainedConfig): OPTConfig & PretrainedConfig {
  const c = completed('OPT', config, defaults, { quantization_config: null }, ['pad_token_id'])
  const all = { ...c, word_embed_proj_dim: c.word_embed_proj_dim ?? c.hidden_size }
  checkSizes('OPT', all, 'vocab_size', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'ffn_dim', 'max_position_embeddings', 'word_embed_proj_dim')
  if (c.hidden_size % c.num_attention_heads !== 0) throw new ConfigError(`OPT: hidden_size ${c.hidden_size} is not a multiple of num_attention_heads ${c.num_attention_heads}`)
  return all
}

class Attention extends Module {
  readonly q_proj: Linear
  readonly k_proj: Linear
  readonly v_proj: Linear
  readonly out_proj: Linear

  constructor(private readonly c: OPTConfig) {
    super()
    const options = { bias: c.enable_bias, initialization: { kind: 'normal', std: c.init_std } } as const, C = c.hidden_size
    this.q_proj = new Linear(C, C, options)
    this.k_proj = new Linear(C, C, options)
    this.v_proj = new Linear(C, C, options)
    this.out_proj = new Linear(C, C, { ...options, ...intoStream })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    const [B, T, C] = x.shape as [number, number, number], H = this.c.num_attention_heads
    const input = rounded(x), heads = (projection: Linear): Tensor => reshape(projection.forward(input), [B, T, H, C / H])
    const y = turnedAttention(heads(this.q_proj), heads(this.k_proj), heads(this.v_proj), context, { dropout: this.training ? this.c.attention_dropout : 0 })
    return this.out_proj.forward(reshape(y, [B, T, C]))
  }
}

class Layer extends Module {
  readonly self_attn: Attention
  readonly self_attn_layer_norm: LayerNorm
  readonly fc1: Linear
  readonly fc2: Linear
  readonly final_layer_norm: LayerNorm
  private readonly activated: ActivatedLinear

  constructor(private readonly c: OPTConfig) {
    super()
    const options = { bias: c.enable_bias, initialization: { kind: 'normal', std: c.init_std } } as const, affine = c.layer_norm_elementwise_affine
    this.self_attn = new Attention(c)
    this.self_attn_layer_norm = new LayerNorm(c.hidden_size, { affine })
    this.fc1 = new Linear(c.hidden_size, c.ffn_dim, options)
    this.fc2 = new Linear(c.ffn_dim, c.hidden_size, { ...options, ...intoStream })
    this.final_layer_norm = new LayerNorm(c.hidden_size, { affine })
    this.activated = activatedLinear('OPT', 'activation_function', c.activation_function)
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const p = this.training ? this.c.dropout : 0
      if (!this.c.do_layer_norm_before) {
        const { y } = this.self_attn_layer_norm.add(x, decoderAttention((z, kept) => this.self_attn.forward(z, kept), x, context), p)
        return this.final_layer_norm.add(y, this.feedForward(y), p).y
      }
      const { y, sum } = this.final_layer_norm.add(x, decoderAttention((z, kept) => this.self_attn.forward(this.self_attn_layer_norm.forward(z), kept), x, context), p)
      return add(sum, new Dropout(p).forward(this.feedForward(y)))
    })
  }

  private feedForward(x: Tensor): Tensor { return this.fc2.forward(this.activated(this.fc1, x)) }
}

/** Learned positions, two rows further down: the row of position 0 is the third, and padding has the second. */
class Positions extends Module {
  readonly weight: Parameter

  constructor(private readonly length: number, width: number, std: number) {
    super()
    this.weight = new Parameter([length + 2, width], { kind: 'normal', std })
  }

  /** Adds them to the last columns of a sequence, x `[B, T, C]`. */
  forward(x: Tensor, { start, end, keyPadding }: DecoderStep): Tensor {
    if (!keyPadding) {
      if (end > this.length) throw new ShapeError(`OPT: the sequence has ${end} tokens, the model was built for at most ${this.length}. Cut the text, or build the model with more positions`)
      return add(x, cast(slice(this.weight, 0, start as number + 2, end + 2), x.dtype))
    }
    const rows = noGrad(() => slice(cast(add(add(tokenPositions(keyPadding), cast(keyPadding, 'float32')), 1), 'int32'), 1, end - x.shape[1]!, end))
    return add(x, embedding(rows, this.weight, { dtype: x.dtype }))
  }
}

/** What lies under `decoder` in files. */
class Layers extends Module {
  readonly embed_tokens: Embedding
  readonly embed_positions: Positions
  readonly project_in: Linear | undefined
  readonly project_out: Linear | undefined
  readonly layers: Layer[]
  readonly final_layer_norm: LayerNorm | undefined

  constructor(c: OPTConfig & PretrainedConfig) {
    super()
    const initialization = { kind: 'normal', std: c.init_std } as const, E = c.word_embed_proj_dim, C = c.hidden_size
    this.embed_tokens = new Embedding(c.vocab_size, E, { initialization, ...paddingOf(c) })
    this.embed_positions = new Positions(c.max_position_embeddings, C, c.init_std)
    this.project_in = E === C ? undefined : new Linear(E, C, { bias: false, initialization, ...intoStream })
    this.project_out = E === C ? undefined : new Linear(C, E, { bias: false, initialization })
    this.layers = Array.from({ length: c.num_hidden_layers }, () => new Layer(c))
    this.final_layer_norm = c.do_layer_norm_before && !c._remove_final_layer_norm ? new LayerNorm(C, { affine: c.layer_norm_elementwise_affine }) : undefined
  }
}

/** The layers of OPT. */
export class OPTModel extends Decoder {
  readonly config: OPTConfig & PretrainedConfig
  readonly decoder: Layers

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<OPTConfig> & PretrainedConfig = {}) {
    super()
    this.config = complete(config)
    this.decoder = new Layers(this.config)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.word_embed_proj_dim }
  get layerCount(): number { return this.config.num_hidden_layers }
  get maxPositions(): number { return this.config.max_position_embeddings }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { embed_tokens, embed_positions, project_in, project_out, final_layer_norm, layers } = this.decoder, { keyPadding } = step
    const dropped = this.training && !step.caches ? this.config.layerdrop : 0
    const tokens = embed_tokens.forward(ids)
    const x = this.through(layers.filter(() => !isLeftOut(dropped)), embed_positions.forward(project_in?.forward(tokens) ?? tokens, step), step,
      (layer, y, cache) => layer.forward(y, { keyPadding, cache }))
    const y = final_layer_norm?.forward(x) ?? x
    return project_out?.forward(y) ?? y
  }
}

/**
 * OPT (Zhang et al. 2022, https://arxiv.org/abs/2205.01068): GPT-3 rebuilt in the open, with learned positions and ReLU; layers normalise what they take
 * (OPT-350m: what they give).
 */
export class OPT extends CausalLanguageModel {
  readonly config: OPTConfig & PretrainedConfig
  readonly model: OPTModel
  readonly lm_head: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<OPTConfig> & PretrainedConfig = {}) {
    super()
    this.model = new OPTModel(config)
    const c = this.config = this.model.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.word_embed_proj_dim, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.init_std } })
  }

  get decoder(): OPTModel { return this.model }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.model.decoder.embed_tokens.weight } }
}

const configuration = ({ config }: OPT | OPTModel): PretrainedConfig => config

const layers = pretrainedClass({ architecture: 'OPTModel', modelType: 'opt', task: 'base', prefix: 'model', Model: OPTModel, config: configuration })

export const optClasses: readonly PretrainedClass[] = [
  pretrainedClass({
    architecture: 'OPTForCausalLM', modelType: 'opt', task: 'causal-lm', prefix: 'model', Model: OPT, config: configuration,
    tied: model => model.lm_head ? {} : { 'lm_head.weight': 'model.decoder.embed_tokens.weight' },
  }),
  layers, ...headClasses(layers, { tokens: false }),
]
