import { ConfigError } from '../errors.js'
import { closest } from '../spelling.js'
import { amount, belowOne, count, flag, fraction, oneOf, positive, positiveCount, type Kind } from '../optim/schedules/options.js'
import { scheduleNames, type ScheduleName } from '../optim/schedules/schedule.js'
import { isLossScale } from '../optim/lossScale.js'
import type { Optimizer } from '../optim/optimizer.js'
import type { TrainerCallback } from './callbacks.js'

/** Options of `Trainer`, named as in transformers' TrainingArguments, in camelCase. The defaults are those of transformers unless said otherwise. */
export interface TrainingOptions {
  /** Folder of checkpoints, log and final model; is made. Default: nothing is written. */
  outputDir?: string | undefined
  /** Remove the checkpoints that an earlier run left in `outputDir`. Default false: such a folder is an error. */
  overwriteOutputDir?: boolean | undefined
  /** Optimizer steps. Default: as many as `numTrainEpochs` takes. */
  maxSteps?: number | undefined
  /** Passes over the data. Default 3. */
  numTrainEpochs?: number | undefined
  /** Seconds of this run, after which training ends as if it were done. Default: no limit. */
  maxTime?: number | undefined

  /** Peak of the schedule. Default 5e-5, which suits fine-tuning; models that start from nothing take 1e-4 to 1e-3. */
  learningRate?: number | undefined
  /** Default 'linear'. */
  lrSchedulerType?: ScheduleName | undefined
  /** Further options of the schedule, such as `{ minLearningRateRatio: 0.1 }`. */
  lrSchedulerKwargs?: Readonly<Record<string, unknown>> | undefined
  /** Default 0. */
  warmupSteps?: number | undefined
  /** Warm-up as a part of all steps, rounded up; `warmupSteps` wins. Default 0. */
  warmupRatio?: number | undefined
  /** 'adamw' (default), 'adam' or 'sgd'; 'adamw_torch' and 'adamw_torch_fused' mean 'adamw'. */
  optim?: OptimizerName | undefined
  /** Options of 'sgd': momentum, dampening, nesterov. */
  optimArgs?: Readonly<Record<string, number | boolean>> | undefined
  /** An optimizer that the caller has made and disposes of, instead of `optim` and its options. */
  optimizer?: Optimizer<{ learningRate: number }> | undefined
  /** Factor of the learning rate from each layer to the one below, down to the embeddings; what follows the layers has the full rate. Default 1. */
  layerwiseLearningRateDecay?: number | undefined
  /** Parameters that are not trained: regular expressions for (parts of) their names. */
  freeze?: string | readonly string[] | undefined
  /** Begin with what follows the layers, and train one layer more, from the top, after every so many steps. Default: all from the first step. */
  unfreezeEvery?: number | undefined
  /** Not applied to biases and norms. Default 0. */
  weightDecay?: number | undefined
  adamBeta1?: number | undefined
  adamBeta2?: number | undefined
  adamEpsilon?: number | undefined
  /** Global norm that gradients are clipped to; 0: no clipping. Default 1. */
  maxGradNorm?: number | undefined
  /** Batches of a step. Their losses are divided by the target tokens of all of them together. Default 1. */
  gradientAccumulationSteps?: number | undefined
  /** Default 0. */
  labelSmoothingFactor?: number | undefined
  /** Keep an average of the weights with this decay, such as 0.999; evaluation and the final model use it. Default: none. */
  emaDecay?: number | undefined

  /** Dtype of activations and matrix products; weights and optimizer stay float32. Default 'float32'. */
  precision?: 'float32' | 'bfloat16' | 'float16' | undefined
  /** The same as precision 'bfloat16'. */
  bf16?: boolean | undefined
  /** The same as precision 'float16': with a dynamic loss scale. */
  fp16?: boolean | undefined
  /** What the loss scale of float16 begins with, a power of two. It is halved by a step that overflows, which is left out. Default 4096. */
  initialLossScale?: number | undefined
  /** The loss scale doubles after so many steps in a row without an overflow. Default 2000. */
  lossScaleGrowthInterval?: number | undefined
  /** Let GPUs round the operands of float32 products to 10 bits of fraction (TF32): faster, less exact. Default: as `setFloat32MatmulPrecision` says. */
  tf32?: boolean | undefined
  /** Compute activations again in the backward pass instead of keeping them: memory for time. Default false. */
  gradientCheckpointing?: boolean | undefined
  /** What is computed again: the attention of each layer with its norm, or whole layers, which saves more and costs more. Default 'block'. */
  gradientCheckpointingLevel?: 'attention' | 'block' | undefined
  /** A gradient that is NaN or infinite is never applied. 'stop' (default): training fails with NumericsError; 'skip': it goes on without that step. */
  nanPolicy?: 'stop' | 'skip' | undefined
  /** Of dropout and of the order of the data. Default 42. */
  seed?: number | undefined

