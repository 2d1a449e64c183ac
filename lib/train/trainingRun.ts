import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { AbortedError, CheckpointError, ConfigError } from '../errors.js'
import type { Module } from '../nn/module.js'
import type { Checkpointing } from '../nn/recompute.js'
import { withTf32 } from '../ops/matmulPrecision.js'
import { ExponentialMovingAverage } from '../optim/ema.js'
import { LossScale } from '../optim/lossScale.js'
import type { MetricSchedule } from '../optim/schedules/metricSchedules.js'
import { followsMetric, type Schedule } from '../optim/schedules/schedule.js'
import { manualSeed } from '../tensor/random.js'
import { BestMetric } from './bestMetric.js'
import type { TrainerCallback, TrainingEvent } from './callbacks.js'
import { loadEvaluatedWeights, readCheckpoint, writeCheckpoint, type CheckpointParts, type TrainerState } from './checkpoint.js'
import { checkpointName, listedCheckpoints, removeCheckpoint } from '../io/checkpointList.js'
import { evaluate } from './evaluation.js'
import { Freezing } from './freezing.js'
import { EventLoopTurns } from '../eventLoop.js'
import { Interruption } from './interruption.js'
import { LogWindow } from './logWindow.js'
import { countSkipped } from './nonFiniteGradients.js'
import { type SavedTokenizer, saveModel } from '../hub/modelDirectory.js'
import { optimizerFor, scheduleOf, type AnyOptimizer } from './optimization.js'
import { leastBytesToSave, prepareOutputFolder } from './outputFolder.js'
import { progressFor, type Progress } from './progress.js'
import {
  epochsOf, isTrainingData, sourceOf, type BatchSource, type Metrics, type TrainingData, type TrainingTask,
} from './task.js'
import { TrainingLog, type LogEntry } from './trainingLog.js'
import type { TrainingSettings } from './trainingOptions.js'
import { describeChanges, isDue, isEvaluated, requireEvaluations, requireMetric, savesBest, stepOptions, totalStepsOf } from './trainingPlan.js'
import { queueStep, type QueuedStep, type StepParts } from './trainingStep.js'

/** How a training ended, and what came of it. */
export interface TrainingResult {
  /** Optimizer steps taken, also those of the runs that this one resumed. */
  step: number
  epoch: number
  /** Training loss a target token, in nats, of the last log entry or of the steps after it. */
  loss: number
  /** Of the last evaluation of this run. */
  metrics: Metrics | undefined
  best: { metric: string, value: number, step: number } | undefined
  /** Why it ended: all steps are taken, patience is over, time is over, a callback asked, or a signal came. */
  stopReason: 'maxSteps' | 'earlyStopping' | 'maxTime' | 'callback' | 'interrupted'
  /** Whether a signal (SIGINT, SIGTERM, the caller's) ended it: it can be resumed. */
  interrupted: boolean
  signal: 'SIGINT' | 'SIGTERM' | undefined
  /** The newest checkpoint of this run, and the best one. */
  checkpoint: string | undefined
  bestCheckpoint: string | undefined
  /** The checkpoint that this run began with. */
  resumedFrom: string | undefined
  /** Target tokens, and seconds of computing without evaluations and saving, of all runs. */
  tokens: number
  seconds: number
  /** Steps left out because their gradient was NaN or infinite. */
  skippedSteps: number
}

/** What a program can do where a checkpoint could not be saved. */
export const stillInMemory = '; this step is still in memory: trainer.saveCheckpoint(folder) saves it elsewhere'

/** One training from its beginning, or from a checkpoint, to its end. */
export class TrainingRun implements StepParts, CheckpointParts {
  readonly task: TrainingTask
  readonly batches: BatchSource<unknown>
  private readonly totalSteps: number
  private readonly freezing: Freezing
  readonly optimizer: AnyOptimizer
  private readonly schedule: Schedule | MetricSchedule
  readonly ema: ExponentialMovingAverage | undefined
  readonly lossScale: LossScale | undefined
  private readonly best: BestMetric
  private readonly interruption: Interruption
  private readonly progress: Progress
  private readonly callbacks: readonly TrainerCallback[]
  private readonly window = new LogWindow()
  private readonly turns = new EventLoopTurns()
  private log: TrainingLog | undefined
  private logFailed = false
  private queued: (QueuedStep & { step: number, epoch: number, learningRate: number })[] = []

