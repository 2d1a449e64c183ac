import { memory } from '../tensor/device.js'
import type { LogEntry } from './trainingLog.js'

/** Sums since the last log entry: small JSON, for checkpoints. */
export interface WindowState { lossSum: number, tokens: number, seconds: number, skippedSteps: number }

/** A step whose numbers are known. */
export interface FinishedStep {
  readonly step: number
  readonly epoch: number
  readonly learningRate: number
  readonly tokens: number
  readonly lossSum: number
  readonly gradNorm: number
  /** After the step, in float16. */
  readonly lossScale?: number | undefined
  /** Since the step before was finished, or the training went on after a pause. */
  readonly seconds: number
}

/** What a step weighs less than the one after it. */
const fading = 0.98

/** Gathers steps until the next log entry. */
export class LogWindow {
  private sums: WindowState = { lossSum: 0, tokens: 0, seconds: 0, skippedSteps: 0 }
  /** Of the latest steps, each older one weighing a little less. */
  private pace = { steps: 0, tokens: 0, seconds: 0 }

  /** A step whose gradient was NaN or infinite has no loss that could be added to others. */
  add({ lossSum, tokens, gradNorm, seconds }: FinishedStep): void {
    const { pace } = this
    this.pace = { steps: fading * pace.steps + 1, tokens: fading * pace.tokens + tokens, seconds: fading * pace.seconds + seconds }
    this.sums.seconds += seconds
    if (Number.isFinite(gradNorm) && Number.isFinite(lossSum)) {
      this.sums.lossSum += lossSum
      this.sums.tokens += tokens
    } else {
      this.sums.skippedSteps++
    }
  }

  get isEmpty(): boolean { return this.sums.tokens === 0 }
  /** A target token. */
  get loss(): number { return this.sums.tokens > 0 ? this.sums.lossSum / this.sums.tokens : NaN }
  /** Of late, for people who watch. */
  get recent(): { tokensPerSecond: number, secondsPerStep: number } {
    const { steps, tokens, seconds } = this.pace
    return { tokensPerSecond: tokens / seconds, secondsPerStep: seconds / steps }
  }

  /** The entry for all steps since the last one; a new window begins. Losses are a target token, in nats. */
  close({ step, epoch, learningRate, gradNorm, lossScale }: FinishedStep): LogEntry {
    const { tokens, seconds, skippedSteps } = this.sums
    const entry = {
      step, epoch, loss: this.loss, learningRate, gradNorm, tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
      memoryPeakBytes: memory().peakBytes, ...(skippedSteps > 0 ? { skippedSteps } : {}), ...(lossScale === undefined ? {} : { lossScale }),
    }
    this.sums = { lossSum: 0, tokens: 0, seconds: 0, skippedSteps: 0 }
    return entry
  }

  state(): WindowState { return { ...this.sums } }
  restore(state: WindowState): void { this.sums = { ...state } }
}
