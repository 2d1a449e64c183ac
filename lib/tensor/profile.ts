import { ConfigError, DeviceError } from '../errors.js'
import { cpu, defaultDevice } from './device.js'
import { native } from './native.js'
import { zeros } from './create.js'
import { noGrad, scope } from './scope.js'

/** All calls of an op, or of an op with the same arguments. */
export interface OpProfile {
  op: string
  /** Dtypes and sizes of the arguments; only where a profile tells them apart. */
  arguments?: string
  calls: number
  milliseconds: number
  /** Bytes that have to move at least: every argument once, twice where it is read and written. */
  bytes: number
  /** Floating-point operations of products (matmul, attention); 0 for ops that memory bounds. */
  flop: number
  /** Of the time in which ops ran, from 0 to 1. */
  share: number
  /** The least time that the machine takes for this work, flop / peak + bytes / bandwidth, as a part of the time that it took. Above 1 where caches held the data. */
  roofline: number
}

/** What the machine does at most, measured: float32 operations a second in registers, and bytes a second in a copy beyond the caches. */
export interface Peaks { flops: number, bandwidth: number }

export interface ProfileOptions {
  /** Calls with different dtypes or sizes are rows of their own. */
  byArguments?: boolean
}

interface Recorded { kinds: [op: string, arguments_: string][], events: [kind: number, start: number, duration: number, bytes: number, flop: number][], lost: number }

let peaks: Promise<Peaks> | undefined

/** Measures the machine once a process, in about a quarter of a second. */
export function measuredPeaks(): Promise<Peaks> { return peaks ??= measure() }

async function measure(): Promise<Peaks> {
  await cpu.synchronize()
  const flops = native.peak(), bytes = 64 * 2 ** 20
  const bandwidth = await scope(async () => noGrad(async () => {
    const from = zeros([bytes / 4], { device: cpu }), to = zeros([bytes / 4], { device: cpu })
    let best = 0
    for (let i = 0; i < 8; i++) {
      await cpu.synchronize()
      const began = performance.now()
      native.copy(from.handle, to.handle)
      await cpu.synchronize()
      best = Math.max(best, 2 * bytes / (performance.now() - began) * 1000)
    }
    return best
  }))
  return { flops, bandwidth }
}

/** What ran during `profile`. */
export class Profile<T> {
  /** What the function returned. */
  readonly result: T
  /** From the call of the function until all that it queued had run. */
  readonly milliseconds: number
  /** In which an op ran. The rest is JavaScript, or waiting. */
  readonly busyMilliseconds: number
  /** The longest first. */
  readonly ops: readonly OpProfile[]
  readonly peaks: Peaks
  /** Calls beyond the million that is kept; they are in no figure. */
  readonly lostCalls: number
  /** Instruction set and threads. */
  readonly device: string
  readonly #recorded: Recorded

  /** @internal */
  constructor(result: T, milliseconds: number, recorded: Recorded, peaks: Peaks, { byArguments = false }: ProfileOptions) {
    this.result = result
    this.milliseconds = milliseconds
    this.peaks = peaks
    this.device = cpu.describe()
    this.lostCalls = recorded.lost
    this.#recorded = recorded
    this.busyMilliseconds = recorded.events.reduce((sum, [, , duration]) => sum + duration / 1000, 0)
    const rows = new Map<string, OpProfile>()
    for (const [kind, , duration, bytes, flop] of recorded.events) {
      const [op, arguments_] = recorded.kinds[kind]!, key = byArguments ? `${op} ${arguments_}` : op
      let row = rows.get(key)
      if (!row) rows.set(key, row = { op, ...(byArguments ? { arguments: arguments_ } : {}), calls: 0, milliseconds: 0, bytes: 0, flop: 0, share: 0, roofline: 0 })
      row.calls++
      row.milliseconds += duration / 1000
      row.bytes += bytes
      row.flop += flop
    }
    for (const row of rows.values()) {
      row.share = this.busyMilliseconds > 0 ? row.milliseconds / this.busyMilliseconds : 0
      row.roofline = row.milliseconds > 0 ? 1000 * (row.flop / peaks.flops + row.bytes / peaks.bandwidth) / row.milliseconds : 0
    }
    this.ops = [...rows.values()].sort((a, b) => b.milliseconds - a.milliseconds)
  }

  /** One line for each op, and what all of it adds up to. */
  table(): string {
    const lines = [['op', 'calls', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of peak']]
    for (const { op, arguments: arguments_, calls, milliseconds, bytes, flop, share, roofline } of this.ops) {
      lines.push([
        arguments_ === undefined ? op : `${op} (${arguments_})`, String(calls), milliseconds.toFixed(2), percent(share),
        flop > 0 ? (flop / milliseconds / 1e6).toFixed(1) : '', (bytes / milliseconds / 1e6).toFixed(1), percent(roofline),
      ])
    }
    const widths = lines[0]!.map((_, column) => Math.max(...lines.map(line => line[column]!.length)))
    const text = lines.map(line => line.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join('  ').trimEnd())
    const { flops, bandwidth } = this.peaks
    text.push(`ops ran in ${this.busyMilliseconds.toFixed(1)} of ${this.milliseconds.toFixed(1)} ms; peak of ${this.device}, measured: ${(flops / 1e9).toFixed(0)} GFLOP/s, ${(bandwidth / 1e9).toFixed(1)} GB/s`)
    if (this.lostCalls > 0) text.push(`${this.lostCalls} later calls were not kept and are in no figure`)
    return text.join('\n')
  }

  /** The calls in the format of Chrome's trace viewer (chrome://tracing, https://ui.perfetto.dev): write it as JSON. */
  chromeTrace(): { traceEvents: object[], displayTimeUnit: 'ms' } {
    const { kinds, events } = this.#recorded, track = { pid: process.pid, tid: 1 }
    return {
      displayTimeUnit: 'ms',
      traceEvents: [
        { name: 'process_name', ph: 'M', ...track, args: { name: 'warpweft' } },
        { name: 'thread_name', ph: 'M', ...track, args: { name: `cpu (${this.device})` } },
        ...events.map(([kind, ts, dur, bytes, flop]) => {
          const [name, arguments_] = kinds[kind]!
          return { name, cat: 'op', ph: 'X', ts, dur, ...track, args: { arguments: arguments_, bytes, ...(flop > 0 ? { flop } : {}) } }
        }),
      ],
    }
  }
}

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`

/**
 * Runs `fn` and notes every op that the CPU runs for this program until all of it has ended: time, calls, bytes and operations by op, beside what the machine does
 * at most (measured before, once a process).
 * @throws ConfigError inside another profile, DeviceError where tensors are made on a GPU: use Nsight Systems there; and what `fn` throws
 */
export async function profile<T>(fn: () => T | Promise<T>, options: ProfileOptions = {}): Promise<Profile<T>> {
  if (typeof fn !== 'function') throw new ConfigError(`profile: expected a function, got ${fn === null ? 'null' : typeof fn}`)
  if (defaultDevice().type !== 'cpu') throw new DeviceError(`profile: measures the CPU, and tensors are made on ${defaultDevice().name}. Use withDevice('cpu', …), or Nsight Systems (nsys profile node …) for the GPU`)
  const machine = await measuredPeaks()
  await cpu.synchronize()
  native.startProfile()
  const began = performance.now()
  let result: T, milliseconds: number, recorded: string
  try {
    result = await fn()
    await cpu.synchronize()
    milliseconds = performance.now() - began
  } finally {
    recorded = native.stopProfile()
  }
  return new Profile(result, milliseconds, JSON.parse(recorded) as Recorded, machine, options)
}
