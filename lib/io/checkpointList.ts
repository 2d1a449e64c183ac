import { readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ioError, systemCode } from './ioError.js'
import { temporaryBeside } from './leftovers.js'

export interface ListedCheckpoint { readonly path: string, readonly step: number }

/** The checkpoints in a training's output folder, oldest first; none where there is no such folder. @throws CheckpointError if it cannot be read */
export async function listedCheckpoints(outputDir: string): Promise<ListedCheckpoint[]> {
  let names: string[]
  try {
    names = await readdir(outputDir)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return []
    throw ioError('read', outputDir, error)
  }
  const found: ListedCheckpoint[] = []
  for (const name of names) {
    const match = /^checkpoint-(\d+)$/.exec(name), path = join(outputDir, name)
    if (match && await isFile(join(path, 'trainer_state.json'))) found.push({ path, step: Number(match[1]) })
  }
  return found.sort((a, b) => a.step - b.step)
}

export const checkpointName = (step: number): string => `checkpoint-${step}`

/** Removes a checkpoint so that there is never half of one: a kill in between leaves a name that the next run tidies up. @throws CheckpointError */
export async function removeCheckpoint(path: string): Promise<void> {
  try {
    const aside = temporaryBeside(path, 'tmp')
    await rename(path, aside)
    await rm(aside, { recursive: true, force: true })
  } catch (error) {
    throw ioError('remove', path, error)
  }
}

const isFile = (path: string): Promise<boolean> => stat(path).then(found => found.isFile(), () => false)
