import type { Columns } from '../data/lineFormats.js'
import { Transformer, type TransformerOptions } from '../models/transformer.js'
import { flag } from '../optim/schedules/options.js'
import { manualSeed } from '../tensor/random.js'
import { tokenizerKinds } from '../text/tokenizerKinds.js'
import { BestMetric } from '../train/bestMetric.js'
import { readState } from '../train/checkpoint.js'
import { exitCodes } from '../train/interruption.js'
import { optimizerFor, scheduleOf } from '../train/optimization.js'
import { checkOutputFolder } from '../train/outputFolder.js'
import { Trainer, type TrainingResult } from '../train/trainer.js'
import { checkedOptions, trainingOptionKinds, type TrainingOptions, type TrainingSettings } from '../train/trainingOptions.js'
import { translationData, type Pairs, type TranslationDataOptions } from '../train/translationData.js'
import { type Command, type Flag, kebab, type Options, UsageError } from './arguments.js'
import { atWork } from './atWork.js'
import { trained } from './trained.js'

/** What suits a translator that starts from nothing; the trainer's own defaults are for fine-tuning. */
const recipe = {
  learningRate: 1e-3, warmupRatio: 0.1, adamBeta2: 0.98, labelSmoothingFactor: 0.1, numTrainEpochs: 10,
  dModel: 256, layers: 3, dropout: 0.1, maxTokens: 2048, vocabSize: 8000, maxLength: 256,
}

const dataFlags: Record<string, Flag> = {
  validation: { value: 'FILE[,FILE]', about: 'validation text; default: a twentieth of the text is held out, at most 1000 pairs' },
  validationSize: { value: 'N', about: 'pairs to hold out; 0: none' },
  splitSeed: { value: 'N', about: 'which pairs are held out (default 0)' },
  format: { value: 'tsv|jsonl', about: 'of one file; default: by its name' },
  columns: { value: 'A,B', about: 'of TSV: numbers from 0, or names in the first line' },
  keys: { value: 'A,B', about: 'of JSON lines (default source,target)' },
  unequal: { value: 'error|truncate', about: 'two files of different length (default error)' },
  empty: { value: 'skip|error', about: 'lines without text (default skip, counted)' },
  malformed: { value: 'skip|error', about: 'lines of another format (default error)' },
  tokenizer: { value: 'PATH', about: 'tokenizer.json or its folder; default: one is trained on the text' },
  tokenizerKind: { value: 'KIND', about: 'bpe (default), bytelevel, bpe-whitespace, wordpiece, unigram, word, char' },
  vocabSize: { value: 'N', about: `of the tokenizer that is trained (default ${recipe.vocabSize})` },
  maxLength: { value: 'N', about: `longest sentence in tokens (default ${recipe.maxLength})` },
  policy: { value: 'skip|truncate|error', about: 'longer sentences (default skip, counted)' },
  maxTokens: { value: 'N', about: `most tokens of a batch, padding included (default ${recipe.maxTokens})` },
}

const modelFlags: Record<string, Flag> = {
  dModel: { value: 'N', about: `width (default ${recipe.dModel})` },
  layers: { value: 'N', about: `of encoder and decoder, each (default ${recipe.layers})` },
  encoderLayers: { value: 'N', about: 'of the encoder alone' },
  decoderLayers: { value: 'N', about: 'of the decoder alone' },
  heads: { value: 'N', about: 'attention heads (default: one for 64 columns, at least 4)' },
  feedForward: { value: 'N', about: 'inner width (default 4 times the width)' },
  dropout: { value: 'P', about: `default ${recipe.dropout}` },
  activation: { value: 'NAME', about: 'relu (default), gelu, …' },
  normFirst: { about: 'normalise before each sublayer (default; --no-norm-first: after it, as in the paper)' },
  positions: { value: 'KIND', about: 'sinusoidal (default) or learned' },
}

