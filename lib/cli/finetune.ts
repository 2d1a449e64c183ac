import type { ChatMessage } from '../data/collators/causal.js'
import type { RecordFormat } from '../data/records.js'
import { ConfigError } from '../errors.js'
import { loadModel } from '../hub/modelDirectory.js'
import { resolveModel } from '../hub/resolveModel.js'
import type { Task } from '../models/pretrained.js'
import type { Module } from '../nn/module.js'
import { flag } from '../optim/schedules/options.js'
import { getPeftModel } from '../peft/peftModel.js'
import type { PeftOptions } from '../peft/config.js'
import { quantizeWeights } from '../peft/quantizeWeights.js'
import { type FineTuningDataOptions, fineTuningData, type FineTuningTask, fineTuningTasks } from '../train/fineTuningData.js'
import { Trainer } from '../train/trainer.js'
import { trainingOptionKinds, type TrainingOptions } from '../train/trainingOptions.js'
import { type Command, type Flag, kebab, type Options, UsageError } from './arguments.js'
import { atWork } from './atWork.js'
import { type Recipe, readRecipe } from './recipe.js'
import { exitCodeOf } from './train.js'
import { trained } from './trained.js'

/** Which head a model needs for a task. */
const heads: Readonly<Record<FineTuningTask, Task>> = {
  'causal': 'causal-lm', 'masked': 'masked-lm', 'seq2seq': 'seq2seq-lm', 'span-corruption': 'seq2seq-lm', 'denoising': 'seq2seq-lm', 'classification': 'sequence-classification',
  'question-answering': 'question-answering', 'token-classification': 'token-classification',
}
const taskTypes: Readonly<Partial<Record<Task, string>>> = {
  'causal-lm': 'CAUSAL_LM', 'seq2seq-lm': 'SEQ_2_SEQ_LM', 'sequence-classification': 'SEQ_CLS', 'token-classification': 'TOKEN_CLS', 'question-answering': 'QUESTION_ANS',
}

const dataFlags = {
  task: { value: 'TASK', about: `${fineTuningTasks.join(', ')} (default causal)` },
  format: { value: 'jsonl|csv|tsv|parquet', about: 'of the data; default: by its name' },
  validation: { value: 'FILE', about: 'rows for validation; default: some are held out' },
  validationSplit: { value: 'P', about: 'share of the rows that is held out (default 0.1)' },
  splitSeed: { value: 'N', about: 'which rows are held out (default 0)' },
  batchSize: { value: 'N', about: 'examples of a batch (default 8)' },
  maxLength: { value: 'N', about: 'longest example in tokens (default 512)' },
  packing: { about: 'causal: several examples in a row' },
  wholeWord: { about: 'masked: whole words' },
  stride: { value: 'N', about: 'question-answering: tokens that windows have in common' },
  labels: { value: 'A,B,…', about: 'names of classes in the order of their numbers' },
  keys: { value: 'JSON', about: 'keys of rows that are called otherwise: {"text": "body"}' },
  chatTemplate: { value: 'chatml', about: 'how rows with messages are written' },
} as const satisfies Record<string, Flag>

const modelFlags = {
  recipe: { value: 'FILE', about: 'YAML with these names in camelCase, and model and data; flags go before it' },
  adapter: { value: 'JSON|KIND', about: 'lora, ia3, …, or as adapter_config.json has it: {"peft_type": "LORA", "r": 16}; default: all weights are trained' },
  quantize: { value: 'int8|nf4', about: 'the base in few bits, for an adapter' },
} as const satisfies Record<string, Flag>

const unavailable = new Set(['optimizer', 'callbacks', 'signal', 'handleSignals', 'bf16', 'fp16', 'loggingFile', 'predictWithGenerate', 'generationNumBeams', 'generationMaxLength'])
const trainerNames = (Object.keys(trainingOptionKinds) as (keyof TrainingOptions)[]).filter(name => !unavailable.has(name))
const trainerFlags: Record<string, Flag> = Object.fromEntries(trainerNames.map(name => {
  const kind = trainingOptionKinds[name]
  return [name, kind === flag ? { about: '' } : { value: 'VALUE', about: name === 'outputDir' ? 'where checkpoints, log and the model or its adapter go (needed)' : kind.accepts }]
}))
const flags: Record<string, Flag> = { ...modelFlags, ...dataFlags, ...trainerFlags }

