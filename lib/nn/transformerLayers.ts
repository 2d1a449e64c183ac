import { scope } from '../tensor/scope.js'
import type { Activation } from '../ops/codes.js'
import type { Tensor } from '../tensor/tensor.js'
import type { DecoderLayerCache } from './encoderDecoderState.js'
import { Dropout, LayerNorm, Linear } from './layers.js'
import { Module } from './module.js'
import { type AttentionMask, MultiHeadAttention } from './multiHeadAttention.js'
import { intoStream, rounded } from './precision.js'
import { attentionSublayer, type Checkpointing, throughLayer } from './recompute.js'
import { residual } from './residual.js'

/** What the layers of an encoder or decoder share; names as in torch.nn.TransformerEncoderLayer. */
export interface TransformerLayerOptions {
  /** Width C of the residual stream. */
  dModel: number
  heads: number
  /** Width F between the two products of the feed-forward network. */
  feedForward: number
  /** On every sublayer's output, and where the two below are not given. */
  dropout: number
  /** On attention weights. Default `dropout`. */
  attentionDropout?: number
  /** Behind the feed-forward network's activation. Default `dropout`. */
  activationDropout?: number
  activation: Activation
  /** Normalise before each sublayer (Xiong et al. 2020) instead of after it (the paper). */
  normFirst: boolean
  eps: number
}

/** Wx + b, activation, dropout, Wx + b (Vaswani et al. 2017, eq. 2). */
export class FeedForward extends Module {
  readonly linear1: Linear
  readonly linear2: Linear
  readonly dropout: Dropout

  constructor(readonly options: Pick<TransformerLayerOptions, 'dModel' | 'feedForward' | 'dropout' | 'activationDropout' | 'activation'>) {
    super()
    this.linear1 = new Linear(options.dModel, options.feedForward)
    this.linear2 = new Linear(options.feedForward, options.dModel, intoStream)
    this.dropout = new Dropout(options.activationDropout ?? options.dropout)
  }

  forward(x: Tensor): Tensor { return this.linear2.forward(this.dropout.forward(this.linear1.forward(x, this.options.activation))) }
}

abstract class ResidualLayer extends Module {
  constructor(readonly options: TransformerLayerOptions) { super() }

  protected residual(x: Tensor, norms: readonly LayerNorm[], sublayers: readonly ((x: Tensor) => Tensor)[]): Tensor {
    const { normFirst, dropout } = this.options
    return residual(x, norms, sublayers, { normFirst, dropout: this.training ? dropout : 0 })
  }
}

export class TransformerEncoderLayer extends ResidualLayer {
  readonly self_attn: MultiHeadAttention
  readonly linear1: Linear
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly dropout: Dropout

  constructor(options: TransformerLayerOptions) {
    super(options)
    const { dModel, heads, eps, attentionDropout: dropout = options.dropout } = options
    this.self_attn = new MultiHeadAttention(dModel, heads, { dropout })
    const ff = new FeedForward(options)
    this.linear1 = ff.linear1
    this.linear2 = ff.linear2
    this.dropout = ff.dropout
    this.norm1 = new LayerNorm(dModel, { eps })
    this.norm2 = new LayerNorm(dModel, { eps })
  }

  /** @param x `[B, S, C]` */
  forward(x: Tensor, mask: AttentionMask): Tensor {
    return scope(() => this.residual(x, [this.norm1, this.norm2], [
      y => attentionSublayer(z => this.self_attn.forward(z!, mask), y),
      y => this.linear2.forward(this.dropout.forward(this.linear1.forward(y, this.options.activation))),
    ]))
  }
}

export class TransformerDecoderLayer extends ResidualLayer {
  readonly self_attn: MultiHeadAttention
  readonly multihead_attn: MultiHeadAttention
  readonly linear1: Linear
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly norm3: LayerNorm
  readonly dropout: Dropout

  constructor(options: TransformerLayerOptions) {
    super(options)
    const { dModel, heads, eps, attentionDropout: dropout = options.dropout } = options
    this.self_attn = new MultiHeadAttention(dModel, heads, { dropout })
    this.multihead_attn = new MultiHeadAttention(dModel, heads, { dropout })
    const ff = new FeedForward(options)
    this.linear1 = ff.linear1
    this.linear2 = ff.linear2
    this.dropout = ff.dropout
    this.norm1 = new LayerNorm(dModel, { eps })
    this.norm2 = new LayerNorm(dModel, { eps })
    this.norm3 = new LayerNorm(dModel, { eps })
  }

  /**
   * @param x `[B, T, C]`
   * @param memory `[B, S, C]` of the encoder; not needed where the cache holds its keys and values
   */
  forward(x: Tensor, memory: Tensor | undefined, { memoryKeyPadding, ...mask }: AttentionMask & { memoryKeyPadding?: Tensor }, cache?: DecoderLayerCache): Tensor {
    const padding = memoryKeyPadding ? { keyPadding: memoryKeyPadding } : {}
    return scope(() => this.residual(x, [this.norm1, this.norm2, this.norm3], [
      y => attentionSublayer(z => this.self_attn.forward(z!, { ...mask, causal: true }, cache?.self), y),
      y => attentionSublayer((z, m) => this.multihead_attn.cross(z!, cache ? cache.memory.all() : this.multihead_attn.project(m!), padding), y, ...(memory ? [memory] : [])),
      y => this.linear2.forward(this.dropout.forward(this.linear1.forward(y, this.options.activation))),
    ]))
  }
}

/** A stack of layers with an optional final norm. */
export class TransformerEncoder extends Module {
  readonly layers: TransformerEncoderLayer[]
  readonly norm: LayerNorm | undefined
  /** What of each layer is computed again in the backward pass instead of being kept. */
  checkpointing: Checkpointing = false

  constructor(count: number, options: TransformerLayerOptions, { finalNorm = true } = {}) {
    super()
    this.layers = Array.from({ length: count }, () => new TransformerEncoderLayer(options))
    this.norm = finalNorm ? new LayerNorm(options.dModel, { eps: options.eps }) : undefined
  }

  forward(x: Tensor, mask: AttentionMask): Tensor {
    for (const layer of this.layers) x = throughLayer(this.checkpointing, y => layer.forward(y!, mask), x)
    return this.norm ? this.norm.forward(x) : x
  }
}

export class TransformerDecoder extends Module {
  readonly layers: TransformerDecoderLayer[]
  readonly norm: LayerNorm | undefined
  checkpointing: Checkpointing = false

  constructor(count: number, options: TransformerLayerOptions, { finalNorm = true } = {}) {
    super()
    this.layers = Array.from({ length: count }, () => new TransformerDecoderLayer(options))
    this.norm = finalNorm ? new LayerNorm(options.dModel, { eps: options.eps }) : undefined
  }

  forward(x: Tensor, memory: Tensor | undefined, mask: AttentionMask & { memoryKeyPadding?: Tensor }, caches?: readonly DecoderLayerCache[]): Tensor {
    const read = memory && rounded(memory)
    for (const [i, layer] of this.layers.entries()) {
      x = throughLayer(caches ? 'none' : this.checkpointing, (y, m) => layer.forward(y!, m, mask, caches?.[i]), x, ...(read ? [read] : []))
    }
    return this.norm ? this.norm.forward(x) : x
  }
}