/** Options of the trainer that a command line cannot give, or that have a flag of their own above. */
const unavailable = new Set(['optimizer', 'callbacks', 'signal', 'handleSignals', 'bf16', 'fp16', 'loggingFile'])
const trainerNames = (Object.keys(trainingOptionKinds) as (keyof TrainingOptions)[]).filter(name => !unavailable.has(name))
const abouts: Partial<Record<keyof TrainingOptions, string>> = {
  outputDir: 'where checkpoints, log and the trained model go (needed)', resumeFromCheckpoint: 'a checkpoint, or true for the newest in --output-dir',
  maxSteps: 'training steps; wins over the epochs', numTrainEpochs: `passes over the text (default ${recipe.numTrainEpochs})`,
  learningRate: `highest (default ${recipe.learningRate})`, warmupRatio: `part of all steps (default ${recipe.warmupRatio})`,
  labelSmoothingFactor: `default ${recipe.labelSmoothingFactor}`, adamBeta2: `default ${recipe.adamBeta2}`, maxTime: 'seconds',
  predictWithGenerate: 'evaluate BLEU and chrF of translations too', lrSchedulerKwargs: 'further options of the schedule, JSON', optimArgs: 'of sgd, JSON',
}
const trainerFlags = Object.fromEntries(trainerNames.map(name => {
  const kind = trainingOptionKinds[name], about = abouts[name] ?? kind.accepts
  return [name, kind === flag ? { about: abouts[name] ?? '' } : { value: 'VALUE', about }]
}))

export const train: Command = {
  about: 'trains a translator on your own parallel text',
  usage: 'train TEXT.tsv|TEXT.jsonl --output-dir FOLDER [options]   or   train SOURCE.txt TARGET.txt --output-dir FOLDER [options]',
  operands: [1, 2],
  flags: { ...trainerFlags, ...modelFlags, ...dataFlags },
  async run(files, options) {
    const outputDir = options.text('outputDir')
    if (outputDir === undefined) throw new UsageError('--output-dir is missing: say which folder the trained model goes to')
    // All that can be known is checked first: reading and training a tokenizer may take long.
    const settings = trainingOptions(options), seed = settings.seed ?? 42, shape = modelOptions(options), reading = dataOptions(options)
    checkBuilding(shape, checkedOptions(settings))
    await checkTraining(outputDir, checkedOptions(settings))
    const data = await translationData(sourceOf(files), { ...reading, onStage: atWork })
    console.error(data.summary)
    manualSeed(seed)
    using model = new Transformer({
      ...shape, vocabSize: data.vocabSize, maxPositions: Math.max(1024, reading.maxLength ?? recipe.maxLength), padId: data.ids.pad, bosId: data.ids.bos, eosId: data.ids.eos,
    })
    console.error(`A Transformer of ${model.parameterCount.toLocaleString('en')} parameters`)
    const result = await trained(new Trainer(model, data, settings), outputDir)
    if (result.interrupted) {
      console.error(result.step === 0 ? 'Stopped before the first step. Run the same command again.'
        : `Stopped after step ${result.step}. Go on with the same command and --resume-from-checkpoint true`
          + `${settings.overwriteOutputDir ? ', without --overwrite-output-dir.' : '.'}`)
      return exitCodeOf(result)
    }
    const metrics = Object.entries(result.metrics ?? {}).map(([name, value]) => `${name} ${value.toFixed(3)}`).join(', ')
    console.error(`${result.step.toLocaleString('en')} steps in ${result.seconds.toFixed(0)} s${metrics ? `; validation: ${metrics}` : ''}`)
    console.error(`The model is in ${outputDir}. Translate with: warpweft translate ${outputDir} FILE`)
    return 0
  },
}

/** What shells expect of a process that a signal ended. */
export const exitCodeOf = ({ signal = 'SIGINT' }: TrainingResult): number => exitCodes[signal]

/** @throws ConfigError if no Transformer, optimizer or schedule can be built so */
function checkBuilding(shape: Partial<TransformerOptions>, settings: TrainingSettings): void {
  // Small, so that it costs nothing; a width that the heads do not divide is refused as it is.
  const { dModel = recipe.dModel, heads = Math.max(4, Math.round(dModel / 64)) } = shape
  const width = dModel % heads === 0 ? { dModel: 2 * heads, heads } : {}
  using model = new Transformer({ ...shape, ...width, feedForward: 1, encoderLayers: 1, decoderLayers: 1, vocabSize: 4, maxPositions: 2 })
  optimizerFor(model, settings).dispose()
  scheduleOf(model, settings, settings.maxSteps ?? 2 ** 31, true)
}

/** @throws ConfigError, CheckpointError, UsageError for what would stop the training when the text has been read */
async function checkTraining(outputDir: string, settings: TrainingSettings): Promise<void> {
  const { overwriteOutputDir: replace, resumeFromCheckpoint: from, metricForBestModel: metric, predictWithGenerate } = settings
  await checkOutputFolder(outputDir, { replace, resumes: from !== false })
  if (typeof from === 'string') await readState(from)
  const metrics = ['loss', 'perplexity', ...predictWithGenerate ? ['bleu', 'chrf'] : []]
  if (metric !== undefined) new BestMetric(settings).requireIn(metrics)
}

