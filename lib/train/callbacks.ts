import type { Metrics } from './task.js'
import type { LogEntry } from './trainingLog.js'
import type { TrainingResult } from './trainingRun.js'

/** Where the training stands, and the way to end it. */
export interface TrainingEvent {
  /** Optimizer steps taken, also those of the runs that this one resumes. */
  readonly step: number
  readonly totalSteps: number
  readonly epoch: number
  /** Ends the training after this step, as if it were the last one. */
  stop(): void
}

/** Functions that are called while training; they may be async, and are waited for. */
export interface TrainerCallback {
  onTrainBegin?(event: TrainingEvent): void | Promise<void>
  /** After a step has been queued. Its loss is not known yet: it comes with `onLog`. */
  onStepEnd?(event: TrainingEvent & { readonly learningRate: number, readonly tokens: number }): void | Promise<void>
  onLog?(event: TrainingEvent & { readonly entry: LogEntry }): void | Promise<void>
  onEvaluate?(event: TrainingEvent & { readonly metrics: Metrics, readonly isBest: boolean }): void | Promise<void>
  onSave?(event: TrainingEvent & { readonly checkpoint: string }): void | Promise<void>
  onTrainEnd?(event: TrainingEvent & { readonly result: TrainingResult }): void | Promise<void>
}
