import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
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

/** The folder of package.json: dist/ and lib/ both lie below it. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new AddonError('warpweft: package.json was not found above ' + fileURLToPath(import.meta.url) + '; reinstall the package')
    folder = parent
  }
  return folder
}

function libc(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  const version = report?.header?.glibcVersionRuntime
  return version ? `glibc ${version}` : 'musl'
}

/** Loads the native addon: a local build if there is one, else the prebuilt binary for this system. @throws AddonError that says what is needed */
export function loadAddon(): Addon {
  const root = packageRoot()
  const require = createRequire(join(root, 'package.json'))
  const system = `${process.platform}-${process.arch}, ${process.platform === 'linux' ? libc() : 'no libc of Linux'}, Node ${process.versions.node}`
  const supported = 'warpweft needs linux-x64 (glibc 2.28 or later, or musl) or linux-arm64 (glibc 2.28 or later), and Node 20.19 or later'
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64'))
    throw new AddonError(`this system is ${system}; ${supported}`)
  try {
    return (require('node-gyp-build') as (folder: string) => Addon)(root)
  } catch (cause) {
    const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
    throw new AddonError(`the native addon of warpweft ${version} could not be loaded on ${system}. ${supported}. ` +
      `In a clone of the repository run: npm run build. (${(cause as Error).message.split('\n')[0]})`, { cause })
  }
}
