import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ioError, systemCode } from './ioError.js'
import { temporaryBeside } from './leftovers.js'

/** Appends bytes to the file that is being written. */
export type Append = (bytes: Uint8Array) => Promise<void>

/**
 * Writes a file so that at every moment `path` is either what it was or whole: a temporary file in the same folder, flushed to the disk,
 * then renamed. If anything fails the old file is as it was and no temporary file stays. A symbolic link is replaced, not followed. What is
 * no file (`/dev/null`, `/dev/stdout`, a named pipe) is written to as it is: nothing may take its place.
 *
 * @param fill writes the content, piece by piece
 * @throws CheckpointError with the path, if the system refuses; whatever `fill` throws
 */
export async function atomicFile(path: string, fill: (append: Append) => Promise<void>): Promise<void> {
  const target = resolve(path), temporary = temporaryBeside(target, 'tmp')
  let file: FileHandle | undefined
  try {
    const there = await stat(target).catch(() => undefined)
    if (there && !there.isFile() && !there.isDirectory()) return await intoDevice(target, fill)
    file = await open(temporary, 'wx')
    const handle = file
    await fill(bytes => append(handle, bytes))
    const old = await stat(target).catch(() => undefined)
    if (old?.isFile()) await file.chmod(old.mode & 0o777)
    await file.sync()
    await file.close()
    file = undefined
    await rename(temporary, target)
    await syncFolder(dirname(target))
  } catch (error) {
    await file?.close().catch(() => undefined)
    await rm(temporary, { force: true }).catch(() => undefined)
    throw ioError('write', path, error)
  }
}

async function intoDevice(path: string, fill: (append: Append) => Promise<void>): Promise<void> {
  const device = await open(path, 'w')
  try {
    await fill(bytes => append(device, bytes))
  } finally {
    await device.close()
  }
}

/** `atomicFile` for content that is there already: text (UTF-8) or bytes. @throws CheckpointError */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  await atomicFile(path, append => append(typeof content === 'string' ? Buffer.from(content, 'utf8') : content))
}

/** `atomicFile` for a value as indented JSON with a final line end. @throws CheckpointError */
export async function writeJsonAtomic(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, undefined, 2)}\n`)
}

/** Makes the names in a folder last through a power cut. Some network and user-space file systems cannot and say so; nothing is lost then. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EPERM', 'EACCES'].includes(systemCode(error) ?? '')) throw error
  } finally {
    await handle.close()
  }
}

/** One system call writes less than 2 GiB, and less than it is asked to where the disk gets full. */
async function append(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.byteLength - done, 1 << 30))
    done += bytesWritten
  }
}
