import { ConfigError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { Adam, type AdamOptions, AdamW } from '../optim/adamW.js'
import { decayGroups, layerGroups } from '../optim/groups.js'
import type { Optimizer, ParameterGroup } from '../optim/optimizer.js'
import { SGD, type SGDOptions } from '../optim/sgd.js'
import type { MetricSchedule } from '../optim/schedules/metricSchedules.js'
import { scheduleFrom, type Schedule } from '../optim/schedules/schedule.js'
import { startsOf } from './freezing.js'
import type { TrainingSettings } from './trainingOptions.js'

export type AnyOptimizer = Optimizer<{ learningRate: number }>

const defaultLearningRate = 5e-5

/** The optimizer that the options name, over the parameters that are not frozen. @throws ConfigError */
export function optimizerFor(model: Module, s: TrainingSettings): AnyOptimizer {
  const { optim, optimArgs, weightDecay, learningRate = defaultLearningRate, layerwiseLearningRateDecay: layerDecay, unfreezeEvery } = s
  const groups = <O extends { weightDecay: number, learningRate: number, startsAt?: number }>(): ParameterGroup<O>[] => layerDecay === undefined && unfreezeEvery === undefined
    ? decayGroups<O>(model, weightDecay) : layerGroups<O>(model, { weightDecay, learningRate, startsAt: startsOf(model, unfreezeEvery), ...layerDecay === undefined ? {} : { layerDecay } })
  if (optim === 'sgd') {
    const known = { momentum: true, dampening: true, nesterov: true }, unknown = Object.keys(optimArgs).filter(name => !(name in known))
    if (unknown.length > 0)
      throw new ConfigError(`Trainer: optimArgs has the unknown ${unknown.join(', ')}. 'sgd' knows ${Object.keys(known).join(', ')}.`)
    return new SGD(groups<SGDOptions>(), { learningRate, ...optimArgs as Partial<SGDOptions> })
  }
  if (Object.keys(optimArgs).length > 0)
    throw new ConfigError("Trainer: optimArgs is for 'sgd'; the options of Adam are adamBeta1, adamBeta2 and adamEpsilon.")
  const options = { learningRate, betas: [s.adamBeta1, s.adamBeta2] as const, eps: s.adamEpsilon }
  return optim === 'adam' ? new Adam(groups<AdamOptions>(), options) : new AdamW(groups<AdamOptions>(), options)
}

/**
 * The schedule that the options name.
 * @param greaterIsBetter of the metric, for schedules that follow it
 * @throws ConfigError if it does not go with the options
 */
export function scheduleOf(model: Module, s: TrainingSettings, totalSteps: number, greaterIsBetter: boolean): Schedule | MetricSchedule {
  const { lrSchedulerType: name, lrSchedulerKwargs, warmupSteps = Math.ceil(s.warmupRatio * totalSteps) } = s
  const options: Record<string, unknown> = { totalSteps, warmupSteps, ...lrSchedulerKwargs }
  if (name === 'noam') {
    // The paper's formula has its own scale: a learning rate is a factor of it, 1 unless given.
    options['dModel'] ??= (model as { config?: { dModel?: number } }).config?.dModel
    if (s.learningRate !== undefined) options['learningRate'] = s.learningRate
  } else {
    options['learningRate'] ??= s.learningRate ?? defaultLearningRate
  }
  if (name === 'reduce_lr_on_plateau' || name === 'greedy') options['mode'] ??= greaterIsBetter ? 'max' : 'min'
  return scheduleFrom(name, options)
}