  private step = 0
  /** False after a failure within a step: what is in memory belongs to no step then. */
  private isWhole = true
  private microStep = 0
  private totals = { tokens: 0, seconds: 0, skippedSteps: 0, skippedInARow: 0 }
  private lastLoss = NaN
  private metrics: Metrics | undefined
  private evaluatedStep: number | null = null
  /** An evaluation of this step was cut short. */
  private evaluationDue = false
  private savedStep: number | undefined
  private bestCheckpoint: string | undefined
  private resumedFrom: string | undefined
  private stopReason: TrainingResult['stopReason'] | undefined
  private began = 0
  private lastFinished = 0

  constructor(readonly model: Module, data: TrainingTask | TrainingData, private readonly settings: TrainingSettings) {
    this.task = isTrainingData(data) ? data.taskFor(model, settings) : data
    this.batches = sourceOf(this.task.batches)
    this.totalSteps = totalStepsOf(settings, this.batches)
    this.best = new BestMetric(settings)
    if (settings.gradientCheckpointing && !('activationCheckpointing' in model)) {
      throw new ConfigError('Trainer: gradientCheckpointing needs a model with the property activationCheckpointing; '
        + `${model.constructor.name} has none.`)
    }
    if (settings.predictWithGenerate && !isTrainingData(data))
      throw new ConfigError('Trainer: predictWithGenerate is for translationData(…); a task of your own computes its metrics in evaluate().')
    this.schedule = scheduleOf(model, settings, this.totalSteps, this.best.greaterIsBetter)
    requireEvaluations(settings, this.task, this.schedule)
    requireMetric(this.best, settings, this.task)
    this.freezing = new Freezing(model, settings)
    this.optimizer = settings.optimizer ?? optimizerFor(model, settings)
    this.ema = settings.emaDecay === undefined ? undefined : new ExponentialMovingAverage(model, settings.emaDecay)
    const { initialLossScale: initialScale, lossScaleGrowthInterval: growthInterval } = settings, device = model.parameters()[0]?.device
    this.lossScale = settings.precision === 'float16' ? new LossScale({ initialScale, growthInterval, device }) : undefined
    this.progress = progressFor(settings.disableProgress)
    this.interruption = new Interruption(settings.handleSignals, settings.signal, line => { this.progress.notice(line) })
    this.callbacks = 'length' in settings.callbacks ? settings.callbacks : [settings.callbacks]
  }

  async train(): Promise<TrainingResult> {
    const { settings, model } = this
    manualSeed(settings.seed)
    const checkpointing = model as { activationCheckpointing?: Checkpointing }
    this.interruption.begin()
    try {
      await this.prepare()
      if (settings.gradientCheckpointing) checkpointing.activationCheckpointing = settings.gradientCheckpointingLevel
      model.train()
      this.progress.begin(this.step, this.totalSteps)
      await this.tell('onTrainBegin', {})
      await this.takeSteps()
      const result = await this.finish()
      await this.tell('onTrainEnd', { result })
      return result
    } finally {
      // An error leaves what is queued behind it without a reader.
      await Promise.allSettled(this.queued.map(({ values }) => values))
      this.queued = []
      model.zeroGrad()
      if (settings.gradientCheckpointing) checkpointing.activationCheckpointing = false
      this.progress.end()
      this.interruption.end()
    }
  }

  /** Writes a checkpoint of where the training stands. @throws CheckpointError */
  async writeTo(directory: string): Promise<void> {
    await this.drain()
    if (this.best.best?.step === this.step) this.bestCheckpoint = directory
    await writeCheckpoint(directory, this, this.state())
  }

  /** Loss and metrics of the model as it is, with the averages in place where there are some. */
  async evaluate(): Promise<Metrics> {
    this.ema?.swap()
    try {
      return await withTf32(this.settings.tf32, () => evaluate(this.model, this.task, this.settings.precision, this.interruption.signal))
    } finally {
      this.ema?.swap()
    }
  }

  /** The step that the training stands at, where no checkpoint has it. */
  get unsavedStep(): number | undefined { return this.isWhole && this.step > 0 && this.savedStep !== this.step ? this.step : undefined }

