import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AddonError } from '../errors.js'
import type { Native } from './nativeOps.js'

export interface Addon {
  /** Opens a session of its own: tensors of one session are unknown to another. */
  open(
    makeError: (code: string, message: string) => Error,
    settle: (id: number, buffer: ArrayBuffer | null, code: string | null, message: string | null) => void,
  ): Native
  /** The ops and their fields, as JSON. */
  describe(): string
}

/** What decides which binary fits a process. */
export interface System {
  platform: string
  arch: string
  /** Version of glibc; undefined where the C library is another one, which on Linux is musl. */
  glibc: string | undefined
  node: string
}

const supported = 'linux-x64 (glibc 2.28 or later, or musl) and linux-arm64 (glibc 2.28 or later)'
const oldestGlibc = [2, 28] as const
const of32Bits = ['arm', 'ia32', 'mips', 'mipsel', 'ppc', 's390']
const buildIt = 'in a clone of the repository, with a C++20 compiler: npm ci && npm run build'

export function thisSystem(): System {
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean }
  const { excludeNetwork = false } = report
  report.excludeNetwork = true   // it would look up the names of all peers that the process is connected to
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
  report.excludeNetwork = excludeNetwork
  return { platform: process.platform, arch: process.arch, glibc: header?.glibcVersionRuntime, node: process.versions.node }
}

function describe({ platform, arch, glibc, node }: System): string {
  const libc = platform === 'linux' ? `, ${glibc === undefined ? 'musl' : `glibc ${glibc}`}` : ''
  return `${platform}-${arch}${libc}, Node ${node}`
}

function isOldGlibc({ glibc }: System): boolean {
  if (glibc === undefined) return false
  const [major = 0, minor = 0] = glibc.split('.').map(Number)
  return major < oldestGlibc[0] || (major === oldestGlibc[0] && minor < oldestGlibc[1])
}

/** The folder of package.json: dist/ and lib/ both lie below it. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new AddonError('package.json of warpweft was not found above ' + fileURLToPath(import.meta.url) + ': install the package again')
    folder = parent
  }
  return folder
}

/** The addon's file for this process: a local build, else the prebuilt one; undefined where there is none. */
function find(root: string, { arch, glibc }: System): string | undefined {
  const require = createRequire(join(root, 'package.json'))
  let found: string | undefined
  try {
    found = (require('node-gyp-build') as { resolve(folder: string): string }).resolve(root)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND')
      throw new AddonError('warpweft did not find node-gyp-build, which it depends on: install the package again', { cause })
  }
  // node-gyp-build takes every musl system but Alpine for one of glibc.
  if (glibc !== undefined || (found !== undefined && !isPrebuilt(found, root))) return found
  const musl = join(root, 'prebuilds', `linux-${arch}`, 'warpweft.musl.node')
  return existsSync(musl) ? musl : undefined
}

const isPrebuilt = (file: string, root: string) => file.startsWith(join(root, 'prebuilds') + sep)

let loaded: string | undefined

/** The file that the addon of this process came from. */
export function addonFile(): string { return loaded ?? '' }

/**
 * Loads the native addon: a local build if there is one, else the prebuilt binary for this system.
 * @param system what the process runs on @param root the folder of the package; tests hand in others
 * @throws AddonError, in one line: what this system is, what is needed, what to do
 */
export function loadAddon(system: System = thisSystem(), root: string = packageRoot()): Addon {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const here = describe(system)
  if (of32Bits.includes(system.arch))
    throw new AddonError(`warpweft ${version} needs a 64-bit Node, this one is a 32-bit process (${here}): install Node for x64 or arm64. Supported: ${supported}`)
  if (system.platform !== 'linux' || !['x64', 'arm64'].includes(system.arch)) {
    const hint = system.platform === 'win32' ? '; under Windows use it in WSL 2' : ''
    throw new AddonError(`warpweft ${version} does not run on ${here}. Supported: ${supported}${hint}`)
  }
  const file = find(root, system)
  if (file === undefined) {
    if (existsSync(join(root, 'CMakeLists.txt'))) throw new AddonError(`warpweft ${version} has not been built for ${here}: run npm ci && npm run build in ${root}`)
    if (system.arch === 'arm64' && system.glibc === undefined)
      throw new AddonError(`warpweft ${version} has no binary for ${here}. Supported: ${supported}. Build it ${buildIt}`)
    throw new AddonError(`warpweft ${version} has no binary for ${here} below ${join(root, 'prebuilds')}, the package is incomplete: remove ${root} and install it again`)
  }
  if (isPrebuilt(file, root) && isOldGlibc(system))
    throw new AddonError(`warpweft ${version} needs glibc ${oldestGlibc.join('.')} or later, this system has ${here}: use a newer system, or build warpweft ${buildIt}`)
  try {
    const addon = createRequire(join(root, 'package.json'))(file) as Addon
    loaded = file
    return addon
  } catch (cause) {
    throw new AddonError(`warpweft ${version} could not load ${file} on ${here}: ${firstLine(cause)}. Supported: ${supported}`, { cause })
  }
}

const firstLine = (error: unknown) => (error instanceof Error ? error.message : String(error)).split('\n')[0]!.replace(/\.$/, '')
