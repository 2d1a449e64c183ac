import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CheckpointError } from '../errors.js'
import { atomicDirectory } from '../io/atomicDirectory.js'
import { writeJsonAtomic } from '../io/atomicFile.js'
import { ioError, systemCode } from '../io/ioError.js'
import { openSafetensors } from '../io/safetensorsShards.js'
import { writeSafetensors } from '../io/safetensorsWriter.js'
import type { Module } from '../nn/module.js'
import type { ExponentialMovingAverage } from '../optim/ema.js'
import type { LossScaleState } from '../optim/lossScale.js'
import type { MetricScheduleState } from '../optim/schedules/metricSchedules.js'
import type { BestState } from './bestMetric.js'
import { listedCheckpoints } from '../io/checkpointList.js'
import type { WindowState } from './logWindow.js'
import { type SavedTokenizer, savesItself, writeModel } from '../hub/modelDirectory.js'
import type { AnyOptimizer } from './optimization.js'
import { allValues, loadParameters, tensorsToSave } from '../hub/weights.js'

/** `trainer_state.json`: all of a training's state that is not a tensor. */
export interface TrainerState {
  format: 1
  /** Versions of warpweft and Node that wrote it. */
  versions: Readonly<Record<string, string>>
  /** Optimizer steps taken. */
  step: number
  /** Batches taken: the number of the next one keys its dropout masks. */
  microStep: number
  epoch: number
  seed: number
  optimizer: { name: string, step: number }
  /** Of float16; earlier versions have none. */
  lossScale?: LossScaleState | null
  /** Position of the training batches. */
  data: unknown
  /** Of schedules that follow a metric. */
  schedule: MetricScheduleState | null
  best: BestState
  /** Name of the folder of the best checkpoint. */
  bestCheckpoint: string | null
  /** The step that was last evaluated. */
  evaluatedStep: number | null
  /** Whether the evaluation of this step was cut short, and comes first. */
  evaluationDue: boolean
  /** What has happened since the last log entry, and the length of the log file in bytes. */
  log: { window: WindowState, position: number }
  totals: { tokens: number, seconds: number, skippedSteps: number, skippedInARow: number }
  /** The options that the steps depend on, to tell what was changed. */
  options: Readonly<Record<string, unknown>>
}

/** What a checkpoint is made of. */
export interface CheckpointParts {
  readonly model: Module
  readonly optimizer: AnyOptimizer
  readonly ema: ExponentialMovingAverage | undefined
  readonly tokenizer: SavedTokenizer | undefined
}

/**
 * Writes a checkpoint, whole or not at all: a model directory (weights in float32) with optimizer.safetensors, ema.safetensors and trainer_state.json.
 * @throws CheckpointError if the system refuses; what was there before is as it was
 */
export async function writeCheckpoint(directory: string, { model, optimizer, ema, tokenizer }: CheckpointParts, state: TrainerState): Promise<void> {
  await atomicDirectory(directory, async folder => {
    await writeModel(folder, model, tokenizer, { dtype: 'float32' })
    await writeSafetensors(join(folder, 'optimizer.safetensors'), tensorsToSave(optimizer.stateDict().tensors))
    if (ema) await writeSafetensors(join(folder, 'ema.safetensors'), tensorsToSave(ema.stateDict()))
    await writeJsonAtomic(join(folder, 'trainer_state.json'), state)
  })
}

/**
 * Reads a checkpoint into model, optimizer and averages.
 * @throws CheckpointError if it is missing, damaged, or of another model or optimizer
 */
export async function readCheckpoint(directory: string, { model, optimizer, ema }: CheckpointParts): Promise<TrainerState> {
  const state = await readState(directory), name = optimizer.constructor.name
  if (state.optimizer.name !== name) {
    throw new CheckpointError(`${directory} was saved with the optimizer ${state.optimizer.name}, this training uses ${name}. `
      + 'Use the same, or load its weights with loadModel and start anew.')
  }
  try {
    await readWeights(directory, model)
    optimizer.loadStateDict({ step: state.optimizer.step, tensors: await valuesIn(directory, 'optimizer') })
    if (ema) ema.loadStateDict(await averagesIn(directory))
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    const earlier = (await listedCheckpoints(dirname(directory))).filter(other => other.step < state.step).at(-1)
    throw new CheckpointError(`cannot resume from ${directory}: ${error.message}${earlier ? ` An earlier checkpoint is ${earlier.path}.` : ''}`, { cause: error })
  }
  return state
}

/** The weights of a checkpoint that are evaluated: the averages where there are some. */
export function loadEvaluatedWeights(directory: string, model: Module, averaged: boolean): Promise<void> {
  return readWeights(directory, model, averaged ? 'ema' : 'model')
}

async function readWeights(directory: string, model: Module, name = 'model'): Promise<void> {
  if (savesItself(model) && name === 'model') return model.readFiles(directory)
  const reader = await openSafetensors(directory, name)
  try { await loadParameters(model, reader) } finally { await reader.close() }
}

async function valuesIn(directory: string, name: string): Promise<Map<string, { shape: readonly number[], data: Float32Array }>> {
  const reader = await openSafetensors(directory, name)
  try { return await allValues(reader) } finally { await reader.close() }
}

async function averagesIn(directory: string): Promise<Map<string, { data: Float32Array }>> {
  try {
    return await valuesIn(directory, 'ema')
  } catch (cause) {
    throw new CheckpointError(`it has no averages (${(cause as Error).message}). Was it saved without emaDecay? Leave emaDecay out, or start anew.`, { cause })
  }
}

/** `trainer_state.json` of a checkpoint. @throws CheckpointError if it is missing or damaged */
export async function readState(directory: string): Promise<TrainerState> {
  const path = join(directory, 'trainer_state.json')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw ioError('read', path, error)
    const isFolder = await stat(directory).then(found => found.isDirectory(), () => undefined)
    if (!isFolder) {
      throw new CheckpointError(`${directory} is no checkpoint: ${isFolder === false ? 'it is a file' : 'there is no such folder'}. Give a folder named checkpoint-<step>, `
        + 'or true for the newest one in outputDir.', { cause: error })
    }
    const [newest] = (await listedCheckpoints(directory)).reverse()
    throw new CheckpointError(newest
      ? `${directory} is the folder of a training. Resume from ${newest.path}, or say resumeFromCheckpoint: true with outputDir '${directory}'.`
      : `${directory} is no checkpoint: it has no trainer_state.json. Give a folder named checkpoint-<step>.`, { cause: error })
  }
  let state: Partial<TrainerState>
  try {
    state = JSON.parse(text) as Partial<TrainerState>
  } catch (cause) {
    throw new CheckpointError(`${path} is not JSON (${(cause as Error).message}). The checkpoint is damaged; take another one.`, { cause })
  }
  if (state.format !== 1)
    throw new CheckpointError(`${path}: format is ${String(state.format)}, this version reads 1. Was it saved by another version of warpweft?`)
  const whole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
  const parts = [state.optimizer, state.best, state.log, state.totals, state.options]
  const isComplete = [state.step, state.microStep, state.seed].every(whole) && parts.every(part => typeof part === 'object' && part !== null)
  if (!isComplete) throw new CheckpointError(`${path} is incomplete. The checkpoint is damaged; take another one.`)
  return state as TrainerState
}