  /** Frees optimizer state and averages. */
  dispose(): void {
    this.freezing.restore()
    if (this.optimizer !== this.settings.optimizer) this.optimizer.dispose()
    this.ema?.dispose()
    this.lossScale?.dispose()
  }

  get tokenizer(): SavedTokenizer | undefined { return this.task.tokenizer }
  private get epoch(): number { return epochsOf(this.batches) }

  /** Folder, log, and the checkpoint to resume from. */
  private async prepare(): Promise<void> {
    const { outputDir, resumeFromCheckpoint, overwriteOutputDir, loggingFile } = this.settings
    if (outputDir !== undefined) {
      await prepareOutputFolder(outputDir, { replace: overwriteOutputDir, resumes: resumeFromCheckpoint !== false, room: leastBytesToSave(this.model, this.settings) })
    }
    const from = resumeFromCheckpoint === true ? (await listedCheckpoints(outputDir!)).at(-1)?.path : resumeFromCheckpoint || undefined
    let position = 0
    if (from !== undefined) position = await this.resume(from)
    else if (resumeFromCheckpoint) this.progress.notice(`${outputDir} has no checkpoint yet: training begins at step 0.`)
    const path = loggingFile === false ? undefined : loggingFile ?? (outputDir === undefined ? undefined : join(outputDir, 'training_log.jsonl'))
    if (path !== undefined) this.log = await TrainingLog.open(path, position)
  }

  private async resume(from: string): Promise<number> {
    const state = await readCheckpoint(from, this), { outputDir, seed } = this.settings
    if (state.seed !== seed) {
      throw new CheckpointError(`${from} was saved with seed ${state.seed}, this training has seed ${seed}. `
        + 'Use the same seed: masks and order of the data depend on it.')
    }
    this.batches.restore(state.data)
    if (followsMetric(this.schedule) && state.schedule) this.schedule.restore(state.schedule)
    if (this.best.restore(state.best) && state.bestCheckpoint !== null) {
      for (const folder of [outputDir, dirname(from)]) {
        const path = join(folder ?? '.', state.bestCheckpoint)
        if (this.bestCheckpoint === undefined && await stat(path).then(() => true, () => false)) this.bestCheckpoint = path
      }
    }
    if (state.lossScale) this.lossScale?.restore(state.lossScale)
    this.window.restore(state.log.window)
    this.step = state.step
    this.microStep = state.microStep
    this.totals = { ...state.totals }
    this.evaluatedStep = state.evaluatedStep
    this.evaluationDue = state.evaluationDue
    this.resumedFrom = from
    this.savedStep = outputDir !== undefined && resolve(outputDir, checkpointName(state.step)) === resolve(from) ? state.step : undefined
    const changes = describeChanges(state.options, stepOptions(this.settings, this.totalSteps))
    this.progress.notice(`Resuming from ${from}, step ${state.step}.${changes ? ` Changed since: ${changes}.` : ''}`)
    return state.log.position
  }

  private async takeSteps(): Promise<void> {
    const { outputDir, saveStrategy, saveSteps, evalStrategy, evalSteps } = this.settings
    this.began = this.lastFinished = performance.now()
    if (this.evaluationDue && !this.interruption.reason) {
      await this.evaluateStep()
      if (!this.evaluationDue && outputDir !== undefined) await this.save()
    }
    while (this.step < this.totalSteps && !this.endsNow()) {
      const epoch = Math.floor(this.epoch)
      await this.takeStep()
      const now = { step: this.step, endsEpoch: Math.floor(this.epoch) > epoch, isLast: this.step === this.totalSteps }
      const isBest = isEvaluated(this.task) && isDue(evalStrategy, evalSteps, now) ? await this.evaluateStep() : false
      if (outputDir !== undefined && (isDue(saveStrategy, saveSteps, now) || (isBest && savesBest(this.settings)))) await this.save()
    }
  }

  private endsNow(): boolean {
    const { maxTime = Infinity } = this.settings
    if (this.interruption.reason) this.stopReason = 'interrupted'
    else if (performance.now() - this.began >= 1000 * maxTime) this.stopReason ??= 'maxTime'
    return this.stopReason !== undefined
  }

