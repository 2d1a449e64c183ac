import { ConfigError } from '../errors.js'
import { type Embedding, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { reshape } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { type BartConfig, bartConfiguration, type BartType, completedBart } from './bartConfiguration.js'
import { BartDecoder, BartEncoder, tokenEmbedding } from './bartLayers.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import type { PretrainedConfig } from './configuration.js'
import { EncoderDecoder, type ReadingOptions, Seq2SeqLanguageModel, shiftedAround } from './encoderDecoder.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass, type Task } from './pretrained.js'
import { ClassificationHead, SourceClassifier, SourceQuestionAnswering } from './sourceClassifier.js'

// BART (Lewis et al. 2019, https://arxiv.org/abs/1910.13461): the paper's encoder-decoder with learned positions, a norm behind the embeddings and GELU, trained to undo
// noise. mBART, Marian and Pegasus are the same modules with another `model_type`; their files say in what they differ.

type Given = Partial<BartConfig> & PretrainedConfig
const completed = (config: Given): BartConfig => completedBart((config['model_type'] ?? 'bart') as BartType, config)

/** Encoder and decoder without a head. */
export class BartModel extends EncoderDecoder {
  readonly config: BartConfig
  /** One table for both sides; where `tie_word_embeddings` is false files have it, but each side has its own. */
  readonly shared: Embedding | undefined
  readonly encoder: BartEncoder
  readonly decoder: BartDecoder

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    const c = this.config = completed(config)
    this.shared = c.share_encoder_decoder_embeddings ? tokenEmbedding(c, c.vocab_size) : undefined
    const weight = c.tie_word_embeddings ? this.shared?.weight : undefined
    this.encoder = new BartEncoder(c, weight)
    this.decoder = new BartDecoder(c, weight)
  }

  /** mBART begins a target with the token that ends it, its language. */
  override shiftRight(labels: Tensor): Tensor { return this.config.model_type === 'mbart' ? shiftedAround(labels, this.paddingId()) : super.shiftRight(labels) }

  get vocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.config.max_position_embeddings }

  /** Hidden states of the decoder, `[B, T, C]`, for a text `[B, S]`. */
  forward(ids: Tensor, options: ReadingOptions = {}): Tensor { return scope(() => this.read(ids, options)) }
}

/** Logits over the target's vocabulary: summaries, translations, texts without their noise. */
export class BartForConditionalGeneration extends Seq2SeqLanguageModel {
  readonly config: BartConfig
  readonly model: BartModel
  /** `[1, V]`, not trained. */
  readonly final_logits_bias: Parameter
  readonly lm_head: Linear

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    this.model = new BartModel(config)
    const c = this.config = this.model.config
    this.final_logits_bias = new Parameter([1, c.decoder_vocab_size], { kind: 'zeros' })
    this.final_logits_bias.requiresGrad = false
    this.final_logits_bias.optional = true
    this.lm_head = outputLayer(c, (this.model.shared ?? this.decoder.embed_tokens).weight)
  }

  get encoder(): BartEncoder { return this.model.encoder }
  get decoder(): BartDecoder { return this.model.decoder }
  get vocabSize(): number { return this.config.decoder_vocab_size }
  get sourceVocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.config.max_position_embeddings }
  override shiftRight(labels: Tensor): Tensor { return this.model.shiftRight(labels) }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.lm_head.weight, bias: reshape(this.final_logits_bias, [this.vocabSize]) } }
}

/** An output layer over the decoder's vocabulary, with the embedding's weight where that is tied. */
const outputLayer = (c: BartConfig, embedding: Parameter): Linear => new Linear(c.d_model, c.decoder_vocab_size,
  { bias: false, weight: c.tie_word_embeddings ? embedding : undefined, initialization: { kind: 'normal', std: c.init_std } })

