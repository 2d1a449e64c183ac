import { ConfigError } from '../errors.js'
import type { DecodingInputs, DecodingState, GenerativeModel } from '../nn/decoding.js'
import { EncoderDecoderState } from '../nn/encoderDecoderState.js'
import { Dropout, Embedding, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { LearnedPositions, SinusoidalPositions } from '../nn/positions.js'
import type { Checkpointing } from '../nn/recompute.js'
import { TransformerDecoder, TransformerEncoder, type TransformerLayerOptions } from '../nn/transformerLayers.js'
import { activations } from '../ops/codes.js'
import { cast } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { select } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { logitsOf, lossOfOutput, type OutputLayer } from './outputLayer.js'
import type { PretrainedClass } from './pretrained.js'

/** The encoder-decoder of "Attention Is All You Need" (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), and its usual variations. */
export interface TransformerConfig {
  vocabSize: number
  /** Width of the residual stream; default 512. */
  dModel: number
  heads: number
  encoderLayers: number
  decoderLayers: number
  /** Width between the two products of the feed-forward network; default 4 dModel. */
  feedForward: number
  /** On the embeddings and on every sublayer's output. */
  dropout: number
  /** On attention weights; default `dropout`. */
  attentionDropout: number
  /** Behind the activation of the feed-forward networks; default `dropout`. */
  activationDropout: number
  activation: TransformerLayerOptions['activation']
  /** Normalise before each sublayer instead of after it. */
  normFirst: boolean
  /** A norm behind the last layer of encoder and decoder, as torch.nn.Transformer has. */
  finalNorm: boolean
  positions: 'sinusoidal' | 'learned'
  /** Longest sequence; needed for learned positions, a bound for generation otherwise. */
  maxPositions: number
  /** The output layer uses the embedding's weights. */
  tied: boolean
  /** Source and target share one embedding. */
  sharedEmbeddings: boolean
  eps: number
  padId: number
  bosId: number
  eosId: number
}

const defaults: Omit<TransformerConfig, 'vocabSize'> = {
  dModel: 512, heads: 8, encoderLayers: 6, decoderLayers: 6, feedForward: 2048, dropout: 0.1, attentionDropout: 0.1, activationDropout: 0.1,
  activation: 'relu', normFirst: false, finalNorm: false, positions: 'sinusoidal', maxPositions: 1024, tied: true, sharedEmbeddings: true, eps: 1e-5, padId: 0, bosId: 1, eosId: 2,
}

/**
 * Options of `new Transformer`: `layers` stands for both stacks; `feedForward` follows `dModel`, `heads` is one for 64 columns (at least 4), and all dropout
 * follows `dropout`.
 */
export type TransformerOptions = Partial<TransformerConfig> & { vocabSize: number, layers?: number }

function complete({ layers, ...options }: TransformerOptions): TransformerConfig {
  const unknown = Object.keys(options).filter(key => !(key in defaults) && key !== 'vocabSize')
  if (unknown.length) throw new ConfigError(`Transformer: unknown option ${unknown.join(', ')}; known are vocabSize, layers, ${Object.keys(defaults).join(', ')}`)
  const { dModel = defaults.dModel, dropout = defaults.dropout } = options
  const c: TransformerConfig = {
    ...defaults, attentionDropout: dropout, activationDropout: dropout, feedForward: 4 * dModel, heads: Math.max(4, Math.round(dModel / 64)),
    ...(layers === undefined ? {} : { encoderLayers: layers, decoderLayers: layers }), ...options,
  }
  for (const key of ['vocabSize', 'dModel', 'heads', 'encoderLayers', 'decoderLayers', 'feedForward', 'maxPositions'] as const)
    if (!Number.isInteger(c[key]) || c[key] < 1) throw new ConfigError(`Transformer: ${key} is ${String(c[key])}, expected a positive integer`)
  if (c.dModel % c.heads !== 0) throw new ConfigError(`Transformer: dModel ${c.dModel} is not a multiple of the ${c.heads} heads`)
  for (const key of ['dropout', 'attentionDropout', 'activationDropout'] as const)
    if (!(c[key] >= 0 && c[key] < 1)) throw new ConfigError(`Transformer: ${key} is ${c[key]}, expected a number from 0 up to 1`)
  if (!(c.activation in activations)) throw new ConfigError(`Transformer: activation is '${String(c.activation)}', expected one of: ${Object.keys(activations).join(', ')}`)
  return c
}

class Stacks extends Module {
  readonly encoder: TransformerEncoder
  readonly decoder: TransformerDecoder

  constructor(c: TransformerConfig) {
    super()
    this.encoder = new TransformerEncoder(c.encoderLayers, c, { finalNorm: c.finalNorm })
    this.decoder = new TransformerDecoder(c.decoderLayers, c, { finalNorm: c.finalNorm })
  }
}

export class Transformer extends Module implements GenerativeModel {
  readonly isEncoderDecoder = true
  readonly config: TransformerConfig
  readonly embedding: Embedding
  readonly target_embedding: Embedding | undefined
  readonly positions: SinusoidalPositions | LearnedPositions
  readonly transformer: Stacks
  readonly generator: Linear | undefined
  readonly dropout: Dropout

  constructor(options: TransformerOptions) {
    super()
    const c = this.config = complete(options)
    // Scaled by sqrt(C) on the way in, so that values are of size 1 there and small where the output layer uses them.
    const table = () => new Embedding(c.vocabSize, c.dModel, { scale: Math.sqrt(c.dModel), initialization: { kind: 'normal', std: c.dModel ** -0.5 } })
    this.embedding = table()
    this.target_embedding = c.sharedEmbeddings ? undefined : table()
    this.positions = c.positions === 'sinusoidal' ? new SinusoidalPositions(c.dModel) : new LearnedPositions(c.maxPositions, c.dModel)
    this.transformer = new Stacks(c)
    // Xavier for every matrix of the stacks, as torch.nn.Transformer does.
    for (const p of this.transformer.parameters()) if (p.rank >= 2) p.initialize({ kind: 'xavierUniform' })
    this.generator = c.tied ? undefined : new Linear(c.dModel, c.vocabSize)
    this.dropout = new Dropout(c.dropout)
  }

  get vocabSize(): number { return this.config.vocabSize }
  get maxPositions(): number { return this.config.maxPositions }

  /** What of each layer is computed again in the backward pass instead of being kept. */
  set activationCheckpointing(on: Checkpointing) {
    this.transformer.encoder.checkpointing = on
    this.transformer.decoder.checkpointing = on
  }

  /** @param source ids `[B, S]` @param sourceMask 1 where there is a token, `[B, S]` @returns memory `[B, S, C]` */
  encode(source: Tensor, sourceMask?: Tensor): Tensor {
    const x = this.dropout.forward(this.positions.forward(this.embedding.forward(source)))
    return this.transformer.encoder.forward(x, sourceMask ? { keyPadding: sourceMask } : {})
  }

  /** Logits `[B, T, V]` for the token after each of `target` `[B, T]`. */
  forward(source: Tensor, target: Tensor, { sourceMask }: { sourceMask?: Tensor | undefined } = {}): Tensor {
    return this.project(this.states(source, target, sourceMask))
  }

  /**
   * Cross-entropy of `labels` `[B, T]` (-100 does not count) given `source` and the decoder's input.
   * @param reduction 'mean' over the labels that count, or 'sum'
   */
  loss({ source, sourceMask, decoderInput, labels }: { source: Tensor, sourceMask?: Tensor | undefined, decoderInput: Tensor, labels: Tensor },
    { labelSmoothing = 0, reduction = 'mean' }: { labelSmoothing?: number, reduction?: 'mean' | 'sum' } = {}): Tensor {
    return scope(() => {
      const x = this.states(source, decoderInput, sourceMask), options = { labelSmoothing, reduction }
      return lossOfOutput(x, labels, this.output, options) ?? crossEntropy(this.project(x), labels, options)
    })
  }

  prepare({ source, attentionMask, cache }: DecodingInputs): EncoderDecoderState {
    if (!source) throw new ConfigError('Transformer: generation needs source ids')
    return scope(() => {
      const memory = this.encode(source, attentionMask)
      return EncoderDecoderState.of(this.transformer.decoder.layers.map(layer => layer.multihead_attn.project(memory)), attentionMask, cache)
    })
  }

  decode(ids: Tensor, state: DecodingState): Tensor { return scope(() => cast(this.project(select(this.decoded(ids, state as EncoderDecoderState), 1, -1)), 'float32')) }

  decodeAll(ids: Tensor, state: DecodingState): Tensor { return scope(() => cast(this.project(this.decoded(ids, state as EncoderDecoderState)), 'float32')) }

  private decoded(ids: Tensor, state: EncoderDecoderState): Tensor {
    const { length, sourceMask, layers } = state
    state.length += ids.shape[1]!
    return this.transformer.decoder.forward(this.embedTarget(ids, length), undefined, sourceMask ? { memoryKeyPadding: sourceMask } : {}, layers)
  }

  private embedTarget(ids: Tensor, start: number): Tensor {
    return this.dropout.forward(this.positions.forward((this.target_embedding ?? this.embedding).forward(ids), start))
  }

  private states(source: Tensor, target: Tensor, sourceMask: Tensor | undefined): Tensor {
    const memory = this.encode(source, sourceMask)
    return this.transformer.decoder.forward(this.embedTarget(target, 0), memory, sourceMask ? { memoryKeyPadding: sourceMask } : {})
  }

  private get output(): OutputLayer { return { layer: this.generator, table: (this.target_embedding ?? this.embedding).weight } }
  private project(x: Tensor): Tensor { return logitsOf(x, this.output) }
}

export const transformerClasses: readonly PretrainedClass[] = [{
  architecture: 'Transformer', modelType: 'warpweft-transformer', task: 'seq2seq-lm', prefix: '',
  is: model => model instanceof Transformer,
  create: config => new Transformer(config as unknown as TransformerOptions),
  config: model => ({ ...(model as Transformer).config }),
  nameOf: name => name,
}]