  /** Queues a step, and waits for the one before the previous: the device always has work, and the event loop gets its turn. */
  private async takeStep(): Promise<void> {
    const learningRate = this.schedule(this.step)
    this.isWhole = false
    this.freezing.apply(this.step)
    const queued = queueStep(this, this.settings, this.microStep, learningRate)
    queued.values.catch(() => undefined)   // told when its turn comes
    this.step++
    this.microStep += this.settings.gradientAccumulationSteps
    this.queued.push({ ...queued, step: this.step, epoch: this.epoch, learningRate })
    this.isWhole = true
    await this.tell('onStepEnd', { learningRate, tokens: queued.tokens })
    if (this.queued.length > 2) await this.finishStep()
    await this.turns.giveIfDue()
  }

  private async drain(): Promise<void> {
    while (this.queued.length > 0) await this.finishStep()
  }

  /** Waits for the oldest queued step and takes its numbers. @throws NumericsError where the policy is to stop */
  private async finishStep(): Promise<void> {
    const { values, ...queued } = this.queued.shift()!
    this.isWhole = false
    const of = await values, { lossSum } = of, now = performance.now()
    const finished = { ...queued, ...of, seconds: (now - this.lastFinished) / 1000 }
    this.lastFinished = now
    this.window.add(finished)
    this.totals.seconds += finished.seconds
    this.totals.tokens += finished.tokens
    countSkipped(this.totals, finished, this.settings, this.savedStep)
    this.isWhole = true
    this.progress.step(finished.step, { loss: lossSum / Math.max(1, finished.tokens), ...this.window.recent })
    if (finished.step % this.settings.loggingSteps !== 0 && finished.step !== this.totalSteps) return
    this.lastLoss = this.window.loss
    await this.record({ ...this.window.close(finished), seconds: this.totals.seconds, totalTokens: this.totals.tokens })
  }

  /** Evaluates the step. @returns whether it is the best yet; false also where an interruption came between */
  private async evaluateStep(): Promise<boolean> {
    await this.drain()
    this.evaluationDue = true
    const began = performance.now()
    let metrics: Metrics
    try {
      metrics = await this.evaluate()
    } catch (error) {
      if (error instanceof AbortedError && this.interruption.reason) return false
      throw error
    }
    const isBest = this.best.observe(metrics, this.step)
    this.metrics = metrics
    this.evaluatedStep = this.step
    this.evaluationDue = false
    if (followsMetric(this.schedule)) this.schedule.observe(this.best.valueIn(metrics))
    const named = Object.entries(metrics).map(([name, value]) => [`eval${name[0]!.toUpperCase()}${name.slice(1)}`, value] as const)
    const seconds = (performance.now() - began) / 1000
    await this.record({ step: this.step, epoch: this.epoch, ...Object.fromEntries(named), evalSeconds: seconds })
    await this.tell('onEvaluate', { metrics, isBest })
    if (this.best.isPatienceOver) this.stopReason ??= 'earlyStopping'
    this.lastFinished = performance.now()
    return isBest
  }

  private async save(): Promise<void> {
    const directory = join(this.settings.outputDir!, checkpointName(this.step))
    try {
      await this.writeTo(directory)
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      const [last] = (await listedCheckpoints(this.settings.outputDir!).catch(() => [])).reverse()
      throw new CheckpointError(`the checkpoint of step ${this.step} could not be saved: ${error.message} `
        + `${last ? `The last good one is ${last.path}` : 'There is no earlier one'}${stillInMemory}.`, { cause: error })
    }
    this.savedStep = this.step
    await this.removeOld()
    await this.tell('onSave', { checkpoint: directory })
    this.lastFinished = performance.now()
  }

  /** All but the newest checkpoints, and the best. What cannot be removed does not end a training. */
  private async removeOld(): Promise<void> {
    const { outputDir, saveTotalLimit } = this.settings
    try {
      const old = (await listedCheckpoints(outputDir!)).slice(0, -saveTotalLimit)
      const best = this.bestCheckpoint === undefined ? undefined : resolve(this.bestCheckpoint)
      for (const { path } of old) if (resolve(path) !== best) await removeCheckpoint(path)
    } catch (error) {
      this.progress.notice(`An old checkpoint stays: ${(error as Error).message}`)
    }
  }

