import { ConfigError } from '../../errors.js'
import * as curves from './curves.js'
import { greedy, reduceOnPlateau, type MetricSchedule } from './metricSchedules.js'
import {
  amount, belowOne, count, counts, fill, flag, fraction, needed, oneOf, optional, positive, positiveCount, type Filled, type Given, type Options,
} from './options.js'

/** The learning rate of an optimizer step, counted from 0. */
export type Schedule = (step: number) => number

const learningRate = needed(positive)
const warmupSteps = optional(count, 0)
const decay = { learningRate, warmupSteps, totalSteps: needed(positiveCount) }
const minimum = { minLearningRate: optional(amount, undefined), minLearningRateRatio: optional(fraction, undefined) }
const shape = oneOf('linear', 'cosine', '1-sqrt')
const judgement = (threshold: number, thresholdMode: 'rel' | 'abs') => ({
  mode: optional(oneOf('min', 'max'), 'min' as const),
  patience: optional(count, 10),
  threshold: optional(amount, threshold),
  thresholdMode: optional(oneOf('rel', 'abs'), thresholdMode),
  cooldown: optional(count, 0),
  epsilon: optional(amount, 1e-8),
})

/** Names and options, as in transformers' `lr_scheduler_type` and PyTorch; `learningRate` is the base rate, or the peak. */
const schedules = {
  constant: define({ learningRate }, curves.constant),
  constant_with_warmup: define({ learningRate, warmupSteps }, curves.constantWithWarmup),
  linear: define(decay, curves.linear),
  cosine: define({ ...decay, numCycles: optional(positive, 0.5) }, curves.cosine),
  cosine_with_restarts: define({ ...decay, numCycles: optional(positiveCount, 1) }, curves.cosineWithRestarts),
  cosine_with_min_lr: define({ ...decay, ...minimum, numCycles: optional(positive, 0.5) }, curves.cosineWithMinimum),
  cosine_warmup_with_min_lr: define(
    { ...decay, ...minimum, numCycles: optional(positive, 0.5), warmupLearningRateRatio: optional(fraction, undefined) },
    curves.cosineWarmupWithMinimum,
  ),
  polynomial: define({ ...decay, learningRateEnd: optional(amount, 1e-7), power: optional(positive, 1) }, curves.polynomial),
  inverse_sqrt: define({ learningRate, warmupSteps, timescale: optional(positive, undefined) }, curves.inverseSqrt),
  warmup_stable_decay: define({
    learningRate, warmupSteps, decaySteps: needed(count), stableSteps: optional(count, undefined), totalSteps: optional(positiveCount, undefined),
    warmupType: optional(shape, 'linear' as const), decayType: optional(shape, 'cosine' as const),
    minLearningRateRatio: optional(fraction, 0), numCycles: optional(positive, 0.5),
  }, curves.warmupStableDecay),
  noam: define({ learningRate: optional(positive, 1), dModel: needed(positiveCount), warmupSteps: needed(positiveCount) }, curves.noam),
  one_cycle: define({
    learningRate, totalSteps: needed(positiveCount), pctStart: optional(fraction, 0.3),
    annealStrategy: optional(oneOf('cos', 'linear'), 'cos' as const),
    divFactor: optional(positive, 25), finalDivFactor: optional(positive, 1e4), threePhase: optional(flag, false),
  }, curves.oneCycle),
  step: define({ learningRate, stepSize: needed(positiveCount), gamma: optional(positive, 0.1) }, curves.step),
  multi_step: define({ learningRate, milestones: needed(counts), gamma: optional(positive, 0.1) }, curves.multiStep),
  exponential: define({ learningRate, gamma: needed(positive) }, curves.exponential),
  reduce_lr_on_plateau: define({
    learningRate, ...judgement(1e-4, 'rel'), factor: optional(belowOne, 0.1), minLearningRate: optional(amount, 0),
  }, reduceOnPlateau),
  greedy: define({
    learningRate, ...judgement(1e-6, 'abs'), factor: optional(belowOne, 0.95), minLearningRate: optional(amount, 1e-3),
    maxLearningRate: optional(positive, 1), warmup: optional(count, 0), smooth: optional(flag, false),
    windowSize: optional(positiveCount, 50), resetStart: optional(positiveCount, 500),
  }, greedy),
}

export type ScheduleName = keyof typeof schedules
/** Known to every schedule, so that a trainer need not tell them apart. */
interface OfEveryRun { readonly totalSteps?: number | undefined, readonly warmupSteps?: number | undefined }
export type ScheduleOptions<N extends ScheduleName> = Given<(typeof schedules)[N]['options']> & OfEveryRun
export type ScheduleOf<N extends ScheduleName> = ReturnType<(typeof schedules)[N]['create']>

/** The names that `schedule` knows. */
export const scheduleNames = Object.keys(schedules) as readonly ScheduleName[]

/**
 * The learning rate as a function of the step.
 *
 * @param name as in transformers (`linear`, `cosine`, `inverse_sqrt`, …), and `noam`, `one_cycle`, `step`, `multi_step`, `exponential`
 * @returns `step => learningRate`, steps counted from 0. Those that follow a metric (`reduce_lr_on_plateau`, `greedy`) have further
 * `observe(metric)`, `state()` and `restore(state)`.
 * @throws ConfigError for an unknown name, an unknown option or a value outside of its range
 */
export function schedule<N extends ScheduleName>(name: N, options: ScheduleOptions<N>): ScheduleOf<N> {
  return scheduleFrom(name, options) as ScheduleOf<N>
}

/** `schedule` for a name and options that come from a file or a command line. @throws ConfigError as `schedule` */
export function scheduleFrom(name: string, options: Readonly<Record<string, unknown>>): Schedule | MetricSchedule {
  if (!Object.hasOwn(schedules, name)) {
    throw new ConfigError(`unknown learning-rate schedule '${name}'. Known are ${scheduleNames.join(', ')}.`)
  }
  const { options: known, create } = schedules[name as ScheduleName]
  const rate = (create as (filled: Filled<Options>) => Schedule | MetricSchedule)(fill(name, known, options))
  return followsMetric(rate) ? rate : step => {
    if (!(step >= 0)) throw new ConfigError(`schedule ${name}: steps are counted from 0, asked was the rate of step ${step}.`)
    return rate(step)
  }
}

/** Whether a schedule wants to be told a metric. */
export function followsMetric(schedule: Schedule | MetricSchedule): schedule is MetricSchedule {
  return 'observe' in schedule
}

function define<S extends Options, R extends Schedule>(options: S, create: (filled: Filled<S>) => R) {
  return { options, create }
}
