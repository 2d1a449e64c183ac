import { type AnsweredQuestion, answerCollator, answerWindows } from '../data/collators/answers.js'
import { causalCollator, chatExample, type ChatMessage, type ChatTemplate, completionExample, flatCollator, packed, textExample } from '../data/collators/causal.js'
import { classificationCollator } from '../data/collators/classification.js'
import { CollatedBatches, evaluationBatchesOf } from '../data/collators/collatedBatches.js'
import type { CollatedBatch, Collator } from '../data/collators/collation.js'
import { denoisingCollator } from '../data/collators/denoising.js'
import { maskingCollator, wordsOf } from '../data/collators/maskedLanguage.js'
import { seq2seqCollator } from '../data/collators/seq2seq.js'
import { spanCorruptionCollator } from '../data/collators/spanCorruption.js'
import { labelledWords, tokenLabelCollator } from '../data/collators/tokenLabels.js'
import { Random } from '../data/random.js'
import { type DataRecord, readRecords, type RecordFormat, textOf } from '../data/records.js'
import { ConfigError, DataError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import { Tokenizer } from '../text/tokenizer.js'
import { checkNames } from './checkNames.js'
import type { TrainingData, TrainingTask } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'

export const fineTuningTasks = [
  'causal', 'masked', 'seq2seq', 'span-corruption', 'denoising', 'classification', 'question-answering', 'token-classification',
] as const
export type FineTuningTask = typeof fineTuningTasks[number]

export interface FineTuningDataOptions {
  tokenizer: Tokenizer | string
  /** What the rows are for. Default 'causal'. */
  task?: FineTuningTask
  /** Of the file. Default: by its name. */
  format?: RecordFormat
  /** File for validation. Default: some rows are held out. */
  validation?: string
  /** Share of the rows that is held out; 0: none. Default 0.1. */
  validationSplit?: number
  /** Which rows are held out. Default 0. */
  splitSeed?: number
  /** Default 8. */
  batchSize?: number
  /** Longest example in tokens; longer ones are cut, and long texts of questions are read in windows. Default 512. */
  maxLength?: number
  /**
   * 'causal': several examples in a row. true fills rows of `maxLength`, and attention goes across examples; 'separate' puts those of a batch into one row without padding,
   * where none sees another. Default false.
   */
  packing?: boolean | 'separate'
  /** 'causal', rows with messages: how a conversation is written. */
  chatTemplate?: ChatTemplate
  /** 'masked': whole words. Default false. */
  wholeWord?: boolean
  /** 'question-answering': tokens that windows have in common. Default 128. */
  stride?: number
  /** Names of classes, in the order of their numbers. Default: those that the rows have, sorted. */
  labels?: readonly string[]
  /** Keys of rows that are called otherwise: `{ text: 'body' }`. */
  keys?: Readonly<Record<string, string>>
}

const optionNames: Readonly<Record<keyof FineTuningDataOptions, true>> = {
  tokenizer: true, task: true, format: true, validation: true, validationSplit: true, splitSeed: true, batchSize: true, maxLength: true, packing: true, chatTemplate: true,
  wholeWord: true, stride: true, labels: true, keys: true,
}

/** Rows as examples of one kind, and how they become batches for a model. */
interface Prepared<E = unknown> { examples: E[], collator: (model: Module) => Collator<E> }

/** Rows of a file for `Trainer`. */
export class FineTuningData implements TrainingData {
  /** @internal Made by `fineTuningData`. */
  constructor(
    readonly task: FineTuningTask, readonly tokenizer: Tokenizer, private readonly train: Prepared, private readonly validation: Prepared | undefined,
    private readonly batchSize: number, readonly labels: readonly string[] | undefined,
  ) {}

  get summary(): string {
    const shown = (count: number): string => count.toLocaleString('en')
    return `${shown(this.train.examples.length)} examples (${this.task}), ${this.validation ? `${shown(this.validation.examples.length)} for validation` : 'no validation'}`
  }

  taskFor(model: Module, settings: TrainingSettings): TrainingTask<CollatedBatch> {
    const { loss } = model as { loss?: (batch: Record<string, Tensor>, options: { labelSmoothing: number, reduction: 'sum' }) => Tensor }
    if (typeof loss !== 'function') throw new ConfigError(`fine-tuning needs a model with a loss; ${model.constructor.name} has none. Load it with a head for the task.`)
    if (settings.predictWithGenerate) throw new ConfigError('Trainer: predictWithGenerate is for translation.')
    const collate = this.train.collator(model)
    return {
      batches: new CollatedBatches(this.train.examples, collate, { batchSize: this.batchSize, seed: settings.seed }),
      loss: ({ inputs }, { labelSmoothing }) => (model as unknown as { loss: NonNullable<typeof loss> })
        .loss(Object.fromEntries(Object.entries(inputs).map(([name, { data, shape }]) => [name, tensor(data, shape)])), { labelSmoothing, reduction: 'sum' }),
      tokens: batch => batch.tokens,
      tokenizer: this.tokenizer,
      ...this.validation ? { evaluationBatches: evaluationBatchesOf(this.validation.examples, this.validation.collator(model), this.batchSize) } : {},
    }
  }
}

/**
 * Reads rows for fine-tuning. What they hold depends on the task: `text`, or `prompt` and `completion`, or `messages` ('causal'); `text` ('masked', 'span-corruption', 'denoising');
 * `source` and `target` ('seq2seq'); `text` (with `text_pair`) and `label` ('classification'); `question`, `context` and `answers` as SQuAD has them ('question-answering');
 * `tokens` and `labels` ('token-classification').
 * @throws DataError for rows without what the task needs   @throws ConfigError for options that are unknown or out of range   @throws TokenizerError, CheckpointError
 */
export async function fineTuningData(path: string, options: FineTuningDataOptions): Promise<FineTuningData> {
  checkNames('fineTuningData', options, optionNames)
  const { tokenizer: given, task = 'causal', validation, validationSplit = 0.1, splitSeed = 0, batchSize = 8, ...rest } = options
  if (!fineTuningTasks.includes(task)) throw new ConfigError(`fineTuningData: task is '${String(task)}', expected one of: ${fineTuningTasks.join(', ')}`)
  if (!(validationSplit >= 0 && validationSplit < 1)) throw new ConfigError(`fineTuningData: validationSplit is ${validationSplit}, expected a number from 0 up to 1`)
  if (validation !== undefined && options.validationSplit !== undefined) throw new ConfigError('fineTuningData: validation and validationSplit are both given. Leave one out.')
  const tokenizer = typeof given === 'string' ? await Tokenizer.fromFile(given) : given
  const all = await rowsOf(path, options), order = new Random(splitSeed, 'held out rows').permutation(all.length)
  const count = validation === undefined ? Math.min(Math.floor(all.length * validationSplit), all.length - 1) : 0, held = new Set(order.subarray(0, count))
  const train = all.filter((_, i) => !held.has(i)), valid = validation === undefined ? all.filter((_, i) => held.has(i)) : await rowsOf(validation, options)
  const reader = new RowReader(tokenizer, task, rest, train)
  return new FineTuningData(task, tokenizer, reader.prepared(train), valid.length > 0 ? reader.prepared(valid) : undefined, batchSize, reader.labels)
}

interface Row { record: DataRecord, where: string }

async function rowsOf(path: string, { format, keys = {} }: FineTuningDataOptions): Promise<Row[]> {
  const rows: Row[] = []
  for await (const record of readRecords(path, format === undefined ? {} : { format })) {
    const renamed = Object.fromEntries(Object.entries(keys).filter(([, key]) => key in record).map(([name, key]) => [name, record[key]]))
    rows.push({ record: { ...record, ...renamed }, where: `${path}, row ${rows.length + 1}` })
  }
  if (rows.length === 0) throw new DataError(`${path} has no rows`)
  return rows
}

type ReadingOptions = Omit<FineTuningDataOptions, 'tokenizer' | 'task' | 'validation' | 'validationSplit' | 'splitSeed' | 'batchSize'>

/** Makes examples of rows for one task. */
class RowReader {
  readonly labels: readonly string[] | undefined
  private readonly maxLength: number

  constructor(private readonly tokenizer: Tokenizer, private readonly task: FineTuningTask, private readonly options: ReadingOptions, train: readonly Row[]) {
    this.maxLength = options.maxLength ?? 512
    if (!Number.isInteger(this.maxLength) || this.maxLength < 2) throw new ConfigError(`fineTuningData: maxLength is ${this.maxLength}, expected a whole number from 2`)
    this.labels = options.labels ?? namesOf(train, task)
  }

  prepared(rows: readonly Row[]): Prepared {
    const { tokenizer, maxLength } = this, padId = tokenizer.padId ?? 0, text = (key: string) => ({ record, where }: Row): string => textOf(record, key, where)
    const bare = (row: Row) => ({ ids: tokenizer.encode(text('text')(row), { addSpecialTokens: false }).ids.slice(0, maxLength - 2) })
    const made = <E>(examples: E[], collator: (model: Module) => Collator<E>): Prepared => ({ examples, collator: collator as unknown as Prepared['collator'] })
    switch (this.task) {
      case 'causal': {
        const examples = rows.map(row => this.causal(row)), { packing = false } = this.options
        if (![true, false, 'separate'].includes(packing)) throw new ConfigError(`fineTuningData: packing is ${JSON.stringify(packing)}, expected true, false or 'separate'`)
        return made(packing === true ? packed(examples, maxLength) : examples, () => packing === 'separate' ? flatCollator({ maxLength }) : causalCollator({ padId, maxLength }))
      }
      case 'masked': return made(rows.map(row => {
        const content = text('text')(row), encoding = tokenizer.encode(content, { maxLength })
        return { ids: encoding.ids, specialTokensMask: encoding.specialTokensMask, ...this.options.wholeWord ? { words: wordsOf(content, encoding) } : {} }
      }), () => maskingCollator({ maskId: this.special('maskId', '[MASK]', '<mask>'), vocabSize: tokenizer.vocabSize, padId, wholeWord: this.options.wholeWord ?? false }))
      case 'seq2seq': return made(rows.map(row => ({
        source: tokenizer.encode(text('source')(row)).ids, target: tokenizer.encode(text('target')(row)).ids,
      })), model => seq2seqCollator({ padId, decoderStartId: startOf(model), maxSourceLength: maxLength, maxTargetLength: maxLength }))
      case 'span-corruption': return made(rows.map(bare).filter(({ ids }) => ids.length > 1), model => spanCorruptionCollator({
        sentinel: i => this.special(`sentinel ${i}`, `<extra_id_${i}>`), eosId: this.special('eosId', '</s>'), padId, decoderStartId: startOf(model),
      }))
      case 'denoising': return made(rows.map(bare), model => denoisingCollator({
        maskId: this.special('maskId', '<mask>', '[MASK]'), bosId: this.special('bosId', '<s>'), eosId: this.special('eosId', '</s>'), padId, decoderStartId: startOf(model),
      }))
      case 'classification': return made(rows.map(row => {
        const { text_pair: pair } = row.record, { ids, typeIds } = tokenizer.encode(text('text')(row), typeof pair === 'string' ? { pair } : {})
        return { ids, typeIds, label: this.labelOf(row.record['label'], row.where) }
      }), model => this.withTypes(model, classificationCollator({ padId, maxLength, floats: this.labels === undefined })))
      case 'question-answering': return made(rows.flatMap(row => answerWindows(tokenizer, questionOf(row), { maxLength, stride: this.options.stride ?? Math.min(128, maxLength >> 2) })),
        model => this.withTypes(model, answerCollator({ padId })))
      case 'token-classification': return made(rows.map(({ record, where }) => {
        const words = record['tokens'] ?? record['words'], labels = record['labels'] ?? record['ner_tags']
        if (!Array.isArray(words) || !Array.isArray(labels)) throw new DataError(`${where}: expected lists under 'tokens' and 'labels'; there are ${Object.keys(record).join(', ')}`)
        return labelledWords(tokenizer, { words: words as string[], labels: labels.map(label => this.labelOf(label, where) as number) })
      }), model => this.withTypes(model, tokenLabelCollator({ padId, maxLength })))
    }
  }

  private causal({ record, where }: Row) {
    const { tokenizer } = this, { messages } = record
    if (Array.isArray(messages)) {
      const { chatTemplate } = this.options
      if (!chatTemplate) throw new DataError(`${where}: the row has messages; say how a conversation is written with chatTemplate`)
      return chatExample(tokenizer, messages as ChatMessage[], chatTemplate)
    }
    if ('prompt' in record || 'completion' in record) return completionExample(tokenizer, { prompt: textOf(record, 'prompt', where), completion: textOf(record, 'completion', where) })
    return textExample(tokenizer, textOf(record, 'text', where))
  }

  /** Models without types of texts do without them. */
  private withTypes<E>(model: Module, collate: Collator<E>): Collator<E> {
    const { config } = model as { config?: { type_vocab_size?: number } }
    if ((config?.type_vocab_size ?? 0) > 1) return collate
    return (examples, random) => {
      const { inputs: { tokenTypeIds, ...inputs }, tokens } = collate(examples, random)
      return { inputs, tokens }
    }
  }

  private labelOf(value: unknown, where: string): number | readonly number[] {
    if (this.labels === undefined) return Array.isArray(value) ? value.map(Number) : Number(value)
    if (typeof value === 'number' || typeof value === 'bigint') return Number(value)
    const index = this.labels.indexOf(String(value))
    if (index < 0) throw new DataError(`${where}: the label is ${JSON.stringify(value)}, expected one of: ${this.labels.join(', ')}`)
    return index
  }

  private special(what: string, ...tokens: readonly string[]): number {
    const id = tokens.map(token => this.tokenizer.tokenToId(token)).find(found => found !== undefined)
    if (id === undefined) throw new ConfigError(`fineTuningData: the task '${this.task}' needs the token ${tokens.join(' or ')} (${what}), which the tokenizer has not`)
    return id
  }
}

/** Names of classes, where labels are words; undefined where they are numbers with a part behind the point, or several. */
function namesOf(rows: readonly Row[], task: FineTuningTask): readonly string[] | undefined {
  if (task !== 'classification' && task !== 'token-classification') return undefined
  const values = rows.flatMap(({ record, where }) => {
    const value = task === 'classification' ? record['label'] : record['labels'] ?? record['ner_tags']
    if (value === undefined || value === null) throw new DataError(`${where}: no ${task === 'classification' ? "label under 'label'" : "labels under 'labels'"}; there are ${Object.keys(record).join(', ')}`)
    return task === 'classification' ? [value] : value as unknown[]
  })
  const numbers = values.every(value => typeof value === 'number' || typeof value === 'bigint')
  if (values.some(value => Array.isArray(value)) || (numbers && values.some(value => typeof value === 'number' && !Number.isInteger(value)))) return undefined
  if (numbers) return Array.from({ length: values.reduce<number>((m, v) => Math.max(m, Number(v) + 1), 0) }, (_, i) => `LABEL_${i}`)
  return [...new Set(values.map(String))].sort()
}

function questionOf({ record, where }: Row): AnsweredQuestion {
  const { answers, answer, start } = record as { answers?: { text?: readonly string[], answer_start?: readonly (number | bigint)[] }, answer?: unknown, start?: unknown }
  const [text, at] = answers ? [answers.text?.[0], answers.answer_start?.[0]] : [answer, start]
  return {
    question: textOf(record, 'question', where), context: textOf(record, 'context', where),
    answer: typeof text === 'string' && at !== undefined ? { text, start: Number(at) } : undefined,
  }
}

function startOf(model: Module): number {
  const { config } = model as { config?: { decoder_start_token_id?: unknown, bosId?: number } }, start = config?.decoder_start_token_id ?? config?.bosId
  if (typeof start !== 'number') throw new ConfigError(`${model.constructor.name}: config.json has no decoder_start_token_id, the token that targets begin with. Is it a model with encoder and decoder?`)
  return start
}
