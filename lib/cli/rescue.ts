import { rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { CheckpointError } from '../errors.js'
import { makeFolder } from '../io/folders.js'
import { checkpointName } from '../io/checkpointList.js'
import type { Trainer } from '../train/trainer.js'
import { stillInMemory } from '../train/trainingRun.js'

/** Where results go whose own place cannot be written. The temporary folder comes last: many systems empty it. */
const otherPlaces = (): string[] => [...new Set([resolve('.'), homedir(), tmpdir()])]

/**
 * Writes what there is of a file as `FILE.partial`, beside it or in another place; at once, because a signal does not wait.
 * @returns the path, or undefined if there is no place
 */
export function rescueText(path: string, text: string): string | undefined {
  for (const folder of [dirname(path), ...otherPlaces()]) {
    const partial = join(folder, `${basename(path)}.partial`)
    try {
      writeFileSync(partial, text)
      return partial
    } catch {
      rmSync(partial, { force: true })
    }
  }
  return undefined
}

/**
 * Saves the step that a failed training stands at, if no checkpoint has it: in the training's own folder, or in another place.
 * @returns the error, which now says so
 */
export async function rescueTraining(trainer: Trainer, outputDir: string | undefined, error: unknown): Promise<unknown> {
  const step = trainer.unsavedStep
  if (step === undefined || outputDir === undefined || !(error instanceof Error)) return error
  const elsewhere = otherPlaces().map(folder => join(folder, `${basename(resolve(outputDir))}-rescued`))
  for (const folder of [outputDir, ...elsewhere]) {
    const checkpoint = join(folder, checkpointName(step))
    try {
      await makeFolder(folder)
      await trainer.saveCheckpoint(checkpoint)
    } catch (failure) {
      if (failure instanceof CheckpointError) continue
      return error
    }
    error.message = `${error.message.replace(stillInMemory, '')} Step ${step} is saved in ${checkpoint}: go on with resumeFromCheckpoint: '${checkpoint}'.`
    return error
  }
  return error
}