  /**
   * When to evaluate: 'steps', 'epoch', 'end' or 'no'. Whenever it is not 'no', the last step is evaluated. Default: 'steps' if `evalSteps` is given,
   * else 'end' (transformers: 'no').
   */
  evalStrategy?: 'no' | 'steps' | 'epoch' | 'end' | undefined
  evalSteps?: number | undefined
  /** Evaluate translations too: BLEU and chrF of the validation set. Default false. */
  predictWithGenerate?: boolean | undefined
  /** Default 1: greedy. */
  generationNumBeams?: number | undefined
  generationMaxLength?: number | undefined
  /** A metric of the evaluation: 'loss' (default), 'perplexity', 'bleu', 'chrf', or one of the task's own. */
  metricForBestModel?: string | undefined
  /** Default: false for loss, perplexity and error rates, else true. */
  greaterIsBetter?: boolean | undefined
  /** End with the weights of the best evaluation. Default false. */
  loadBestModelAtEnd?: boolean | undefined
  /** Stop after so many evaluations in a row without improvement. Default: never. */
  earlyStoppingPatience?: number | undefined
  /** What the metric has to improve by. Default 0. */
  earlyStoppingThreshold?: number | undefined

  /**
   * When to save a checkpoint: 'steps' (default), 'epoch', 'best' (after an evaluation that is the best yet) or 'no'. The best is also saved with
   * `loadBestModelAtEnd`, `metricForBestModel` and `earlyStoppingPatience`; the last step and an interruption are always, but for 'no', the last step.
   */
  saveStrategy?: 'no' | 'steps' | 'epoch' | 'best' | undefined
  /** Default 500. */
  saveSteps?: number | undefined
  /** Checkpoints to keep, the newest; the best one is kept besides. Default 5 (transformers: all). */
  saveTotalLimit?: number | undefined
  /** Path of a checkpoint, or true for the newest in `outputDir`, if there is one. */
  resumeFromCheckpoint?: string | boolean | undefined

  /** Steps between log entries. Default 50 (transformers: 500). */
  loggingSteps?: number | undefined
  /** JSON lines. Default `training_log.jsonl` in `outputDir`; false: none. */
  loggingFile?: string | false | undefined
  /** No progress bar, no lines. Default false: a bar on a terminal, else a line for each log entry, on standard error. */
  disableProgress?: boolean | undefined

  callbacks?: TrainerCallback | readonly TrainerCallback[] | undefined
  /** Ends training as a first Ctrl-C does: the step is finished, a checkpoint is saved, and `train()` returns. */
  signal?: AbortSignal | undefined
  /** Whether SIGINT and SIGTERM save and end the training, while it runs. Default true. */
  handleSignals?: boolean | undefined
}

export type OptimizerName = 'adamw' | 'adamw_torch' | 'adamw_torch_fused' | 'adam' | 'sgd'

const defaults = {
  overwriteOutputDir: false, numTrainEpochs: 3, lrSchedulerType: 'linear', lrSchedulerKwargs: {}, warmupRatio: 0, optim: 'adamw', optimArgs: {},
  weightDecay: 0, adamBeta1: 0.9, adamBeta2: 0.999, adamEpsilon: 1e-8, maxGradNorm: 1, gradientAccumulationSteps: 1, labelSmoothingFactor: 0,
  gradientCheckpointing: false, gradientCheckpointingLevel: 'block', initialLossScale: 4096, lossScaleGrowthInterval: 2000, nanPolicy: 'stop', seed: 42, predictWithGenerate: false, generationNumBeams: 1, loadBestModelAtEnd: false,
  earlyStoppingThreshold: 0, saveSteps: 500, saveTotalLimit: 5, resumeFromCheckpoint: false, loggingSteps: 50, disableProgress: false, callbacks: [],
  handleSignals: true,
} satisfies TrainingOptions

/** Options with their defaults, checked. */
export type TrainingSettings = Omit<Readonly<TrainingOptions>, keyof typeof defaults | 'precision' | 'evalStrategy' | 'saveStrategy'>
  & { readonly [K in keyof typeof defaults]: NonNullable<TrainingOptions[K]> }
  & { readonly [K in 'precision' | 'evalStrategy' | 'saveStrategy']: NonNullable<TrainingOptions[K]> }