  /** Evaluates and saves what is not yet, and leaves the model as it is to be used. */
  private async finish(): Promise<TrainingResult> {
    const { outputDir, saveStrategy, evalStrategy } = this.settings
    await this.drain()
    const unevaluated = isEvaluated(this.task) && evalStrategy !== 'no' && this.evaluatedStep !== this.step && this.step > 0
    if (unevaluated && !this.interruption.reason) await this.evaluateStep()
    const interrupted = this.interruption.reason !== undefined, unsaved = this.savedStep !== this.step || (unevaluated && !interrupted)
    if (outputDir !== undefined && unsaved && this.step > 0 && (interrupted || saveStrategy !== 'no')) await this.save()
    if (!interrupted) {
      const undo = await this.takeFinalWeights()
      if (outputDir !== undefined) await this.saveFinal(outputDir).catch((error: unknown) => { undo(); throw error })
    }
    const { step, epoch, metrics, bestCheckpoint, resumedFrom, savedStep, totals: { tokens, seconds, skippedSteps } } = this
    const { reason } = this.interruption
    return {
      step, epoch, loss: this.window.isEmpty ? this.lastLoss : this.window.loss, metrics, best: this.best.best,
      stopReason: interrupted ? 'interrupted' : this.stopReason ?? 'maxSteps', interrupted, signal: reason === 'abort' ? undefined : reason,
      checkpoint: savedStep === undefined || outputDir === undefined ? undefined : join(outputDir, checkpointName(savedStep)), bestCheckpoint, resumedFrom,
      tokens, seconds, skippedSteps,
    }
  }

  /** The best, the averages, or the last. @returns what puts back those of the last step, where they are kept */
  private async takeFinalWeights(): Promise<() => void> {
    const best = this.settings.loadBestModelAtEnd ? this.bestCheckpoint : undefined
    if (best !== undefined) await loadEvaluatedWeights(best, this.model, this.ema !== undefined)
    else this.ema?.swap()
    return () => { if (best === undefined) this.ema?.swap() }
  }

  private async saveFinal(outputDir: string): Promise<void> {
    try {
      await saveModel(outputDir, this.model, this.task.tokenizer)
    } catch (error) {
      if (!(error instanceof CheckpointError) || this.savedStep === undefined) throw error
      throw new CheckpointError(`the training is complete, but its model could not be saved: ${error.message} Everything is in `
        + `${join(outputDir, checkpointName(this.savedStep))}: resumeFromCheckpoint: true takes no more steps and saves the model.`, { cause: error })
    }
  }

  private async record(entry: LogEntry): Promise<void> {
    this.progress.entry(entry)
    try {
      await this.log?.append(entry)
    } catch (error) {
      // Hours of computing are worth more than a line of the log.
      if (!this.logFailed) this.progress.notice(`The log misses lines, the training goes on: ${(error as Error).message}`)
      this.logFailed = true
    }
    await this.tell('onLog', { entry })
  }

  private async tell<K extends keyof TrainerCallback>(
    name: K, more: Omit<Parameters<NonNullable<TrainerCallback[K]>>[0], keyof TrainingEvent>,
  ): Promise<void> {
    const event = { step: this.step, totalSteps: this.totalSteps, epoch: this.epoch, stop: () => { this.stopReason ??= 'callback' }, ...more }
    for (const callback of this.callbacks) await (callback[name] as ((event: object) => void | Promise<void>) | undefined)?.call(callback, event)
  }

  private state(): TrainerState {
    return {
      format: 1, versions: { warpweft: version, node: process.versions.node },
      step: this.step, microStep: this.microStep, epoch: this.epoch, seed: this.settings.seed,
      optimizer: { name: this.optimizer.constructor.name, step: this.optimizer.stepCount }, lossScale: this.lossScale?.valuesSync() ?? null, data: this.batches.state(),
      schedule: followsMetric(this.schedule) ? this.schedule.state() : null, best: this.best.state(),
      bestCheckpoint: this.bestCheckpoint === undefined ? null : basename(this.bestCheckpoint),
      evaluatedStep: this.evaluatedStep, evaluationDue: this.evaluationDue,
      log: { window: this.window.state(), position: this.log?.position ?? 0 }, totals: this.totals, options: stepOptions(this.settings, this.totalSteps),
    }
  }
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
