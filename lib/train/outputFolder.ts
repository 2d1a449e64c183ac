import { mkdir, rm, writeFile } from 'node:fs/promises'
import { ConfigError } from '../errors.js'
import { ioError } from '../io/ioError.js'
import { cleanLeftovers, temporaryBeside } from '../io/leftovers.js'
import { join } from 'node:path'
import { listedCheckpoints, removeCheckpoint } from './checkpointList.js'

/**
 * Makes the folder and makes sure that it can be written, before hours are spent that could not be saved; tidies up after a killed run.
 * @param replace remove the checkpoints that are there
 * @param resumes whether checkpoints may be there
 * @throws CheckpointError if the system refuses   @throws ConfigError if the folder has checkpoints of another run
 */
export async function prepareOutputFolder(outputDir: string, { replace, resumes }: { replace: boolean, resumes: boolean }): Promise<void> {
  try {
    await mkdir(outputDir, { recursive: true })
    const probe = temporaryBeside(join(outputDir, 'probe'), 'tmp')
    await writeFile(probe, '')
    await rm(probe)
  } catch (error) {
    throw ioError('write into', outputDir, error)
  }
  await cleanLeftovers(outputDir)
  const checkpoints = await listedCheckpoints(outputDir)
  if (checkpoints.length === 0 || resumes) return
  if (!replace) {
    throw new ConfigError(`${outputDir} holds checkpoints of an earlier training, up to step ${checkpoints.at(-1)!.step}. Go on with it: resumeFromCheckpoint: true; `
      + 'remove them: overwriteOutputDir: true; or choose another outputDir.')
  }
  for (const { path } of checkpoints) await removeCheckpoint(path)
}