const text: Kind<string> = { accepts: 'a text', test: value => typeof value === 'string' && value !== '' }
const object: Kind<object> = { accepts: 'an object', test: value => typeof value === 'object' && value !== null && !Array.isArray(value) }
const seed: Kind<number> = { accepts: 'a whole number from 0 to 2^53 - 1', test: value => Number.isSafeInteger(value) && (value as number) >= 0 }
const either = (one: Kind<unknown>, other: Kind<unknown>): Kind<unknown> =>
  ({ accepts: `${one.accepts}, or ${other.accepts}`, test: value => one.test(value) || other.test(value) })
const texts: Kind<readonly string[]> = { accepts: 'a list of texts', test: value => Array.isArray(value) && value.length > 0 && value.every(text.test) }
const off: Kind<false> = { accepts: 'false', test: value => value === false }
const abortSignal: Kind<AbortSignal> = { accepts: 'an AbortSignal', test: value => value instanceof AbortSignal }
const several: Kind<unknown> = { accepts: 'a list of objects', test: value => Array.isArray(value) && value.every(object.test) }

/** What each option accepts; also the list of known names, for command lines and configuration files. */
export const trainingOptionKinds: Readonly<Record<keyof TrainingOptions, Kind<unknown>>> = {
  outputDir: text, overwriteOutputDir: flag, maxSteps: positiveCount, numTrainEpochs: positive, maxTime: positive, learningRate: positive,
  lrSchedulerType: oneOf(...scheduleNames), lrSchedulerKwargs: object, warmupSteps: count, warmupRatio: fraction,
  optim: oneOf('adamw', 'adamw_torch', 'adamw_torch_fused', 'adam', 'sgd'), optimArgs: object, optimizer: object,
  layerwiseLearningRateDecay: either(belowOne, { accepts: '1', test: value => value === 1 }), freeze: either(text, texts), unfreezeEvery: positiveCount, weightDecay: amount,
  adamBeta1: either(belowOne, { accepts: '0', test: value => value === 0 }), adamBeta2: belowOne, adamEpsilon: positive, maxGradNorm: amount,
  gradientAccumulationSteps: positiveCount, labelSmoothingFactor: either(belowOne, { accepts: '0', test: value => value === 0 }), emaDecay: belowOne,
  precision: oneOf('float32', 'bfloat16', 'float16'), bf16: flag, fp16: flag,
  initialLossScale: { accepts: 'a power of two from 2^-14 to 2^24', test: isLossScale },
  lossScaleGrowthInterval: positiveCount, tf32: flag, gradientCheckpointing: flag, gradientCheckpointingLevel: oneOf('attention', 'block'), nanPolicy: oneOf('stop', 'skip'), seed,
  evalStrategy: oneOf('no', 'steps', 'epoch', 'end'), evalSteps: positiveCount, predictWithGenerate: flag, generationNumBeams: positiveCount,
  generationMaxLength: positiveCount, metricForBestModel: text, greaterIsBetter: flag, loadBestModelAtEnd: flag, earlyStoppingPatience: positiveCount,
  earlyStoppingThreshold: amount, saveStrategy: oneOf('no', 'steps', 'epoch', 'best'), saveSteps: positiveCount, saveTotalLimit: positiveCount,
  resumeFromCheckpoint: either(text, flag), loggingSteps: positiveCount, loggingFile: either(text, off), disableProgress: flag,
  callbacks: either(several, object), signal: abortSignal, handleSignals: flag,
}

/** Names that users of other trainers try, and where that is said here. */
const elsewhere: Readonly<Record<string, string>> = {
  perDeviceTrainBatchSize: 'batch sizes belong to the data: translationData(…, { maxTokens }) or { batchSize }',
  perDeviceEvalBatchSize: 'batch sizes belong to the data: translationData(…, { maxTokens }) or { batchSize }',
  batchSize: 'it belongs to the data: translationData(…, { batchSize })',
  maxTokens: 'it belongs to the data: translationData(…, { maxTokens })',
  maxLength: 'it belongs to the data: translationData(…, { maxLength })',
  epochs: 'write numTrainEpochs',
  steps: 'write maxSteps',
  clip: 'write maxGradNorm',
}

