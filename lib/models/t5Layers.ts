import type { DecoderLayerCache } from '../nn/encoderDecoderState.js'
import { gated } from '../nn/gatedFeedForward.js'
import { Dropout, Embedding, Linear, RMSNorm } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import type { AttentionMask } from '../nn/multiHeadAttention.js'
import type { Parameter } from '../nn/parameter.js'
import { intoStream, rounded } from '../nn/precision.js'
import { ProjectedAttention } from '../nn/projectedAttention.js'
import { attentionSublayer, type Checkpointing, throughLayer } from '../nn/recompute.js'
import { residual } from '../nn/residual.js'
import { relativeBuckets } from '../nn/relativePositions.js'
import { contiguous } from '../ops/copy.js'
import { embedding } from '../ops/embedding.js'
import { permute } from '../ops/view.js'
import { tensor } from '../tensor/create.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { activatedLinear, gateOf } from './activations.js'
import type { SourceEncoder, TargetContext, TargetDecoder } from './encoderDecoder.js'
import type { T5Config } from './t5.js'

// The layers of T5: pre-norm by root mean squares, no biases, scores that are not scaled but biased by the distance of query and key.

/** Standard deviations of the first weights are those of Mesh TensorFlow, which take the missing scale of the scores into account. */
const product = (c: T5Config, from: number, to: number, std: number, options: { resultDtype?: 'float32' } = {}): Linear =>
  new Linear(from, to, { bias: false, initialization: { kind: 'normal', std: c.initializer_factor * std }, ...options })

class T5Attention extends ProjectedAttention {
  readonly q: Linear
  readonly k: Linear
  readonly v: Linear
  readonly o: Linear
  /** `[buckets, H]`, in the first layer of a stack alone, which all of them use. */
  readonly relative_attention_bias: Embedding | undefined

  constructor(c: T5Config, withBias: boolean) {
    super({ heads: c.num_heads, scale: 1, dropout: c.dropout_rate })
    const inner = c.num_heads * c.d_kv
    this.q = product(c, c.d_model, inner, (c.d_model * c.d_kv) ** -0.5)
    this.k = product(c, c.d_model, inner, c.d_model ** -0.5)
    this.v = product(c, c.d_model, inner, c.d_model ** -0.5)
    this.o = product(c, inner, c.d_model, inner ** -0.5, intoStream)
    this.relative_attention_bias = withBias
      ? new Embedding(c.relative_attention_num_buckets, c.num_heads, { initialization: { kind: 'normal', std: c.initializer_factor * c.d_model ** -0.5 } }) : undefined
  }

  protected get products() { return { query: this.q, key: this.k, value: this.v, output: this.o } }
}

/** W activation(x W), or W(activation(x W0) · x W1) as in T5 1.1. */
class DenseReluDense extends Module {
  readonly wi: Linear | undefined
  readonly wi_0: Linear | undefined
  readonly wi_1: Linear | undefined
  readonly wo: Linear
  private readonly dropout: Dropout

  constructor(private readonly c: T5Config) {
    super()
    const into = () => product(c, c.d_model, c.d_ff, c.d_model ** -0.5)
    this.wi = c.is_gated_act ? undefined : into()
    this.wi_0 = c.is_gated_act ? into() : undefined
    this.wi_1 = c.is_gated_act ? into() : undefined
    this.wo = product(c, c.d_ff, c.d_model, c.d_ff ** -0.5, intoStream)
    this.dropout = new Dropout(c.dropout_rate)
  }

  forward(x: Tensor): Tensor {
    return this.wo.forward(this.dropout.forward(this.inner(x)))
  }

  private inner(x: Tensor): Tensor {
    const { model_type, dense_act_fn: name } = this.c, of = [model_type, 'feed_forward_proj', name] as const
    if (this.wi) return activatedLinear(...of)(this.wi, x)
    const input = rounded(x), gate = this.wi_0!.forward(input), up = this.wi_1!.forward(input)
    return gated(gate, up, gateOf(...of))
  }
}

class SelfAttentionLayer extends Module {
  readonly SelfAttention: T5Attention
  readonly layer_norm: RMSNorm

  constructor(c: T5Config, withBias: boolean) {
    super()
    this.SelfAttention = new T5Attention(c, withBias)
    this.layer_norm = new RMSNorm(c.d_model, { eps: c.layer_norm_epsilon })
  }
}

class CrossAttentionLayer extends Module {
  readonly EncDecAttention: T5Attention
  readonly layer_norm: RMSNorm

  constructor(c: T5Config) {
    super()
    this.EncDecAttention = new T5Attention(c, false)
    this.layer_norm = new RMSNorm(c.d_model, { eps: c.layer_norm_epsilon })
  }
}

class FeedForwardLayer extends Module {
  readonly DenseReluDense: DenseReluDense
  readonly layer_norm: RMSNorm

