import { type DataReport, describeReport } from '../data/dataReport.js'
import { encodeDocuments } from '../data/encodeText.js'
import { type LanguageModelBatch, LanguageModelBatches, sequentialBatches } from '../data/languageModelBatches.js'
import { readText, readWholeText, type TextOptions } from '../data/plainText.js'
import { ConfigError, DataError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import { Tokenizer } from '../text/tokenizer.js'
import type { TokenizerKind } from '../text/trainTokenizer.js'
import { checkNames } from './checkNames.js'
import type { BatchSource, TrainingData, TrainingTask } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'

/** A model that predicts the next token, such as `GPT2`. */
export interface LanguageModel extends Module {
  readonly vocabSize: number
  readonly maxPositions: number
  loss(batch: { ids: Tensor, labels: Tensor }, options: { labelSmoothing: number, reduction: 'sum' }): Tensor
}

export interface LanguageModelDataOptions extends TextOptions {
  /** A tokenizer, or the path of one. Default: one is trained on the training text. */
  tokenizer?: Tokenizer | string
  /** Of the tokenizer that is trained. Default 'bytelevel'; 'char' for a model of characters. */
  tokenizerKind?: TokenizerKind
  /** Of the tokenizer that is trained. Default 8000. */
  vocabSize?: number
  /** File for validation. Default: the end of the training text. */
  validation?: string
  /** Part of the text to hold out at its end where `validation` is not given; 0: none. Default 0.1. */
  validationSplit?: number
  /** Rows of a batch. Default 16. */
  batchSize?: number
  /** Tokens of a row; at most the model's positions. Default 256. */
  blockSize?: number
}

const optionNames: Readonly<Record<keyof LanguageModelDataOptions, true>> = {
  tokenizer: true, tokenizerKind: true, vocabSize: true, validation: true, validationSplit: true, batchSize: true, blockSize: true, format: true, key: true,
  empty: true, tooLong: true, maxLineBytes: true, malformed: true,
}

type Ids = Uint16Array | Int32Array

/** Encoded text for `Trainer`. */
export class LanguageModelData implements TrainingData {
  /** @internal Made by `languageModelData`. */
  constructor(
    readonly tokenizer: Tokenizer, readonly train: Ids, readonly validation: Ids | undefined,
    readonly sizes: { batchSize: number, blockSize: number }, readonly report: DataReport,
  ) {}

  get vocabSize(): number { return this.tokenizer.vocabSize }

  /** For people: what was read, and how many tokens it is. */
  get summary(): string {
    const held = this.validation ? `${this.validation.length.toLocaleString('en')} for validation` : 'no validation'
    return `${describeReport(this.report)}; ${this.train.length.toLocaleString('en')} tokens, ${held}; vocabulary: ${this.vocabSize.toLocaleString('en')} tokens`
  }

  taskFor(model: Module, settings: TrainingSettings): TrainingTask<LanguageModelBatch> {
    const lm = model as LanguageModel & { isEncoderDecoder?: boolean }
    if (typeof lm.loss !== 'function' || lm.isEncoderDecoder)
      throw new ConfigError(`language modelling needs a model without encoder, such as GPT2; ${model.constructor.name} is none.`)
    if (lm.vocabSize < this.vocabSize) {
      throw new ConfigError(`the model has embeddings for ${lm.vocabSize} tokens, the tokenizer has ${this.vocabSize}. `
        + 'Build the model with vocab_size: data.vocabSize.')
    }
    if (lm.maxPositions < this.sizes.blockSize)
      throw new ConfigError(`blockSize is ${this.sizes.blockSize}, the model has ${lm.maxPositions} positions. Lower the one or raise the other.`)
    if (settings.predictWithGenerate) throw new ConfigError('Trainer: predictWithGenerate is for translation.')
    return {
      batches: new Blocks(this.train, { ...this.sizes, seed: settings.seed }),
      loss: ({ input, labels, sentences: B, length: T }, { labelSmoothing }) =>
        lm.loss({ ids: tensor(input, [B, T]), labels: tensor(labels, [B, T]) }, { labelSmoothing, reduction: 'sum' }),
      tokens: batch => batch.tokens,
      tokenizer: this.tokenizer,
      ...(this.validation ? { evaluationBatches: sequentialBatches(this.validation, this.sizes) } : {}),
    }
  }
}

/** Blocks at random places; an epoch is as many tokens as the text has. */
class Blocks extends LanguageModelBatches implements BatchSource<LanguageModelBatch> {
  readonly batchesPerEpoch: number

  constructor(ids: Ids, options: { batchSize: number, blockSize: number, seed: number }) {
    super(ids, options)
    this.batchesPerEpoch = ids.length / (options.batchSize * options.blockSize)
  }
}

/**
 * Reads a text for language modelling, whole (`.jsonl`: the texts of its lines, with the end token after each where there is one), trains a tokenizer if none
 * is given, encodes, and holds out the end for validation.
 * @throws DataError if the file is no text, or too short   @throws TokenizerError if the tokenizer cannot be loaded or trained
 * @throws ConfigError for options that are unknown or out of range
 */
export async function languageModelData(path: string, options: LanguageModelDataOptions = {}): Promise<LanguageModelData> {
  checkNames('languageModelData', options, optionNames)
  const {
    tokenizer: given, tokenizerKind = 'bytelevel', vocabSize = 8000, validation, validationSplit = 0.1, batchSize = 16, blockSize = 256, ...reading
  } = options
  if (!(validationSplit >= 0 && validationSplit < 1))
    throw new ConfigError(`languageModelData: validationSplit is ${validationSplit}, expected a number from 0 up to 1.`)
  if (validation !== undefined && options.validationSplit !== undefined)
    throw new ConfigError('languageModelData: validation and validationSplit are both given. Leave one out.')
  if (given !== undefined && (options.tokenizerKind ?? options.vocabSize) !== undefined)
    throw new ConfigError('languageModelData: tokenizerKind and vocabSize are for a tokenizer that is trained, but one is given. Leave them out.')
  const texts = await textsIn(path, reading)
  const share = validation === undefined ? validationSplit : 0
  const tokenizer = typeof given === 'string' ? await Tokenizer.fromFile(given)
    : given ?? await Tokenizer.train(tokenizerKind, start(texts, share), { vocabSize })

  const { ids, report } = await encoded(texts, tokenizer)
  const sizes = { batchSize, blockSize }, boundary = Math.floor(ids.length * (1 - share))
  const train = ids.subarray(0, boundary)
  const held = validation === undefined ? ids.subarray(boundary) : (await encoded(await textsIn(validation, reading), tokenizer)).ids
  if (train.length <= blockSize) {
    throw new DataError(`${path}: ${train.length} tokens for training are too few for one block of ${blockSize} and the token after it. `
      + 'Give more text or a smaller blockSize.')
  }
  return new LanguageModelData(tokenizer, train, held.length > 1 ? held : undefined, sizes, { ...report, files: [path] })
}

/** A file as one text, or the texts of its lines. */
async function textsIn(path: string, reading: TextOptions): Promise<string | readonly string[]> {
  const { format = reading.key !== undefined || /\.(jsonl|ndjson|json)(\.gz)?$/i.test(path) ? 'jsonl' : 'text' } = reading
  if (format === 'text') {
    if (Object.keys(reading).some(name => name !== 'format'))
      throw new ConfigError(`languageModelData: ${Object.keys(reading).join(', ')} is for JSON lines; ${path} is read whole.`)
    return readWholeText(path)
  }
  const texts: string[] = []
  for await (const text of readText(path, reading)) texts.push(text)
  return texts
}

/** The part of the text that is for training, by characters: a tokenizer has to be trained before tokens can be counted. */
function start(texts: string | readonly string[], held: number): readonly string[] {
  if (typeof texts === 'string') return [texts.slice(0, Math.floor(texts.length * (1 - held)))]
  return texts.slice(0, Math.max(1, Math.floor(texts.length * (1 - held))))
}

async function encoded(texts: string | readonly string[], tokenizer: Tokenizer): Promise<{ ids: Ids, report: DataReport }> {
  const bare = { encode: (text: string) => ({ ids: tokenizer.encode(text, { addSpecialTokens: false }).ids }) }
  const { eosId } = tokenizer
  return encodeDocuments(texts, bare, typeof texts === 'string' || eosId === undefined ? {} : { separator: eosId })
}