/** One file, or two aligned ones; `A,B` stands for two as well. */
export function sourceOf(files: readonly string[]): Exclude<Pairs, Iterable<unknown>> | string {
  const [source, target] = files
  return target === undefined ? source! : { source: source!, target }
}

function trainingOptions(options: Options): TrainingOptions {
  const given = Object.fromEntries(trainerNames.filter(name => options.has(name)).map(name => [name, valueOf(name, options)]))
  return {
    learningRate: recipe.learningRate, adamBeta2: recipe.adamBeta2, labelSmoothingFactor: recipe.labelSmoothingFactor,
    ...(options.has('maxSteps') ? {} : { numTrainEpochs: recipe.numTrainEpochs }),
    ...(options.has('warmupSteps') || options.text('lrSchedulerType') === 'constant' ? {} : { warmupRatio: recipe.warmupRatio }), ...given,
  }
}

/** The value that the option takes, as its own check reads the text: a number, JSON, a truth value, or the text itself. */
function valueOf(name: keyof TrainingOptions, options: Options): unknown {
  const kind = trainingOptionKinds[name]
  if (kind === flag) return options.on(name)
  const text = options.text(name)!
  const readings = [Number(text), ...(text === 'true' ? [true] : text === 'false' ? [false] : []), json(text), text]
  const value = readings.find(reading => reading !== undefined && kind.test(reading))
  if (value === undefined) throw new UsageError(`--${kebab(name)} is '${text}', expected ${kind.accepts}`)
  return value
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function dataOptions(options: Options): TranslationDataOptions {
  const validation = options.text('validation')?.split(','), tokenizer = options.text('tokenizer')
  if (validation && (validation.length > 2 || validation.includes('')))
    throw new UsageError(`--validation is '${validation.join(',')}', expected one file, or two with a comma between`)
  return defined({
    ...readingOptions(options), tokenizer, maxTokens: options.count('maxTokens', 1) ?? recipe.maxTokens,
    maxLength: options.count('maxLength', 2) ?? recipe.maxLength, policy: options.word('policy', ['skip', 'truncate', 'error']),
    tokenizerKind: options.word('tokenizerKind', tokenizerKinds),
    vocabSize: options.count('vocabSize', 1) ?? (tokenizer === undefined ? recipe.vocabSize : undefined),
    validation: validation === undefined ? undefined : sourceOf(validation),
    validationSize: options.count('validationSize'), splitSeed: options.count('splitSeed'),
  })
}

/** The flags that say how parallel text is read; also of `evaluate`. */
export const readingFlags = Object.fromEntries((['format', 'columns', 'keys', 'unequal', 'empty', 'malformed'] as const).map(name => [name, dataFlags[name]!]))

export function readingOptions(options: Options): TranslationDataOptions {
  return defined({
    format: options.word('format', ['tsv', 'jsonl']), columns: columnsOf(options), keys: twoOf('keys', options),
    unequal: options.word('unequal', ['error', 'truncate']), empty: options.word('empty', ['skip', 'error']),
    malformed: options.word('malformed', ['skip', 'error']),
  })
}

function columnsOf(options: Options): Columns | undefined {
  const two = twoOf('columns', options)
  return two?.every(name => /^\d+$/.test(name)) ? [Number(two[0]), Number(two[1])] : two
}

function twoOf(name: string, options: Options): readonly [string, string] | undefined {
  const text = options.text(name)
  if (text === undefined) return undefined
  const [one, other, ...more] = text.split(',')
  if (!one || !other || more.length > 0) throw new UsageError(`--${kebab(name)} is '${text}', expected two, with a comma between`)
  return [one, other]
}

function modelOptions(options: Options): Partial<TransformerOptions> {
  const normFirst = options.has('normFirst') ? options.on('normFirst') : true
  return defined({
    normFirst, finalNorm: normFirst,
    dModel: options.count('dModel', 1) ?? recipe.dModel, layers: options.count('layers', 1) ?? recipe.layers,
    encoderLayers: options.count('encoderLayers', 1), decoderLayers: options.count('decoderLayers', 1), heads: options.count('heads', 1),
    feedForward: options.count('feedForward', 1), dropout: options.number('dropout') ?? recipe.dropout,
    activation: options.text('activation') as TransformerOptions['activation'], positions: options.word('positions', ['sinusoidal', 'learned']),
  })
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }
function defined<T extends object>(object: T): Defined<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>
}
