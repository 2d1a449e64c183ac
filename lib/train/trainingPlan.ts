import { ConfigError } from '../errors.js'
import { followsMetric } from '../optim/schedules/schedule.js'
import type { MetricSchedule } from '../optim/schedules/metricSchedules.js'
import type { Schedule } from '../optim/schedules/schedule.js'
import type { BestMetric } from './bestMetric.js'
import type { BatchSource, TrainingTask } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'

/** Optimizer steps of the whole training. @throws ConfigError if neither options nor data say */
export function totalStepsOf(settings: TrainingSettings, { batchesPerEpoch }: BatchSource<unknown>): number {
  if (settings.maxSteps !== undefined) return settings.maxSteps
  if (batchesPerEpoch === undefined) throw new ConfigError('Trainer: the data does not say how many batches an epoch has. Give maxSteps.')
  return Math.ceil(settings.numTrainEpochs * batchesPerEpoch / settings.gradientAccumulationSteps)
}

/** Whether a step is one at which something is due. */
export function isDue(
  strategy: 'no' | 'steps' | 'epoch' | 'end' | 'best', everySteps: number | undefined,
  { step, endsEpoch, isLast }: { step: number, endsEpoch: boolean, isLast: boolean },
): boolean {
  if (isLast) return strategy !== 'no'
  return strategy === 'epoch' ? endsEpoch : strategy === 'steps' && step % everySteps! === 0
}

export const isEvaluated = (task: TrainingTask): boolean => task.evaluationBatches !== undefined || task.evaluate !== undefined

/** Whether a best evaluation is worth a checkpoint of its own. */
export function savesBest({ saveStrategy, loadBestModelAtEnd, metricForBestModel, earlyStoppingPatience }: TrainingSettings): boolean {
  if (saveStrategy === 'no') return false
  return saveStrategy === 'best' || loadBestModelAtEnd || metricForBestModel !== undefined || earlyStoppingPatience !== undefined
}

/** @throws ConfigError if options need evaluations, and there is nothing to evaluate or it is switched off */
export function requireEvaluations(settings: TrainingSettings, task: TrainingTask, schedule: Schedule | MetricSchedule): void {
  const { evalStrategy, loadBestModelAtEnd, metricForBestModel, earlyStoppingPatience, saveStrategy, lrSchedulerType, predictWithGenerate } = settings
  const needs = Object.entries({
    loadBestModelAtEnd, predictWithGenerate, earlyStoppingPatience: earlyStoppingPatience !== undefined, metricForBestModel: metricForBestModel !== undefined,
    "saveStrategy 'best'": saveStrategy === 'best', [`lrSchedulerType '${lrSchedulerType}'`]: followsMetric(schedule),
    [`evalStrategy '${evalStrategy}'`]: evalStrategy === 'steps' || evalStrategy === 'epoch',
  }).find(([, needed]) => needed)?.[0]
  if (needs === undefined) return
  if (!isEvaluated(task)) {
    throw new ConfigError(`Trainer: ${needs} needs validation data, and the data has none. Give some (validation, evaluationBatches), `
      + 'or leave the option out.')
  }
  if (evalStrategy === 'no') throw new ConfigError(`Trainer: ${needs} needs evaluations, but evalStrategy is 'no'.`)
}

/** @throws ConfigError if the metric to follow is known not to come */
export function requireMetric(best: BestMetric, { evalStrategy }: TrainingSettings, task: TrainingTask): void {
  const known = task.evaluate === undefined ? [] : task.metricNames
  if (known !== undefined && isEvaluated(task) && evalStrategy !== 'no') best.requireIn([...task.evaluationBatches ? ['loss', 'perplexity'] : [], ...known])
}

const stepOptionNames = [
  'learningRate', 'lrSchedulerType', 'lrSchedulerKwargs', 'warmupSteps', 'warmupRatio', 'weightDecay', 'adamBeta1', 'adamBeta2', 'adamEpsilon', 'optimArgs',
  'maxGradNorm', 'gradientAccumulationSteps', 'labelSmoothingFactor', 'emaDecay', 'precision', 'tf32', 'lossScaleGrowthInterval', 'layerwiseLearningRateDecay', 'freeze', 'unfreezeEvery',
] as const satisfies readonly (keyof TrainingSettings)[]

/** What the steps depend on beside model, data and seed. */
export function stepOptions(settings: TrainingSettings, totalSteps: number): Record<string, unknown> {
  return { totalSteps, ...Object.fromEntries(stepOptionNames.filter(name => settings[name] !== undefined).map(name => [name, settings[name]])) }
}

/** `maxGradNorm 1 to 0.5, …`; empty if nothing differs. */
export function describeChanges(before: Readonly<Record<string, unknown>>, now: Readonly<Record<string, unknown>>): string {
  const shown = (value: unknown) => value === undefined ? 'nothing' : JSON.stringify(value)
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter(name => shown(before[name]) !== shown(now[name]))
    .map(name => `${name} ${shown(before[name])} to ${shown(now[name])}`).join(', ')
}
