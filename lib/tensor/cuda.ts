import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { addonFile, packageRoot, thisSystem } from './addon.js'
import { native } from './native.js'
import { verifiedHardware } from './verifiedHardware.js'

// Whether there are GPUs that this process can use. Nothing is asked before somebody wants to know; then the answer stays. The driver is asked by a child process
// first: one that crashes or hangs takes nothing with it.

/** What there is behind `'cuda'`. */
export interface Cuda {
  /** One text for each device, in order: `cuda:0`, `cuda:1`, … */
  readonly devices: readonly string[]
  /** Driver, runtime, architectures. */
  readonly versions: string
  /** Ops of the CPU that the library has no kernel for. */
  readonly missing: readonly string[]
  /** The emulator in a GPU's place (WARPWEFT_CUDA=simt). */
  readonly emulated: boolean
  /** Why there is no device, in one line. */
  readonly why: string | undefined
}

const none = (why: string): Cuda => ({ devices: [], versions: '', missing: [], emulated: false, why })

/** The driver's answer comes within a second where all is well; some broken ones never answer. */
const patience = 30_000

/** Where an NVIDIA driver shows itself: the kernel module, a device that was handed into a container, the one of WSL. */
const tracesOfDriver = ['/proc/driver/nvidia/version', '/dev/nvidiactl', '/dev/dxg']

/** What the child runs: opens the library and says what is in it. */
const question = `
  const [, addon, library] = process.argv
  const { openLibrary } = require(addon).open((code, message) => new Error(message), () => {})
  let answer
  try { answer = openLibrary(library) } catch (error) { answer = JSON.stringify({ error: error.message }) }
  process.stdout.write(answer)`

let state: Cuda | undefined

/** What there is behind `'cuda'`, found out at the first call. Never throws. */
export function cuda(): Cuda { return state ??= find() }

function find(): Cuda {
  const wanted = process.env['WARPWEFT_CUDA'] ?? ''
  if (wanted === 'off' || wanted === '0') return none(`GPUs are switched off by WARPWEFT_CUDA=${wanted}`)
  if (wanted === 'simt') return emulator()
  const { platform, arch, glibc } = thisSystem()
  if (platform !== 'linux' || arch !== 'x64' || glibc === undefined) return none('GPUs are supported on linux-x64 with glibc only')
  const driver = tracesOfDriver.some(existsSync)
  const library = wanted || installed()
  if (library === undefined)
    return none(driver ? 'an NVIDIA driver is there, but @warpweft/cuda-linux-x64 is not installed: npm install @warpweft/cuda-linux-x64' : 'no NVIDIA driver is installed')
  if (!existsSync(library)) return none(`WARPWEFT_CUDA=${library} is not a file, expected one, 'simt' or 'off'`)
  if (!driver) return none('no NVIDIA driver is installed')
  try {
    if (native.openedLibrary() === library) return opened(library, false)   // the driver has answered to another thread
    const answer = native.runChild(patience, process.execPath, '-e', question, addonFile(), library)
    if (answer === null) return none(`the NVIDIA driver crashed or gave no answer within ${patience / 1000} s (asked in a process of its own). Does nvidia-smi work?`)
    const { error } = JSON.parse(answer) as { error?: string }
    return error === undefined ? opened(library, false) : none(error)
  } catch (error) {
    return none((error as Error).message)
  }
}

function emulator(): Cuda {
  const library = join(packageRoot(), 'build/simt/libwarpweft_simt.so')
  if (!existsSync(library)) return none('WARPWEFT_CUDA=simt asks for the emulator, which is not built: npm run build:simt')
  try {
    return opened(library, true)
  } catch (error) {
    return none((error as Error).message)
  }
}

const opened = (library: string, emulated: boolean): Cuda =>
  ({ ...JSON.parse(native.openLibrary(library)) as Pick<Cuda, 'devices' | 'versions' | 'missing'>, emulated, why: undefined })

/** The library of a local build, else that of the package; undefined where there is neither. */
function installed(): string | undefined {
  const root = packageRoot(), local = join(root, 'build/cuda/libwarpweft_cuda.so')
  if (existsSync(local)) return local
  try {
    return createRequire(join(root, 'package.json')).resolve('@warpweft/cuda-linux-x64/libwarpweft_cuda.so')
  } catch {
    return undefined
  }
}

/** Whether kernels have been run and compared on a GPU of this kind. */
export function isVerified(i: number): boolean { return verifiedHardware.has(capabilityOf(i)) }

const capabilityOf = (i: number): string => /sm_\d+/.exec(cuda().devices[i] ?? '')?.[0] ?? ''

/** The name of a GPU, and whether kernels have been run on one of its kind. */
export function describeCuda(i: number): string {
  const text = cuda().devices[i]!
  if (cuda().emulated) return text
  return isVerified(i) ? `${text}; verified on ${verifiedHardware.get(capabilityOf(i))}` : `${text}; experimental: its kernels have not been verified on such hardware`
}
