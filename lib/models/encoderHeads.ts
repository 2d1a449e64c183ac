import { ConfigError } from '../errors.js'
import { Dropout, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { linear } from '../ops/linear.js'
import type { Tensor } from '../tensor/tensor.js'
import { dense, type Encoder, type EncoderConfig, type EncoderInputs, precisely } from './encoder.js'
import { EncoderClassifier, ExtractiveAnswering, MultipleChoice, SequenceClassifier } from './encoderModel.js'

// Heads that several families have, under the same names.

/** Layers with a vector for the whole text. */
export interface Pooling {
  /** Of hidden states `[B, T, C]`: `[B, C]`. */
  pool(x: Tensor): Tensor
}

/** Classes of whole texts from their vector. */
export abstract class PooledSequenceClassifier<E extends Encoder & Pooling> extends SequenceClassifier<E> {
  readonly classifier: Linear
  private readonly dropout: Dropout

  constructor(prefix: string, layers: E, dropout: (config: E['config']) => number) {
    super(prefix, layers)
    this.dropout = new Dropout(dropout(layers.config))
    this.classifier = dense(layers.config, layers.width, layers.config.num_labels)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor {
    return classes(this.classifier, this.dropout.forward(this.encoder.pool(this.encoder.forward(ids, inputs))))
  }
}

/** Scores of choices from the vectors of their texts. */
export abstract class PooledMultipleChoice<E extends Encoder & Pooling> extends MultipleChoice<E> {
  readonly classifier: Linear
  private readonly dropout: Dropout

  constructor(prefix: string, layers: E, dropout: (config: E['config']) => number) {
    super(prefix, layers)
    this.dropout = new Dropout(dropout(layers.config))
    this.classifier = dense(layers.config, layers.width, 1)
  }

  protected scores(ids: Tensor, inputs: EncoderInputs): Tensor {
    return classes(this.classifier, this.dropout.forward(this.encoder.pool(this.encoder.forward(ids, inputs))))
  }
}

/** Logits `[B, T, L]` of tokens. */
export abstract class TokenClassifier<E extends Encoder> extends EncoderClassifier<E> {
  readonly classifier: Linear
  private readonly dropout: Dropout

  constructor(prefix: string, layers: E, dropout: (config: E['config']) => number) {
    super(prefix, layers)
    this.dropout = new Dropout(dropout(layers.config))
    this.classifier = dense(layers.config, layers.width, layers.config.num_labels)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return classes(this.classifier, this.dropout.forward(this.encoder.forward(ids, inputs))) }
}

/** The first and the last token of an answer. */
export abstract class QuestionAnswering<E extends Encoder> extends ExtractiveAnswering<E> {
  readonly qa_outputs: Linear
  private readonly dropout: Dropout

  /** @throws ConfigError if there are not two labels */
  constructor(prefix: string, layers: E, dropout: (config: E['config']) => number = () => 0) {
    super(prefix, layers)
    const { model_type, num_labels } = layers.config
    if (num_labels !== 2) throw new ConfigError(`${model_type}: num_labels is ${num_labels}, expected 2 for question answering: the beginning of the answer and its end`)
    this.dropout = new Dropout(dropout(layers.config))
    this.qa_outputs = dense(layers.config, layers.width, 2)
  }

  protected logits(ids: Tensor, inputs: EncoderInputs): Tensor { return classes(this.qa_outputs, this.dropout.forward(this.encoder.forward(ids, inputs))) }
}

/** Logits of a few classes. */
export const classes = (layer: Linear, x: Tensor): Tensor => precisely(() => layer.forward(x))

/** Logits of tokens: the family's transformation of a hidden state, then the output layer, whose weight may be the embedding's. */
export abstract class TokenPredictions extends Module {
  /** Of a tied output; beside a layer of its own it is in files without being used. */
  readonly bias: Parameter
  readonly decoder: Linear | undefined

  constructor(c: EncoderConfig, width: number) {
    super()
    this.bias = new Parameter([c.vocab_size], { kind: 'zeros' })
    this.decoder = c.tie_word_embeddings ? undefined : dense(c, width, c.vocab_size)
  }

  protected abstract transformed(x: Tensor): Tensor

  /** @param x `[…, C]` @param embedding of the tokens, the weight if there is none of its own */
  forward(x: Tensor, embedding: Tensor): Tensor {
    const y = this.transformed(x)
    return this.decoder ? this.decoder.forward(y) : linear(y, embedding, this.bias)
  }
}

/** The output layer of a language model whose bias is its own, and whose weight may be the embedding's. */
export class VocabularyOutput extends Module {
  readonly weight: Parameter | undefined
  readonly bias: Parameter

  constructor({ vocab_size, initializer_range: std, tie_word_embeddings: tied }: EncoderConfig, width: number) {
    super()
    this.weight = tied ? undefined : new Parameter([vocab_size, width], { kind: 'normal', std })
    this.bias = new Parameter([vocab_size], { kind: 'zeros' })
  }

  /** @param x `[…, C]` @param embedding of the tokens, the weight if there is none of its own */
  forward(x: Tensor, embedding: Tensor): Tensor { return linear(x, this.weight ?? embedding, this.bias) }
}

/** Names that files may have for a tied output layer, by those of the model. */
export const tiedPredictions = (predictions: string, embedding: string): ((model: { readonly config: EncoderConfig }) => Record<string, string>) =>
  ({ config }) => config.tie_word_embeddings ? { [`${predictions}.decoder.weight`]: embedding, [`${predictions}.decoder.bias`]: `${predictions}.bias` } : {}

/** Today's names of norms in files of the first BERT. */
export const renamedNorms = (name: string): string => name.replace(/LayerNorm\.gamma$/, 'LayerNorm.weight').replace(/LayerNorm\.beta$/, 'LayerNorm.bias')
