import { Dropout, Embedding, LayerNorm, type Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { LearnedPositions } from '../nn/positions.js'
import { intoStream } from '../nn/precision.js'
import { attentionSublayer } from '../nn/recompute.js'
import { selfAttention, type SelfAttentionOptions } from '../nn/selfAttention.js'
import { add } from '../ops/add.js'
import { tanh } from '../ops/unary.js'
import { select, slice } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { activatedLinear, type ActivatedLinear } from './activations.js'
import type { PretrainedConfig } from './configuration.js'
import { attentionMaskOf, checkHeads, dense, Encoder, type EncoderConfig, encoderDefaults, type EncoderStep, paddingIndexOf, precisely } from './encoder.js'

// The layers of BERT, which RoBERTa and ELECTRA have as well, names included.

/** Configuration under the names of `config.json`. */
export interface BertConfig extends EncoderConfig {
  hidden_size: number
  num_hidden_layers: number
  num_attention_heads: number
  intermediate_size: number
  hidden_act: string
  hidden_dropout_prob: number
  attention_probs_dropout_prob: number
  type_vocab_size: number
  layer_norm_eps: number
  /** In front of a classifier; default `hidden_dropout_prob`. */
  classifier_dropout: number | null
  /** A position sees no later one. */
  is_decoder: boolean
}

export const bertDefaults = {
  ...encoderDefaults, vocab_size: 30522, hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, intermediate_size: 3072, hidden_act: 'gelu',
  hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1, max_position_embeddings: 512, type_vocab_size: 2, layer_norm_eps: 1e-12, pad_token_id: 0,
  classifier_dropout: null, is_decoder: false,
}
export const bertSizes = ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'type_vocab_size']

/** Sum of the vectors of a token, its position and its text, normalised. */
export class BertEmbeddings extends Module {
  readonly word_embeddings: Embedding
  readonly position_embeddings: LearnedPositions
  readonly token_type_embeddings: Embedding
  readonly LayerNorm: LayerNorm
  private readonly dropout: Dropout

  /** @param width of the vectors @param positionPadding position that is not trained */
  constructor(c: Pick<BertConfig, keyof EncoderConfig | 'type_vocab_size' | 'layer_norm_eps' | 'hidden_dropout_prob'>, width: number, positionPadding?: number) {
    super()
    const initialization = { kind: 'normal', std: c.initializer_range } as const, paddingIndex = paddingIndexOf(c)
    this.word_embeddings = new Embedding(c.vocab_size, width, { initialization, ...(paddingIndex === undefined ? {} : { paddingIndex }) })
    this.position_embeddings = new LearnedPositions(c.max_position_embeddings, width, c.initializer_range, positionPadding)
    this.token_type_embeddings = new Embedding(c.type_vocab_size, width, { initialization })
    this.LayerNorm = new LayerNorm(width, { eps: c.layer_norm_eps })
    this.dropout = new Dropout(c.hidden_dropout_prob)
  }

  /** @param positions that of the first column, or those of all, `[B, T]` */
  forward(ids: Tensor, positions: number | Tensor, tokenTypeIds?: Tensor): Tensor {
    const x = this.position_embeddings.forward(this.word_embeddings.forward(ids), positions)
    const types = tokenTypeIds ? this.token_type_embeddings.forward(tokenTypeIds) : slice(this.token_type_embeddings.weight, 0, 0, 1)
    return this.dropout.forward(this.LayerNorm.forward(add(x, types)))
  }
}

/** norm(x + dropout(W y + b)) */
class AddedLinear extends Module {
  readonly dense: Linear
  readonly LayerNorm: LayerNorm

  constructor(private readonly c: BertConfig, from: number) {
    super()
    this.dense = dense(c, from, c.hidden_size, intoStream)
    this.LayerNorm = new LayerNorm(c.hidden_size, { eps: c.layer_norm_eps })
  }

  forward(x: Tensor, y: Tensor): Tensor { return this.LayerNorm.add(x, this.dense.forward(y), this.training ? this.c.hidden_dropout_prob : 0).y }
}