/** Classes of texts, from the decoder's state at the last end token. */
export class BartForSequenceClassification extends SourceClassifier {
  readonly config: BartConfig
  readonly model: BartModel
  readonly classification_head: ClassificationHead

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    this.model = new BartModel(config)
    const c = this.config = this.model.config
    this.classification_head = new ClassificationHead(c.d_model, c.num_labels, c.classifier_dropout, { kind: 'normal', std: c.init_std })
  }

  get encoder(): BartEncoder { return this.model.encoder }
  get decoder(): BartDecoder { return this.model.decoder }
  get vocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.config.max_position_embeddings }
  override shiftRight(labels: Tensor): Tensor { return this.model.shiftRight(labels) }
}

/** Where the answer to a question lies in the text behind it. */
export class BartForQuestionAnswering extends SourceQuestionAnswering {
  readonly config: BartConfig
  readonly model: BartModel
  readonly qa_outputs: Linear

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    // The model has two outputs whatever labels other heads have.
    this.model = new BartModel({ ...config, id2label: null, label2id: null, num_labels: 2 })
    const c = this.config = this.model.config
    this.qa_outputs = new Linear(c.d_model, 2, { initialization: { kind: 'normal', std: c.init_std } })
  }

  get encoder(): BartEncoder { return this.model.encoder }
  get decoder(): BartDecoder { return this.model.decoder }
  get vocabSize(): number { return this.config.vocab_size }
  get maxPositions(): number { return this.config.max_position_embeddings }
  override shiftRight(labels: Tensor): Tensor { return this.model.shiftRight(labels) }
}

class DecoderAlone extends Module {
  constructor(readonly decoder: BartDecoder) { super() }
}

/** The decoder alone as a language model. Its layers keep the weights of attention to an encoder, which is not there. */
export class BartForCausalLM extends CausalLanguageModel {
  readonly config: BartConfig
  readonly model: DecoderAlone
  readonly lm_head: Linear

  /** @throws ConfigError for what is not supported or does not fit */
  constructor(config: Given = {}) {
    super()
    const c = this.config = completed(config)
    this.model = new DecoderAlone(new BartDecoder(c))
    this.lm_head = outputLayer(c, this.decoder.embed_tokens.weight)
  }

  get decoder(): BartDecoder { return this.model.decoder }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.lm_head.weight } }
}

const requireEncoder = (type: BartType, config: PretrainedConfig): PretrainedConfig => {
  if (config['is_encoder_decoder'] === false) throw new ConfigError(`${type}: is_encoder_decoder is false, which is for the causal model alone`)
  return config
}

type BartClass = new (config: Given) => BartModel | BartForConditionalGeneration | BartForSequenceClassification | BartForQuestionAnswering | BartForCausalLM

/** The classes of a family of BART's kind. @param ignored tensors that files of the causal model have from the encoder's side */
export function bartFamily(modelType: BartType, classes: readonly [architecture: string, task: Task, Model: BartClass][]): PretrainedClass[] {
  return classes.map(([architecture, task, Model]) => {
    const alone = task === 'causal-lm', sides = { is_decoder: alone, is_encoder_decoder: !alone }
    const known = pretrainedClass({
      architecture, modelType, task, prefix: 'model', Model, config: model => ({ ...bartConfiguration(model), ...sides }),
      ignored: alone ? /(^|\.)(encoder|shared)\.|(^|\.)version$|^final_logits_bias$/ : /(^|\.)version$/,
    })
    return { ...known, create: config => known.create(alone ? config : requireEncoder(modelType, config)) }
  })
}

export const bartClasses: readonly PretrainedClass[] = bartFamily('bart', [
  ['BartForConditionalGeneration', 'seq2seq-lm', BartForConditionalGeneration], ['BartForSequenceClassification', 'sequence-classification', BartForSequenceClassification],
  ['BartForQuestionAnswering', 'question-answering', BartForQuestionAnswering], ['BartForCausalLM', 'causal-lm', BartForCausalLM], ['BartModel', 'base', BartModel],
])
