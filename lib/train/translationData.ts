import type { BatchBounds } from '../data/batchPlan.js'
import { type DataReport, describeReport } from '../data/dataReport.js'
import { encodeParallel, type EncodedPairs, type EncodeOptions } from '../data/encodeText.js'
import type { Pair } from '../data/lineFormats.js'
import { type ParallelOptions, type ParallelSource, ParallelText, readParallel } from '../data/parallelText.js'
import { Random } from '../data/random.js'
import type { SpecialIds } from '../data/seq2seqBatches.js'
import { ConfigError, DataError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { Tokenizer } from '../text/tokenizer.js'
import type { TokenizerKind } from '../text/trainTokenizer.js'
import { checkNames } from './checkNames.js'
import type { TrainingData, TrainingTask } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'
import { requireTranslationModel, translationTask } from './translationTask.js'

/** Parallel text: files as `readParallel` takes them, or the pairs themselves. */
export type Pairs = ParallelSource | Iterable<Pair>

/** Of one file: `format`, `columns`, `keys`; of aligned ones: `unequal`; of all: what becomes of lines that cannot be used. */
export interface TranslationDataOptions extends ParallelOptions, BatchBounds, EncodeOptions {
  /** A tokenizer, or the path of one (tokenizer.json or its folder). Default: one is trained on the training text, both sides together. */
  tokenizer?: Tokenizer | string
  /** Of the tokenizer that is trained. Default 'bpe'. */
  tokenizerKind?: TokenizerKind
  /** Of the tokenizer that is trained. Default 8000. */
  vocabSize?: number
  /** Text for validation, in the format of the training text. Default: a part of that is held out. */
  validation?: Pairs
  /** Pairs to hold out where `validation` is not given; 0: none. Default: a twentieth, at most 1000. */
  validationSize?: number
  /** Of which pairs are held out. Default 0. */
  splitSeed?: number
  /** Told what begins: 'reading the text', 'training the tokenizer', 'encoding the text'. */
  onStage?: (stage: string) => void
}

const optionNames: Readonly<Record<keyof TranslationDataOptions, true>> = {
  tokenizer: true, tokenizerKind: true, vocabSize: true, validation: true, validationSize: true, splitSeed: true, maxLength: true, policy: true,
  maxTokens: true, batchSize: true, padToMultipleOf: true, format: true, columns: true, keys: true, unequal: true, empty: true, tooLong: true,
  maxLineBytes: true, malformed: true, onStage: true,
}

/** Encoded parallel text for `Trainer`. */
export class TranslationData implements TrainingData {
  /** @internal Made by `translationData`. */
  constructor(
    readonly tokenizer: Tokenizer,
    readonly train: EncodedPairs,
    /** Encoded, and as text for metrics of translations; undefined if nothing was held out. */
    readonly validation: { readonly encoded: EncodedPairs, readonly pairs: readonly Pair[] } | undefined,
    readonly ids: SpecialIds,
    readonly bounds: BatchBounds,
  ) {}

  /** What a model's embedding has to have. */
  get vocabSize(): number { return this.tokenizer.vocabSize }

  /** For people: what was read, kept and left out, and what was held out. */
  get summary(): string {
    const held = this.validation ? `; validation: ${this.validation.encoded.length.toLocaleString('en')} pairs` : '; no validation'
    return `${describeReport(this.train.report)}${held}; vocabulary: ${this.vocabSize.toLocaleString('en')} tokens`
  }

  taskFor(model: Module, settings: TrainingSettings): TrainingTask {
    requireTranslationModel(model)
    if (model.vocabSize < this.vocabSize) {
      throw new ConfigError(`the model has embeddings for ${model.vocabSize} tokens, the tokenizer has ${this.vocabSize}. `
        + 'Build the model with vocabSize: data.vocabSize.')
    }
    return translationTask(model, this, settings)
  }
}

/**
 * Reads parallel text, trains a tokenizer if none is given, encodes, and holds out validation pairs if none are given. The text is streamed, twice or three
 * times; only ids and the validation text stay in memory.
 *
 * ```ts
 * const data = await translationData('train.tsv', { vocabSize: 8000, maxTokens: 4096 })
 * ```
 * @throws DataError for files that are no such text, or where nothing is left   @throws TokenizerError if the tokenizer cannot be loaded or trained
 * @throws ConfigError for options that are unknown or out of range
 */
export async function translationData(source: Pairs, options: TranslationDataOptions = {}): Promise<TranslationData> {
  checkNames('translationData', options, optionNames)
  const { tokenizer: given, tokenizerKind = 'bpe', vocabSize = 8000, validation, validationSize, splitSeed = 0, maxTokens, batchSize, padToMultipleOf,
    maxLength = 1024, policy, onStage, ...reading } = options
  if (given !== undefined && (options.tokenizerKind ?? options.vocabSize) !== undefined)
    throw new ConfigError('translationData: tokenizerKind and vocabSize are for a tokenizer that is trained, but one is given. Leave them out.')
  if (validation !== undefined && validationSize !== undefined)
    throw new ConfigError('translationData: validationSize is for pairs that are held out, but validation is given. Leave one out.')
  const text = pairsOf(source, reading)
  onStage?.('reading the text')
  // What may be missing comes first: the rest takes long.
  const ready = typeof given === 'string' ? await Tokenizer.fromFile(given) : given
  const separate = validation === undefined ? undefined : await collected(pairsOf(validation, reading))
  const numbers = validation === undefined ? await heldOut(text, validationSize, splitSeed) : new Set<number>()
  const kept: Pair[] = []
  const training = () => split(text, numbers, kept)

  if (!ready) onStage?.('training the tokenizer')
  const tokenizer = ready ?? await Tokenizer.train(tokenizerKind, bothSides(training()), { vocabSize })
  onStage?.('encoding the text')
  const ids = specialIds(tokenizer), coders = codersOf(tokenizer, ids.eos)
  const encoding = { maxLength, ...(policy === undefined ? {} : { policy }) }
  const encoded = await encodeParallel(training(), coders, encoding)
  const train = { ...encoded, report: text instanceof ParallelText ? withLines(text.report, encoded.report, numbers.size) : encoded.report }
  const validationPairs = separate ?? kept
  const held = validationPairs.length === 0 ? undefined
    : { encoded: await encodeParallel(validationPairs, coders, encoding), pairs: validationPairs }
  const bounds = Object.fromEntries(Object.entries({ maxTokens, batchSize, padToMultipleOf }).filter(([, value]) => value !== undefined))
  return new TranslationData(tokenizer, train, held, ids, bounds)
}

function pairsOf(source: Pairs, reading: ParallelOptions): ParallelText | readonly Pair[] {
  if (typeof source === 'string' || 'source' in source) return readParallel(source, reading)
  if (Object.keys(reading).length > 0)
    throw new ConfigError(`translationData: ${Object.keys(reading).join(', ')} is for files, but the pairs themselves are given.`)
  return [...source]
}

/** Numbers of the pairs to hold out. */
async function heldOut(text: ParallelText | readonly Pair[], size: number | undefined, seed: number): Promise<ReadonlySet<number>> {
  if (size !== undefined && (!Number.isInteger(size) || size < 0))
    throw new ConfigError(`translationData: validationSize is ${size}, expected a whole number from 0.`)
  if (size === 0) return new Set()
  let count = 0
  for await (const pair of text) {
    void pair
    count++
  }
  const wanted = size ?? Math.min(1000, Math.floor(count / 20))
  if (wanted >= count) throw new DataError(`validationSize is ${wanted}, but there are only ${count} pairs. Hold out fewer.`)
  return new Set(new Random(seed, 'validation split').permutation(count).subarray(0, wanted))
}

/** The pairs that are not held out; those that are go to `kept`. */
async function* split(text: ParallelText | readonly Pair[], held: ReadonlySet<number>, kept: Pair[]): AsyncGenerator<Pair> {
  kept.length = 0
  let i = 0
  for await (const pair of text) {
    if (held.has(i++)) kept.push(pair)
    else yield pair
  }
}

async function* bothSides(pairs: AsyncIterable<Pair>): AsyncGenerator<string> {
  for await (const { source, target } of pairs) {
    yield source
    yield target
  }
}

async function collected(pairs: Iterable<Pair> | AsyncIterable<Pair>): Promise<Pair[]> {
  const all: Pair[] = []
  for await (const pair of pairs) all.push(pair)
  return all
}

function specialIds(tokenizer: Tokenizer): SpecialIds {
  const { bosId: bos, eosId: eos, padId: pad } = tokenizer
  if (bos === undefined || eos === undefined || pad === undefined) {
    const missing = Object.entries({ padToken: pad, bosToken: bos, eosToken: eos }).filter(([, id]) => id === undefined).map(([name]) => name)
    throw new ConfigError(`translationData: the tokenizer has no ${missing.join(', ')}. Name them when loading it `
      + `(Tokenizer.fromFile(path, { ${missing[0]}: '…' })), or add them with addSpecialTokens.`)
  }
  return { bos, eos, pad }
}

/** Sources as `translate` encodes them, with the tokenizer's template; targets bare. Batches add start and end. */
function codersOf(tokenizer: Tokenizer, eos: number) {
  const withoutEnd = (ids: number[]): number[] => ids.at(-1) === eos ? ids.slice(0, -1) : ids
  return {
    source: { encode: (text: string) => ({ ids: withoutEnd(tokenizer.encode(text).ids) }) },
    target: { encode: (text: string) => ({ ids: tokenizer.encode(text, { addSpecialTokens: false }).ids }) },
  }
}

/** What a reader dropped never reached the encoder: their counts add up. Held-out pairs count as kept. */
function withLines(lines: DataReport, examples: DataReport, held: number): DataReport {
  return {
    ...lines, kept: examples.kept + held, empty: lines.empty + examples.empty, tooLong: lines.tooLong + examples.tooLong, truncated: examples.truncated,
  }
}
