import { CheckpointError } from '../errors.js'

/**
 * What went wrong with a file, said for whoever has to mend it: a CheckpointError for what the system reports, with the path and a way
 * out. Errors that do not come from the system (a bug, an abort, an error of this library) are handed back as they are.
 *
 * @param doing what was tried, such as `write`
 */
export function ioError(doing: string, path: string, cause: unknown): unknown {
  const code = systemCode(cause)
  if (code === undefined) return cause
  return new CheckpointError(`cannot ${doing} ${path}: ${reasons[code] ?? `the system says ${code}`}.`, { cause })
}

/** The errno name of a system error, such as ENOENT. Looked at by shape, because errors of another realm are no `instanceof Error`. */
export function systemCode(error: unknown): string | undefined {
  const { code, syscall } = (error ?? {}) as { code?: unknown, syscall?: unknown }
  return typeof code === 'string' && typeof syscall === 'string' ? code : undefined
}

const noSpace = 'no space is left on the disk. Free some, or choose another folder'
const notAllowed = 'permission is denied. Check who owns the file and its folder, or choose another'
const reasons: Readonly<Record<string, string>> = {
  ENOSPC: noSpace,
  EDQUOT: 'the disk quota is used up. Free some space, or choose another folder',
  EFBIG: 'the file is larger than the file system or the limits of this process allow (ulimit -f)',
  EACCES: notAllowed,
  EPERM: notAllowed,
  EROFS: 'the file system is read-only. Choose another folder',
  ENOENT: 'there is no such file or folder. Check the path',
  ENOTDIR: 'a part of the path is a file, not a folder. Check the path',
  EISDIR: 'it is a folder, not a file. Name the file',
  EEXIST: 'it exists already. Choose another name',
  ENOTEMPTY: 'something else writes to the same folder. Give each run a folder of its own',
  EBUSY: 'it is in use, or a mount point. Choose a folder below it',
  EXDEV: 'it is on another file system than its folder. Choose another folder',
  ENAMETOOLONG: 'the name is too long. Choose a shorter one',
  ELOOP: 'its symbolic links go round in a circle',
  EMFILE: 'too many files are open (ulimit -n)',
  ENFILE: 'too many files are open on this machine',
  EIO: 'the disk or the network drive reports an error. Try again, and check the drive',
  ESTALE: 'the network drive has lost the file. Try again',
}
