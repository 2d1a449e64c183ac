import { access, constants, mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { CheckpointError } from '../errors.js'
import { ioError, systemCode } from './ioError.js'

/**
 * Makes a folder and those above it. Not by mkdir's own `recursive`, which reports ENOENT for a read-only file system and never ends below /proc.
 * @throws CheckpointError if the system refuses, or a part of the path is a file
 */
export async function makeFolder(path: string): Promise<void> {
  const missing: string[] = []
  let at = resolve(path)
  for (let kind = await kindOf(at); kind !== 'folder'; at = dirname(at), kind = await kindOf(at)) {
    if (kind === 'file') throw isFile(path, at)
    missing.push(at)
  }
  for (const folder of missing.reverse()) {
    try {
      await mkdir(folder)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw ioError('make', folder, error)   // somebody else was faster
    }
  }
}

/**
 * Says early what writing into a folder would run into, without making it: it, or else the folder above it that exists, has to be one that can be written.
 * @throws CheckpointError
 */
export async function requireWritableFolder(path: string): Promise<void> {
  let at = resolve(path)
  for (let kind = await kindOf(at); kind !== 'folder'; at = dirname(at), kind = await kindOf(at)) if (kind === 'file') throw isFile(path, at)
  try {
    await access(at, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw ioError('write into', at === resolve(path) ? path : at, error)
  }
}

/** As `requireWritableFolder`, for a file that will be written with its folder being there. @throws CheckpointError */
export async function requireWritableFile(path: string): Promise<void> {
  const folder = dirname(resolve(path))
  if (await kindOf(path) === 'folder') throw new CheckpointError(`cannot write ${path}: it is a folder, not a file. Name the file.`)
  if (await kindOf(folder) === 'nothing') throw new CheckpointError(`cannot write ${path}: there is no folder ${folder}. Check the path, or make the folder.`)
  await requireWritableFolder(folder)
}

async function kindOf(path: string): Promise<'file' | 'folder' | 'nothing'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file'
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return 'nothing'
    throw ioError('look at', path, error)
  }
}

const isFile = (path: string, file: string): CheckpointError =>
  new CheckpointError(`cannot write into ${path}: ${file === resolve(path) ? 'it' : file} is a file, not a folder. Choose another folder.`)