/** @throws ConfigError for names that are unknown, values that are out of range, and options that contradict each other */
export function checkedOptions(options: TrainingOptions): TrainingSettings {
  const problems: string[] = []
  for (const [name, value] of Object.entries(options) as [keyof TrainingOptions, unknown][]) {
    if (!Object.hasOwn(trainingOptionKinds, name)) problems.push(`unknown option ${name}${suggestion(name)}`)
    else if (value !== undefined && !trainingOptionKinds[name].test(value))
      problems.push(`${name} is ${shown(value)}, expected ${trainingOptionKinds[name].accepts}`)
  }
  if (problems.length === 0) problems.push(...contradictions(options))
  if (problems.length > 0) {
    const known = problems.some(problem => problem.startsWith('unknown')) ? `. Known are ${Object.keys(trainingOptionKinds).join(', ')}` : ''
    throw new ConfigError(`Trainer: ${problems.join('; ')}${known}.`)
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as TrainingOptions
  return {
    ...defaults, ...given,
    precision: given.precision ?? (given.bf16 ? 'bfloat16' : given.fp16 ? 'float16' : 'float32'),
    evalStrategy: given.evalStrategy ?? (given.evalSteps === undefined ? 'end' : 'steps'),
    saveStrategy: given.saveStrategy ?? 'steps',
  } as TrainingSettings
}

function* contradictions(o: TrainingOptions): Generator<string> {
  for (const [name, precision] of [['bf16', 'bfloat16'], ['fp16', 'float16']] as const)
    if (o[name] !== undefined && o.precision !== undefined && o[name] !== (o.precision === precision)) yield `${name} is ${o[name]} and precision '${o.precision}'; give one of them`
  for (const name of ['initialLossScale', 'lossScaleGrowthInterval'] as const)
    if (o[name] !== undefined && o.precision !== 'float16' && !o.fp16) yield `${name} is for precision 'float16'`
  if (o.gradientCheckpointingLevel !== undefined && !o.gradientCheckpointing) yield 'gradientCheckpointingLevel needs gradientCheckpointing: true'
  if (o.bf16 && o.fp16) yield 'bf16 and fp16 are both true; give one of them'
  if (o.evalStrategy === 'steps' && o.evalSteps === undefined) yield "evalStrategy 'steps' needs evalSteps"
  if (o.evalSteps !== undefined && o.evalStrategy !== undefined && o.evalStrategy !== 'steps')
    yield `evalSteps is given, but evalStrategy is '${o.evalStrategy}'; write evalStrategy: 'steps', or leave it out`
  for (const name of ['loadBestModelAtEnd', 'earlyStoppingPatience', 'metricForBestModel'] as const)
    if (o[name] && o.evalStrategy === 'no') yield `${name} needs evaluations, but evalStrategy is 'no'`
  if (o.earlyStoppingPatience !== undefined && o.evalSteps === undefined && o.evalStrategy !== 'epoch')
    yield "earlyStoppingPatience counts evaluations: give evalSteps, or evalStrategy: 'epoch'"
  if (o.outputDir === undefined) {
    for (const name of ['loadBestModelAtEnd', 'saveStrategy', 'saveSteps', 'saveTotalLimit', 'overwriteOutputDir'] as const)
      if (o[name] !== undefined && o[name] !== false && o[name] !== 'no') yield `${name} needs outputDir, the folder to write checkpoints into`
    if (o.resumeFromCheckpoint === true)
      yield 'resumeFromCheckpoint: true means the newest checkpoint in outputDir, which is not given; give it, or a path'
  }
  if (o.overwriteOutputDir && o.resumeFromCheckpoint) yield 'overwriteOutputDir removes what resumeFromCheckpoint needs; give one of them'
  for (const name of ['layerwiseLearningRateDecay', 'unfreezeEvery'] as const)
    if (o[name] !== undefined && o.optimizer !== undefined) yield `${name} is for optimizers that the trainer makes, but optimizer is given; make its groups with layerGroups`
  if (o.optimizer !== undefined && o.optim !== undefined) yield 'optim and optimizer are both given; give one of them'
}

function suggestion(name: string): string {
  const camel = name.replace(/[_-]+(.)/g, (_, letter: string) => letter.toUpperCase())
  const wanted = Object.hasOwn(elsewhere, camel) ? elsewhere[camel] : undefined
  if (wanted !== undefined) return ` (${wanted})`
  const close = closest(camel, Object.keys(trainingOptionKinds))
  return close === undefined ? '' : ` (do you mean ${close}?)`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  return typeof value === 'object' && value !== null ? `an ${value.constructor?.name ?? 'object'}` : String(value)
}
