import { CheckpointError, ConfigError } from '../../errors.js'

/**
 * A learning rate that follows a metric. It is called like every schedule (the step does not matter) and gives the rate of now;
 * `observe` tells it the metric, once an evaluation.
 */
export interface MetricSchedule {
  (step: number): number
  /** Takes the next value of the metric and returns the learning rate from now on. NaN and infinity count as no improvement. */
  observe(metric: number): number
  /** Everything that `restore` needs, fit for JSON. */
  state(): MetricScheduleState
  /** Goes on exactly where `state` was taken. @throws CheckpointError if it is not the state of such a schedule */
  restore(state: MetricScheduleState): void
}

/** Numbers by name, a list for a window; null where a number is not there yet (JSON has no infinity). */
export type MetricScheduleState = Readonly<Record<string, number | null | readonly number[]>>

interface Judgement { mode: 'min' | 'max', threshold: number, thresholdMode: 'rel' | 'abs' }
interface Plateau extends Judgement {
  learningRate: number, factor: number, patience: number, cooldown: number, minLearningRate: number, epsilon: number
}

/** PyTorch's ReduceLROnPlateau: after more than `patience` observations without improvement the rate is multiplied by `factor`. */
export function reduceOnPlateau(options: Plateau): MetricSchedule {
  const { patience, cooldown, factor, minLearningRate, epsilon } = options
  const now = { learningRate: options.learningRate, best: null as number | null, bad: 0, cooling: 0 }
  const observe = (metric: number) => {
    if (improves(options, metric, now.best)) { now.best = metric; now.bad = 0 } else now.bad++
    if (now.cooling > 0) { now.cooling--; now.bad = 0 }
    if (now.bad > patience) {
      now.learningRate = lowered(now.learningRate, factor, minLearningRate, epsilon)
      now.cooling = cooldown
      now.bad = 0
    }
    return now.learningRate
  }
  return Object.assign(() => now.learningRate, {
    observe,
    state: () => ({ ...now }),
    restore: (state: MetricScheduleState) => restoreInto(now, state, 'reduce_lr_on_plateau'),
  })
}

interface Greedy extends Plateau { maxLearningRate: number, warmup: number, smooth: boolean, windowSize: number, resetStart: number }

/**
 * GreedyLR (https://arxiv.org/abs/2512.14527) as in transformers: the rate is divided by `factor` after more than `patience`
 * improvements in a row, multiplied by it after as many disappointments; `cooldown` and `warmup` are the pauses after the one and
 * the other. After `resetStart` reductions at the least rate it starts afresh. `smooth` judges the mean of the last `windowSize` metrics.
 */
export function greedy(options: Greedy): MetricSchedule {
  const { learningRate, factor, patience, cooldown, warmup, minLearningRate, maxLearningRate, epsilon, smooth, windowSize, resetStart } = options
  if (minLearningRate > maxLearningRate) {
    throw new ConfigError(`schedule greedy: minLearningRate (${minLearningRate}) is above maxLearningRate (${maxLearningRate}).`)
  }
  const fresh = () => ({ learningRate, best: null as number | null, bad: 0, good: 0, cooling: 0, warming: 0, untilReset: resetStart })
  const now = { ...fresh(), window: [] as readonly number[] }

  const lower = () => {
    now.learningRate = lowered(now.learningRate, factor, minLearningRate, epsilon)
    if (now.learningRate > minLearningRate || --now.untilReset > 0) return
    Object.assign(now, fresh(), { window: [] })
  }
  const raise = () => {
    const raised = Math.min(now.learningRate / factor, maxLearningRate)
    if (raised - now.learningRate > epsilon) now.learningRate = raised
    now.untilReset = resetStart
  }
  const judge = (metric: number) => {
    if (improves(options, metric, now.best)) { now.best = metric; now.bad = 0; now.good++ } else { now.bad++; now.good = 0 }
    if (now.good > patience) {
      raise()
      now.warming = warmup
      now.good = 0
    } else if (now.bad > patience) {
      lower()
      now.cooling = cooldown
      now.bad = 0
    }
  }
  const observe = (metric: number) => {
    let judged = metric
    if (smooth && Number.isFinite(metric)) {
      now.window = [...now.window, metric].slice(-windowSize)
      judged = now.window.reduce((sum, value) => sum + value, 0) / now.window.length
    }
    if (now.cooling > 0 || now.warming > 0) {
      if (now.cooling > 0) now.cooling--
      else now.warming--
      now.bad = now.good = 0
    } else judge(judged)
    return now.learningRate
  }
  return Object.assign(() => now.learningRate, {
    observe,
    state: () => ({ ...now }),
    restore: (state: MetricScheduleState) => restoreInto(now, state, 'greedy'),
  })
}

function improves({ mode, threshold, thresholdMode }: Judgement, metric: number, best: number | null): boolean {
  if (!Number.isFinite(metric)) return false
  if (best === null) return true
  if (mode === 'min') return metric < (thresholdMode === 'rel' ? best * (1 - threshold) : best - threshold)
  return metric > (thresholdMode === 'rel' ? best * (1 + threshold) : best + threshold)
}

/** A reduction smaller than `epsilon` is not worth it and is left out. */
function lowered(learningRate: number, factor: number, least: number, epsilon: number): number {
  const reduced = Math.max(learningRate * factor, least)
  return learningRate - reduced > epsilon ? reduced : learningRate
}

function restoreInto(now: Record<string, number | null | readonly number[]>, state: MetricScheduleState, schedule: string): void {
  for (const [name, held] of Object.entries(now)) {
    const value = Object.hasOwn(state, name) ? state[name] : undefined
    const fits = Array.isArray(held)
      ? Array.isArray(value) && value.every(Number.isFinite)
      : Number.isFinite(value) || (name === 'best' && value === null)
    if (!fits) {
      throw new CheckpointError(`schedule ${schedule}: the saved state has no usable ${name}. Was it saved by another schedule?`)
    }
  }
  for (const name of Object.keys(now)) now[name] = Array.isArray(state[name]) ? [...state[name] as number[]] : state[name] as number | null
}
