import { lstat, mkdir, open, readdir, realpath, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { CheckpointError } from '../errors.js'
import { syncFolder } from './atomicFile.js'
import { ioError, systemCode } from './ioError.js'
import { moveAside, temporaryBeside } from './leftovers.js'

/**
 * Writes a folder so that `path` is never half of one: it is filled under a temporary name beside `path`, flushed to the disk, and
 * renamed into place. An old folder there is renamed away first and removed last. A kill between the two renames leaves the old one aside;
 * `cleanLeftovers` of the folder above puts it back. If anything fails the old folder is in its place and nothing else stays.
 *
 * @param fill writes the files into the folder that it is given
 * @throws CheckpointError with the path, if the system refuses or `path` is a file; whatever `fill` throws
 */
export async function atomicDirectory(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  let temporary: string | undefined
  try {
    const target = await realpath(path).catch(() => resolve(path))
    temporary = temporaryBeside(target, 'tmp')
    await mkdir(temporary)
    await fill(temporary)
    await syncTree(temporary)
    await putInPlace(temporary, target)
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true }).catch(() => undefined)
    throw underItsOwnName(ioError('write', path, error), temporary, path)
  }
}

/** What went wrong with a file of the folder is told with the path that the caller knows, not with a temporary one that is gone. */
function underItsOwnName(error: unknown, temporary: string | undefined, path: string): unknown {
  if (!(error instanceof CheckpointError) || temporary === undefined || !error.message.includes(temporary)) return error
  return new CheckpointError(error.message.replaceAll(temporary, path), { cause: error })
}

async function putInPlace(temporary: string, target: string): Promise<void> {
  const old = await kindOf(target)
  if (old === 'file') {
    throw new CheckpointError(`cannot write ${target}: it is a file, and a folder is to be written there. Remove it or choose another name.`)
  }
  const aside = old === 'folder' ? await moveAside(target, basename(target)) : undefined
  try {
    await rename(temporary, target)
  } catch (error) {
    if (aside !== undefined && await putBack(join(aside, basename(target)), target)) await rm(aside, { recursive: true, force: true })
    throw error
  }
  await syncFolder(dirname(target))
  if (aside !== undefined) await rm(aside, { recursive: true, force: true })
}

/** Whether there is a whole folder at `target` afterwards: the old one, or what another writer has put there meanwhile. */
async function putBack(old: string, target: string): Promise<boolean> {
  try {
    await rename(old, target)
    return true
  } catch (error) {
    return ['ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '')
  }
}

async function kindOf(path: string): Promise<'file' | 'folder' | 'nothing'> {
  try {
    return (await lstat(path)).isDirectory() ? 'folder' : 'file'
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 'nothing'
    throw error
  }
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await syncTree(path)
    else if (entry.isFile()) {
      const file = await open(path, 'r')
      try { await file.sync() } finally { await file.close() }
    }
  }
  await syncFolder(folder)
}
