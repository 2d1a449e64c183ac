import { ConfigError } from '../errors.js'
import type { Metrics } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'

/** The best evaluation so far: small JSON, for checkpoints. */
export interface BestState {
  metric: string
  /** null before the first evaluation with a finite value. */
  value: number | null
  step: number | null
  /** Evaluations since then. */
  withoutImprovement: number
}

/** Follows one metric from evaluation to evaluation: which is the best, and when patience ends. */
export class BestMetric {
  private readonly metric: string
  readonly greaterIsBetter: boolean
  private readonly threshold: number
  private readonly patience: number
  private value: number | null = null
  private bestStep: number | null = null
  private withoutImprovement = 0

  constructor({ metricForBestModel = 'loss', greaterIsBetter, earlyStoppingThreshold, earlyStoppingPatience = Infinity }: TrainingSettings) {
    const bare = metricForBestModel.replace(/^eval_?(?=[A-Za-z])/, '')
    this.metric = bare[0]!.toLowerCase() + bare.slice(1)
    this.greaterIsBetter = greaterIsBetter ?? !/loss$|perplexity$|^wer$|^cer$|^ter$|error/i.test(this.metric)
    this.threshold = earlyStoppingThreshold
    this.patience = earlyStoppingPatience
  }

  /** The best value, and the step that it is of. */
  get best(): { metric: string, value: number, step: number } | undefined {
    return this.value === null || this.bestStep === null ? undefined : { metric: this.metric, value: this.value, step: this.bestStep }
  }

  get isPatienceOver(): boolean { return this.withoutImprovement >= this.patience }

  /** The metric's value in an evaluation. @throws ConfigError if the evaluation does not have it */
  valueIn(metrics: Metrics): number {
    this.requireIn(Object.keys(metrics))
    return metrics[this.metric]!
  }

  /** @throws ConfigError if the metric is none of those that evaluations give */
  requireIn(names: readonly string[]): void {
    if (names.includes(this.metric)) return
    throw new ConfigError(`metricForBestModel is '${this.metric}', but the evaluation gives ${names.join(', ')}. Take one of these`
      + `${['bleu', 'chrf'].includes(this.metric) ? ', or say predictWithGenerate: true' : ''}.`)
  }

  /** Takes the next evaluation. NaN and infinity are no improvement. @returns whether it is the best */
  observe(metrics: Metrics, step: number): boolean {
    const value = this.valueIn(metrics), old = this.value
    const gain = old === null ? Infinity : this.greaterIsBetter ? value - old : old - value
    const improves = Number.isFinite(value) && gain > 0
    // As in transformers, patience asks for more than the threshold, while any gain makes a best model.
    if (Number.isFinite(value) && gain > this.threshold) this.withoutImprovement = 0
    else this.withoutImprovement++
    if (improves) {
      this.value = value
      this.bestStep = step
    }
    return improves
  }

  state(): BestState { return { metric: this.metric, value: this.value, step: this.bestStep, withoutImprovement: this.withoutImprovement } }

  /** Goes on from a state; one of another metric says nothing about this one. @returns whether it was of this metric */
  restore(state: BestState): boolean {
    if (state.metric !== this.metric) return false
    this.value = state.value
    this.bestStep = state.step
    this.withoutImprovement = state.withoutImprovement
    return true
  }
}
