import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError, ConfigError } from '../errors.js'
import { makeFolder, requireWritableFolder } from '../io/folders.js'
import { ioError } from '../io/ioError.js'
import { cleanLeftovers, temporaryBeside } from '../io/leftovers.js'
import type { Module } from '../nn/module.js'
import { listedCheckpoints, removeCheckpoint, type ListedCheckpoint } from '../io/checkpointList.js'
import type { TrainingSettings } from './trainingOptions.js'

export interface OutputFolderUse {
  /** Remove the checkpoints that are there. */
  replace: boolean
  /** Whether checkpoints may be there. */
  resumes: boolean
  /** Bytes that will be written at least. */
  room: number
}

/**
 * Makes the folder and makes sure that it can be written and has room, before hours are spent that could not be saved; tidies up after a killed run.
 * @throws CheckpointError if the system refuses, or the disk is too full   @throws ConfigError if the folder has checkpoints of another run
 */
export async function prepareOutputFolder(outputDir: string, { replace, resumes, room }: OutputFolderUse): Promise<void> {
  await makeFolder(outputDir)
  try {
    const probe = temporaryBeside(join(outputDir, 'probe'), 'tmp')
    await writeFile(probe, '')
    await rm(probe)
  } catch (error) {
    throw ioError('write into', outputDir, error)
  }
  await cleanLeftovers(outputDir)
  const checkpoints = await listedCheckpoints(outputDir)
  requireNoOthers(outputDir, checkpoints, { replace, resumes })
  if (!resumes) for (const { path } of checkpoints) await removeCheckpoint(path)
  await requireRoom(outputDir, room)
}

/** Says what `prepareOutputFolder` would object to, and changes nothing. @throws CheckpointError, ConfigError as that */
export async function checkOutputFolder(outputDir: string, use: Omit<OutputFolderUse, 'room'>): Promise<void> {
  await requireWritableFolder(outputDir)
  requireNoOthers(outputDir, await listedCheckpoints(outputDir), use)
}

/** The least that a checkpoint and the model take on the disk; the state of a caller's own optimizer is not known. */
export function leastBytesToSave(model: Module, { saveStrategy, optim, optimizer, emaDecay }: TrainingSettings): number {
  const weights = 4 * model.parameters().reduce((count, p) => count + p.size, 0)
  const moments = optimizer !== undefined || optim === 'sgd' ? 0 : 2, averages = emaDecay === undefined ? 0 : 1
  return saveStrategy === 'no' ? weights : weights * (2 + moments + averages)
}

function requireNoOthers(outputDir: string, checkpoints: readonly ListedCheckpoint[], { replace, resumes }: Omit<OutputFolderUse, 'room'>): void {
  if (checkpoints.length === 0 || resumes || replace) return
  throw new ConfigError(`${outputDir} holds checkpoints of an earlier training, up to step ${checkpoints.at(-1)!.step}. Go on with it: resumeFromCheckpoint: true; `
    + 'remove them: overwriteOutputDir: true; or choose another outputDir.')
}

async function requireRoom(outputDir: string, bytes: number): Promise<void> {
  // Some file systems do not say; the first save will.
  const { blocks, bavail, bsize } = await statfs(outputDir).catch(() => ({ blocks: 0, bavail: 0, bsize: 0 }))
  if (blocks === 0 || bavail * bsize >= bytes) return
  throw new CheckpointError(`${outputDir} has ${megabytes(bavail * bsize)} free, and a checkpoint with the model takes at least ${megabytes(bytes)}. `
    + 'Free some space, or choose another outputDir.')
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
