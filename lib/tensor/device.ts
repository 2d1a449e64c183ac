import { DeviceError } from '../errors.js'
import { native, waitFor } from './native.js'

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

  /** Resolves when everything queued so far has run. @throws IndexError or DeviceError for what went wrong in it and no read has reported */
  async synchronize(): Promise<void> {
    await waitFor(id => { native.fence(this.index, id) })
  }

  /** Blocks the thread until everything queued so far has run; for scripts and tests. */
  synchronizeSync(): void { native.synchronize(this.index) }

  /** Forgets a failure of queued work, after which every wait would reject. */
  reset(): void { native.reset(this.index) }

  memory(): MemoryStatistics { return JSON.parse(native.memory(this.index)) as MemoryStatistics }
  resetPeakMemory(): void { native.resetPeak(this.index) }

  /** Gives cached memory back to the system. */
  trim(): void { native.trim(this.index) }

  /** Instruction set and threads, or the GPU's name. */
  describe(): string { return native.describeDevice(this.index) }

  toString(): string { return this.name }
}

export const cpu = new Device('cpu', 0)

/** The device of a name: `'cpu'`, or `'auto'` for the best there is. @throws DeviceError for a name that is unknown or a device that is not there */
export function device(name: string | Device = 'auto'): Device {
  if (name instanceof Device) return name
  if (name === 'cpu' || name === 'auto') return cpu
  if (name === 'cuda' || name.startsWith('cuda:'))
    throw new DeviceError(`device '${name}': this version of warpweft has no CUDA backend yet; use 'cpu' or 'auto'`)
  throw new DeviceError(`device '${name}' is unknown, expected 'cpu' or 'auto'`)
}

/** Memory statistics of a device. */
export function memory(of: string | Device = 'auto'): MemoryStatistics { return device(of).memory() }

/** Threads that compute, at most `count` of them from now on if it is given (1 up to the number of cores, or WARPWEFT_THREADS where that is more). */
export function threads(count?: number): number { return count === undefined ? native.threads() : native.threads(count) }