export const finetune: Command = {
  about: 'trains a model, or an adapter for it, on your own data',
  usage: 'finetune MODEL DATA --output-dir FOLDER [options]   or   finetune --recipe FILE [options]',
  operands: [0, 2],
  flags,
  async run([model, data], options) {
    const path = options.text('recipe'), recipe = path === undefined ? {} : await readRecipe(path, ['model', 'data', ...Object.keys(flags).filter(name => name !== 'recipe')])
    const said = settingsOf(recipe, options), directory = model ?? textIn(recipe, 'model'), file = data ?? textIn(recipe, 'data')
    const { outputDir } = said.training
    if (directory === undefined || file === undefined) throw new UsageError('say what is trained and on what: finetune MODEL DATA, or model and data in the recipe')
    if (outputDir === undefined) throw new UsageError('--output-dir is missing: say which folder the result goes to')
    if (said.quantize !== undefined && said.adapter === undefined) throw new UsageError('--quantize is for an adapter: the weights themselves are not trained then. Say which with --adapter lora')

    const folder = await resolveModel(directory), task = said.data.task ?? 'causal', head = heads[task]
    atWork('reading the data')
    const rows = await fineTuningData(file, { ...said.data, tokenizer: folder })
    console.error(rows.summary)
    const labels = head === 'sequence-classification' || head === 'token-classification' ? labelConfig(rows.labels) : {}
    const loaded = await loadModel(folder, { task: head, config: labels })
    if (loaded.drawn.length > 0) console.error(`Not in ${directory}, and drawn: ${loaded.drawn.join(', ')}`)
    using base = loaded.model
    if (said.quantize !== undefined) quantizeWeights(base, { to: said.quantize })
    const subject: Module = said.adapter === undefined ? base : getPeftModel(base, adapterOf(said.adapter, directory, taskTypes[head]))
    const trainable = subject.parameters().reduce((n, p) => n + (p.requiresGrad ? p.size : 0), 0)
    console.error(`${base.constructor.name}: ${trainable.toLocaleString('en')} of ${subject.parameterCount.toLocaleString('en')} parameters are trained`)
    const result = await trained(new Trainer(subject, rows, said.training), outputDir)
    if (result.interrupted) {
      console.error(`Stopped after step ${result.step}. Go on with the same command and --resume-from-checkpoint true.`)
      return exitCodeOf(result)
    }
    const metrics = Object.entries(result.metrics ?? {}).map(([name, value]) => `${name} ${value.toFixed(3)}`).join(', ')
    console.error(`${result.step.toLocaleString('en')} steps in ${result.seconds.toFixed(0)} s${metrics ? `; validation: ${metrics}` : ''}`)
    console.error(said.adapter === undefined ? `The model is in ${outputDir}.` : `The adapter is in ${outputDir}. A model of its own: warpweft merge ${outputDir} FOLDER`)
    return 0
  },
}

interface Said { data: Omit<FineTuningDataOptions, 'tokenizer'>, training: TrainingOptions, adapter: unknown, quantize: 'int8' | 'nf4' | undefined }

/** What the recipe says, with the flags before it. Values are checked where they are used. */
function settingsOf(recipe: Recipe, options: Options): Said {
  const value = (name: string): unknown => options.has(name) ? given(name, options) : recipe[name] ?? undefined
  const all = (names: readonly string[]): Record<string, unknown> => Object.fromEntries(names.map((name): [string, unknown] => [name, value(name)]).filter(([, v]) => v !== undefined))
  const { chatTemplate, labels, ...data } = all(Object.keys(dataFlags)), quantize = value('quantize')
  if (quantize !== undefined && quantize !== 'int8' && quantize !== 'nf4') throw new ConfigError(`quantize is ${JSON.stringify(quantize)}, expected int8 or nf4`)
  if (chatTemplate !== undefined && chatTemplate !== 'chatml') throw new ConfigError(`chatTemplate is ${JSON.stringify(chatTemplate)}, expected chatml`)
  return {
    data: {
      ...data as { format?: RecordFormat }, ...labels === undefined ? {} : { labels: typeof labels === 'string' ? labels.split(',') : labels as string[] },
      ...chatTemplate === undefined ? {} : { chatTemplate: chatml },
    },
    training: all(trainerNames), adapter: value('adapter'), quantize,
  }
}

/** A flag's value as the option takes it: a number, JSON, a truth value, or the text itself. */
function given(name: string, options: Options): unknown {
  if (flags[name]!.value === undefined) return options.on(name)
  const text = options.text(name)!, kind = Object.hasOwn(trainingOptionKinds, name) ? trainingOptionKinds[name as keyof TrainingOptions] : undefined
  const readings = [...text.trim() === '' ? [] : [Number(text)].filter(Number.isFinite), ...text === 'true' ? [true] : text === 'false' ? [false] : [], json(text), text].filter(reading => reading !== undefined)
  const found = kind ? readings.find(reading => kind.test(reading)) : readings[0]
  if (found === undefined) throw new UsageError(`--${kebab(name)} is '${text}', expected ${kind!.accepts}`)
  return found
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function textIn(recipe: Recipe, name: string): string | undefined {
  const value = recipe[name]
  if (value !== undefined && typeof value !== 'string') throw new ConfigError(`the recipe's ${name} is ${JSON.stringify(value)}, expected a path`)
  return value
}

/** `lora` or the keys of adapter_config.json. */
function adapterOf(adapter: unknown, base: string, taskType: string | undefined): PeftOptions {
  const own = typeof adapter === 'string' ? { peft_type: adapter.toUpperCase().replaceAll('-', '_') } : adapter
  if (typeof own !== 'object' || own === null) throw new ConfigError(`adapter is ${JSON.stringify(adapter)}, expected a kind or the keys of adapter_config.json`)
  return { base_model_name_or_path: base, ...taskType === undefined ? {} : { task_type: taskType }, ...own } as PeftOptions
}

function labelConfig(names: readonly string[] | undefined): Record<string, unknown> {
  if (!names) return { num_labels: 1 }
  return { num_labels: names.length, id2label: Object.fromEntries(names.map((name, i) => [String(i), name])), label2id: Object.fromEntries(names.map((name, i) => [name, i])) }
}

/** ChatML, as Qwen and others write conversations. */
const chatml = (messages: readonly ChatMessage[], { addGenerationPrompt }: { addGenerationPrompt: boolean }): string =>
  messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`).join('') + (addGenerationPrompt ? '<|im_start|>assistant\n' : '')