  constructor(c: T5Config) {
    super()
    this.DenseReluDense = new DenseReluDense(c)
    this.layer_norm = new RMSNorm(c.d_model, { eps: c.layer_norm_epsilon })
  }
}

/** The sublayers of an encoder or, with attention to the encoder's output, of a decoder. */
class T5Block extends Module {
  readonly layer: readonly (SelfAttentionLayer | CrossAttentionLayer | FeedForwardLayer)[]

  constructor(private readonly c: T5Config, decodes: boolean, first: boolean) {
    super()
    this.layer = [new SelfAttentionLayer(c, first), ...(decodes ? [new CrossAttentionLayer(c)] : []), new FeedForwardLayer(c)]
  }

  get selfAttention(): T5Attention { return (this.layer[0] as SelfAttentionLayer).SelfAttention }
  get crossAttention(): T5Attention { return (this.layer[1] as CrossAttentionLayer).EncDecAttention }

  forward(x: Tensor /* B T C */, mask: AttentionMask, memory?: Tensor, memoryKeyPadding?: Tensor, cache?: Partial<DecoderLayerCache>): Tensor {
    const padding = memoryKeyPadding ? { keyPadding: memoryKeyPadding } : {}
    return scope(() => residual(x, this.layer.map(({ layer_norm }) => layer_norm), this.layer.map(layer => y => {
      if (layer instanceof SelfAttentionLayer) return attentionSublayer((z, bias) => layer.SelfAttention.forward(z!, { ...mask, ...(bias ? { bias } : {}) }, cache?.self), y, ...(mask.bias ? [mask.bias] : []))
      if (layer instanceof FeedForwardLayer) return layer.DenseReluDense.forward(y)
      return attentionSublayer((z, m) => layer.EncDecAttention.cross(z!, cache?.memory?.all() ?? layer.EncDecAttention.project(m!), padding), y, ...(memory ? [memory] : []))
    }), { normFirst: true, dropout: this.training ? this.c.dropout_rate : 0 }))
  }
}

abstract class T5Stack extends Module {
  activationCheckpointing: Checkpointing = false
  readonly embed_tokens: Embedding
  readonly block: readonly T5Block[]
  readonly final_layer_norm: RMSNorm
  private readonly dropout: Dropout

  /** @param weight of the embedding that both sides share */
  constructor(private readonly c: T5Config, layers: number, private readonly decodes: boolean, weight: Parameter) {
    super()
    this.embed_tokens = new Embedding(c.vocab_size, c.d_model, { weight })
    this.block = Array.from({ length: layers }, (_, i) => new T5Block(c, decodes, i === 0))
    this.final_layer_norm = new RMSNorm(c.d_model, { eps: c.layer_norm_epsilon })
    this.dropout = new Dropout(c.dropout_rate)
  }

  /** Hidden states `[B, T, C]` of `ids` `[B, T]`; all layers have the bias of the first. */
  protected through(ids: Tensor, { start = 0, keyPadding, memory: states, memoryKeyPadding, layers: caches }: TargetContext): Tensor {
    return scope(() => {
      const memory = states && rounded(states)
      const bias = this.bias(start, ids.shape[1]!), mask = { causal: this.decodes, ...(keyPadding ? { keyPadding } : {}) }
      let x = this.dropout.forward(this.embed_tokens.forward(ids))
      for (const [i, block] of this.block.entries()) {
        x = throughLayer(caches ? 'none' : this.activationCheckpointing, (y, b, m) => block.forward(y!, { ...mask, bias: b! }, m, memoryKeyPadding, caches?.[i]),
          x, bias, ...(memory ? [memory] : []))
      }
      return this.dropout.forward(this.final_layer_norm.forward(x))
    })
  }

  /** Bias of the scores of queries from `start` on for all keys up to the last of them, `[H, T, start + T]` float32. */
  private bias(start: number, T: number): Tensor {
    const { relative_attention_num_buckets: count, relative_attention_max_distance: farthest } = this.c, S = start + T
    const buckets = relativeBuckets(start, T, { count, farthest, bothSides: !this.decodes })
    const table = this.block[0]!.selfAttention.relative_attention_bias!.weight
    return contiguous(permute(embedding(tensor(buckets, [T, S], { device: table.device }), table, { dtype: 'float32' }), [2, 0, 1]))
  }
}

export class T5Encoder extends T5Stack implements SourceEncoder {
  constructor(c: T5Config, weight: Parameter) { super(c, c.num_layers, false, weight) }

  forward(ids: Tensor /* B S */, keyPadding?: Tensor): Tensor { return this.through(ids, { keyPadding }) }
}

export class T5Decoder extends T5Stack implements TargetDecoder {
  constructor(c: T5Config, weight: Parameter) { super(c, c.num_decoder_layers, true, weight) }

  states(ids: Tensor /* B T */, context: TargetContext): Tensor { return this.through(ids, context) }
  memories(memory: Tensor): { keys: Tensor, values: Tensor }[] { return this.block.map(block => block.crossAttention.project(memory)) }
}
