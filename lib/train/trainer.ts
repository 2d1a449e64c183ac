import { ConfigError } from '../errors.js'
import { Module } from '../nn/module.js'
import { defaultDevice, withDevice } from '../tensor/device.js'
import type { Metrics, TrainingData, TrainingTask } from './task.js'
import { checkedOptions, type TrainingOptions, type TrainingSettings } from './trainingOptions.js'
import { TrainingRun, type TrainingResult } from './trainingRun.js'

export type { TrainingResult }

/**
 * Trains a model.
 *
 * ```ts
 * const data = await translationData('train.tsv')
 * const model = new Transformer({ vocabSize: data.vocabSize, dModel: 256, layers: 4 })
 * await new Trainer(model, data, { maxSteps: 4000, learningRate: 1e-3, warmupSteps: 400, outputDir: 'out' }).train()
 * ```
 *
 * The same model, data, options and machine give the same bits, also where a run was killed and resumed. The masks of dropout come from one generator, so
 * train one model at a time in a process where that matters.
 */
export class Trainer {
  private readonly settings: TrainingSettings
  private run: TrainingRun | undefined

  /**
   * @param data of `translationData`, `languageModelData`, or a task of your own
   * @throws ConfigError for options that are unknown, out of range or contradictory
   */
  constructor(readonly model: Module, private readonly data: TrainingTask | TrainingData, options: TrainingOptions = {}) {
    if (!(model instanceof Module))
      throw new ConfigError('Trainer: the first argument has to be a Module, the second its data: new Trainer(model, data, { … }).')
    const task = data as Partial<TrainingTask & TrainingData> | undefined
    if (typeof task?.taskFor !== 'function' && (!task?.batches || typeof task.loss !== 'function' || typeof task.tokens !== 'function'))
      throw new ConfigError('Trainer: the data has to be translationData(…), languageModelData(…), or a task { batches, loss(batch), tokens(batch) }.')
    this.settings = checkedOptions(options)
  }

  /**
   * Trains until the steps, the time or the patience end, or a signal comes.
   * @throws CheckpointError if something cannot be read or saved   @throws NumericsError if a gradient is not finite (nanPolicy 'stop')
   * @throws ConfigError if the options do not go with the data
   */
  async train(): Promise<TrainingResult> {
    this.run?.dispose()
    const run = this.run = new TrainingRun(this.model, this.data, this.settings)
    const result = await this.onDevice(() => run.train())
    if (!result.interrupted) this.dispose()
    return result
  }

  /** Loss, perplexity and metrics of the model as it is on the validation data. */
  async evaluate(): Promise<Metrics> {
    const run = this.run ?? new TrainingRun(this.model, this.data, { ...this.settings, disableProgress: true, handleSignals: false })
    try {
      return await this.onDevice(() => run.evaluate())
    } finally {
      if (run !== this.run) run.dispose()
    }
  }

  /** Batches are made where the model is. */
  private onDevice<T>(fn: () => T): T { return withDevice(this.model.parameters()[0]?.device ?? defaultDevice(), fn) }

  /**
   * Writes a checkpoint of a training that was interrupted or failed, so that nothing is lost where the output folder cannot be written.
   * @throws ConfigError if there is none: before `train()`, and after it has come to its end   @throws CheckpointError if the system refuses
   */
  async saveCheckpoint(directory: string): Promise<void> {
    if (!this.run)
      throw new ConfigError('saveCheckpoint: there is no unfinished training. A trained model is saved with saveModel(directory, model, tokenizer).')
    await this.run.writeTo(directory)
  }

  /** The step that an interrupted or failed training stands at, where no checkpoint has it: `saveCheckpoint` would save it. */
  get unsavedStep(): number | undefined { return this.run?.unsavedStep }

  /** Frees the optimizer's state. The model stays. */
  dispose(): void {
    this.run?.dispose()
    this.run = undefined
  }

  [Symbol.dispose](): void { this.dispose() }
}