class SelfAttention extends Module {
  readonly query: Linear
  readonly key: Linear
  readonly value: Linear

  constructor(private readonly c: BertConfig) {
    super()
    this.query = dense(c, c.hidden_size, c.hidden_size)
    this.key = dense(c, c.hidden_size, c.hidden_size)
    this.value = dense(c, c.hidden_size, c.hidden_size)
  }

  forward(x: Tensor, options: SelfAttentionOptions): Tensor {
    const dropout = this.training ? this.c.attention_probs_dropout_prob : 0
    return selfAttention(x, [this.query, this.key, this.value], this.c.num_attention_heads, { ...options, dropout })
  }
}

class Attention extends Module {
  readonly self: SelfAttention
  readonly output: AddedLinear

  constructor(c: BertConfig) {
    super()
    this.self = new SelfAttention(c)
    this.output = new AddedLinear(c, c.hidden_size)
  }

  forward(x: Tensor, options: SelfAttentionOptions): Tensor { return this.output.forward(x, this.self.forward(x, options)) }
}

class Intermediate extends Module {
  readonly dense: Linear
  private readonly activated: ActivatedLinear

  constructor(c: BertConfig) {
    super()
    this.dense = dense(c, c.hidden_size, c.intermediate_size)
    this.activated = activatedLinear(c.model_type, 'hidden_act', c.hidden_act)
  }

  forward(x: Tensor): Tensor { return this.activated(this.dense, x) }
}

class Layer extends Module {
  readonly attention: Attention
  readonly intermediate: Intermediate
  readonly output: AddedLinear

  constructor(c: BertConfig) {
    super()
    this.attention = new Attention(c)
    this.intermediate = new Intermediate(c)
    this.output = new AddedLinear(c, c.intermediate_size)
  }

  forward(x: Tensor /* B T C */, options: SelfAttentionOptions): Tensor {
    return scope(() => {
      const y = attentionSublayer(z => this.attention.forward(z!, options), x)
      return this.output.forward(y, this.intermediate.forward(y))
    })
  }
}

class Layers extends Module {
  readonly layer: Layer[]

  constructor(c: BertConfig) {
    super()
    this.layer = Array.from({ length: c.num_hidden_layers }, () => new Layer(c))
  }
}

/** tanh(W x + b) of the first token: what stands for the whole text. */
class Pooler extends Module {
  readonly dense: Linear

  constructor(c: BertConfig) {
    super()
    this.dense = dense(c, c.hidden_size, c.hidden_size)
  }

  forward(x: Tensor): Tensor { return precisely(() => tanh(this.dense.forward(select(x, 1, 0)))) }
}

/** Post-norm layers under BERT's names. */
export abstract class BertEncoder extends Encoder {
  readonly embeddings: BertEmbeddings
  readonly encoder: Layers
  readonly pooler: Pooler | undefined

  constructor(readonly config: BertConfig & PretrainedConfig, { pooler, width = config.hidden_size, positionPadding }: { pooler: boolean, width?: number, positionPadding?: number }) {
    super()
    checkHeads(config.model_type, 'hidden_size', config.hidden_size, config.num_attention_heads)
    this.embeddings = new BertEmbeddings(config, width, positionPadding)
    this.encoder = new Layers(config)
    this.pooler = pooler ? new Pooler(config) : undefined
  }

  get vocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.config.max_position_embeddings }
  get layerCount(): number { return this.config.num_hidden_layers }
  get width(): number { return this.config.hidden_size }

  /** Of hidden states `[B, T, C]`: `[B, C]`. */
  pool(x: Tensor): Tensor { return this.pooler!.forward(x) }

  protected hidden(ids: Tensor, step: EncoderStep): Tensor {
    const mask = attentionMaskOf(step, this.config.is_decoder)
    return this.through(this.encoder.layer, this.embed(ids, step), step, (layer, x, cache) => layer.forward(x, { ...mask, cache }))
  }

  protected embed(ids: Tensor, step: EncoderStep): Tensor { return this.embeddings.forward(ids, step.start, step.tokenTypeIds) }
}
