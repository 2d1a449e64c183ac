import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { lstat, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { ioError, systemCode } from './ioError.js'

/**
 * Temporary names, and what a killed run leaves of them. A name tells whose it is: the machine since it was started, the process, and
 * when that process began (process numbers are used again, in containers at every start). So whoever comes later knows what is dead.
 *
 * `.tmp` is a file or folder that is being written. `.old` is a folder that holds, under its own name, the folder that is being replaced.
 */
type Suffix = 'tmp' | 'old'

/** A name in the folder of `path` that nobody else uses. */
export function temporaryBeside(path: string, suffix: Suffix): string {
  return join(dirname(path), `.warpweft-${machine()}-${process.pid}-${startOf(process.pid) ?? 0}-${randomBytes(6).toString('hex')}.${suffix}`)
}

/** Renames the folder `path` out of the way, into a folder that remembers its name. Returns that folder. */
export async function moveAside(path: string, name: string): Promise<string> {
  const aside = temporaryBeside(path, 'old')
  await mkdir(aside)
  try {
    await rename(path, join(aside, name))
  } catch (error) {
    await rmdir(aside).catch(() => undefined)
    throw error
  }
  return aside
}

/** What `cleanLeftovers` did, as names in the folder. */
export interface Cleaned { readonly restored: readonly string[], readonly removed: readonly string[] }

/**
 * Tidies a folder after a killed run: removes what was being written, and puts back a folder whose replacement did not come to its end.
 * What belongs to a living process is left alone; what another machine (or this one before a restart) has written, for a day.
 * Call it before reading or writing checkpoints. A folder that does not exist is clean.
 *
 * @throws CheckpointError if the folder cannot be read or tidied
 */
export async function cleanLeftovers(folder: string): Promise<Cleaned> {
  const restored: string[] = [], removed: string[] = []
  try {
    for (const name of await entriesOf(folder)) {
      const match = pattern.exec(name)
      if (match === null) continue
      const [, from, pid, start, suffix] = match as unknown as [string, string, string, string, Suffix]
      const path = join(folder, name)
      const foreign = from !== machine()
      if (!foreign && startOf(Number(pid)) === start) continue
      if (suffix === 'old') restored.push(...await restore(folder, path))
      if (foreign && !await isOlderThanADay(path)) continue
      await rm(path, { recursive: true, force: true })
      removed.push(name)
    }
  } catch (error) {
    throw ioError('tidy', folder, error)
  }
  return { restored, removed }
}

const pattern = /^\.warpweft-([0-9a-f]{12})-(\d+)-(\d+)-[0-9a-f]{12}\.(tmp|old)$/

async function restore(folder: string, aside: string): Promise<string[]> {
  const restored: string[] = []
  for (const name of await entriesOf(aside)) {
    if (await exists(join(folder, name))) continue
    await rename(join(aside, name), join(folder, name))
    restored.push(name)
  }
  return restored
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(() => true, () => false)
}

async function isOlderThanADay(path: string): Promise<boolean> {
  const { mtimeMs } = await lstat(path)
  return Date.now() - mtimeMs > 24 * 3600 * 1000
}

/** This machine since its last start, as 12 hexadecimal digits. */
function machine(): string {
  return machineTag ??= createHash('sha256').update(`${hostname()} ${readText('/proc/sys/kernel/random/boot_id')}`).digest('hex').slice(0, 12)
}
let machineTag: string | undefined

/** When a process began, in clock ticks since the machine's start (proc(5), field 22); undefined if there is no such process. */
function startOf(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`)
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]   // the name of the process, in brackets, may hold anything
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
