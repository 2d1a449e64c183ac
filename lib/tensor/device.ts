import { DeviceError } from '../errors.js'
import { cuda, describeCuda, isVerified } from './cuda.js'
import { native, waitFor } from './native.js'
import { context, withContext } from './scope.js'

/** Live and peak memory of the tensors of this program on a device, in bytes. */
export interface MemoryStatistics {
  /** Tensors alive (views count) and the bytes of their storages. */
  tensors: number
  bytes: number
  peakBytes: number
  /** What the allocator holds from the system, of that what is handed out (scratch included), and what it may hold at most. */
  reservedBytes: number
  allocatedBytes: number
  limitBytes: number
}

/** Where tensors live and ops run. Work is queued in order; `synchronize` and reads are the only waits. */
export class Device {
  constructor(readonly name: string, /** @internal */ readonly index: number) {}

  get type(): 'cpu' | 'cuda' { return this.index === 0 ? 'cpu' : 'cuda' }

  /** Resolves when everything queued so far has run. @throws IndexError or DeviceError for what went wrong in it and no read has reported */
  async synchronize(): Promise<void> {
    await waitFor(id => { native.fence(this.index, id) })
  }

  /** Blocks the thread until everything queued so far has run; for scripts and tests. */
  synchronizeSync(): void { native.synchronize(this.index) }

  /** Forgets a failure of queued work, after which every wait would reject. @throws DeviceError if the device is lost to this process */
  reset(): void { native.reset(this.index) }

  memory(): MemoryStatistics { return JSON.parse(native.memory(this.index)) as MemoryStatistics }
  resetPeakMemory(): void { native.resetPeak(this.index) }

  /** Gives cached memory back to the system. */
  trim(): void { native.trim(this.index) }

  /** Instruction set and threads, or the GPU's name. */
  describe(): string { return this.index === 0 ? native.describeDevice(0) : describeCuda(this.index - 1) }

  toString(): string { return this.name }
}

export const cpu = new Device('cpu', 0)
const gpus: Device[] = []

function gpu(i: number, name: string): Device {
  const { devices, why } = cuda()
  if (devices.length === 0) throw new DeviceError(`device '${name}': ${why ?? 'there is no GPU'}. Use 'cpu' or 'auto'`)
  if (i >= devices.length) throw new DeviceError(`device '${name}' does not exist; this machine has ${devices.map((_, k) => `'cuda:${k}'`).join(', ')}`)
  return gpus[i] ??= new Device(`cuda:${i}`, i + 1)
}

let best: { device: Device, reason: string } | undefined

/** What `'auto'` is here, and in one line why it is not the other. Never throws. */
export function automaticDevice(): { readonly device: Device, readonly reason: string } { return best ??= choose() }

function choose(): { device: Device, reason: string } {
  const { devices, missing, emulated, why } = cuda()
  if (devices.length === 0) return { device: cpu, reason: `cpu: ${why ?? 'there is no GPU'}` }
  if (emulated) return { device: cpu, reason: "cpu: behind 'cuda' is the emulator, which is for tests" }
  if (missing.length) return { device: cpu, reason: `cpu: the CUDA backend has no kernel yet for ${missing.join(', ')}` }
  if (!isVerified(0)) return { device: cpu, reason: "cpu: kernels of the CUDA backend have not been verified on such a GPU; 'cuda' asks for it by name" }
  return { device: gpu(0, 'cuda'), reason: `cuda:0: ${describeCuda(0)}` }
}

/**
 * The device of a name: `'cpu'`, `'cuda'` (the first GPU), `'cuda:1'`, or `'auto'`: the first GPU if the backend has every op and
 * was verified on its kind, else the CPU.
 * @throws DeviceError for a name that is unknown or a device that is not there; never for `'auto'`
 */
export function device(name: string | Device = 'auto'): Device {
  if (name instanceof Device) return name
  if (name === 'cpu') return cpu
  if (name === 'auto') return automaticDevice().device
  const number = /^cuda(?::(0|[1-9]\d{0,2}))?$/.exec(name)
  if (!number) throw new DeviceError(`device '${name}' is unknown, expected 'cpu', 'cuda', 'cuda:1' or 'auto'`)
  return gpu(Number(number[1] ?? 0), name)
}

let preferred: Device | undefined

/** Where tensors are made if nothing else is said: that of `withDevice`, of `setDefaultDevice`, of WARPWEFT_DEVICE, or `'auto'`. */
export function defaultDevice(): Device { return context().device ?? (preferred ??= device(process.env['WARPWEFT_DEVICE'] || 'auto')) }

/** Sets where tensors and parameters are made from now on if nothing else is said. @throws DeviceError */
export function setDefaultDevice(name: string | Device): void { preferred = device(name) }

/** Runs `fn` (sync or async); tensors and parameters that it makes are on the device if nothing else is said. @throws DeviceError */
export function withDevice<T>(name: string | Device, fn: () => T): T { return withContext({ device: device(name) }, fn) }

/** Memory statistics of a device. */
export function memory(of: string | Device = defaultDevice()): MemoryStatistics { return device(of).memory() }

/** Threads that compute, at most `count` of them from now on if it is given (1 up to the number of cores, or WARPWEFT_THREADS where that is more). */
export function threads(count?: number): number { return count === undefined ? native.threads() : native.threads(count) }
