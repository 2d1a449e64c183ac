import { spawnSync } from 'node:child_process'
import { specs, type Spec } from '../../bench/gpu/specs.js'
import { Worker } from './child.js'

/** The GPU at a moment, as nvidia-smi tells. */
export interface GpuState { smClockMHz: number, memoryClockMHz: number, temperature: number, powerWatts: number }

const fields = ['name', 'driver_version', 'clocks.sm', 'clocks.mem', 'clocks.max.sm', 'temperature.gpu', 'power.draw', 'power.limit', 'memory.total', 'utilization.gpu'] as const

/** What nvidia-smi says of the first GPU; undefined where there is none. */
export function askGpu(): Record<typeof fields[number], string> | undefined {
  const { status, stdout } = spawnSync('nvidia-smi', [`--query-gpu=${fields.join(',')}`, '--format=csv,noheader,nounits', '-i', '0'], { encoding: 'utf8', timeout: 10_000 })
  if (status !== 0) return undefined
  const values = stdout.trim().split(/,\s*/)
  return Object.fromEntries(fields.map((name, i) => [name, values[i] ?? ''])) as Record<typeof fields[number], string>
}

function stateOfGpu(): GpuState | undefined {
  const facts = askGpu()
  return facts && { smClockMHz: Number(facts['clocks.sm']), memoryClockMHz: Number(facts['clocks.mem']), temperature: Number(facts['temperature.gpu']), powerWatts: Number(facts['power.draw']) }
}

/** Milliseconds of a run: median, and the range of all; mebibytes at most. */
interface Side { milliseconds: number, from: number, to: number, peakMiB: number, note?: string | undefined }

export interface BenchmarkRow {
  name: string
  flop?: number | undefined
  bytes?: number | undefined
  tokens?: number | undefined
  warpweft: Side | { error: string }
  pytorch?: Side | { error: string } | undefined
  /** PyTorch's time in parts of warpweft's, the median of the rounds. */
  ratio?: number | undefined
  /** The GPU behind the last round. */
  gpu?: GpuState | undefined
}

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!

function side(answers: readonly Record<string, unknown>[]): Side | { error: string } {
  const bad = answers.find(a => a['error'] !== undefined)
  if (bad || answers.length === 0) return { error: bad ? bad['error'] as string : 'nothing was measured' }
  const times = answers.flatMap(a => a['times'] as number[])
  return { milliseconds: median(times), from: Math.min(...times), to: Math.max(...times), peakMiB: Math.max(...answers.map(a => a['peakMiB'] as number)), note: answers[0]!['note'] as string | undefined }
}

export interface BenchmarkOptions {
  node: string
  worker: string
  /** A Python that may have PyTorch, and its script; undefined: no peer. */
  python: string | undefined
  peer: string
  emulated: boolean
  quick: boolean
  env: NodeJS.ProcessEnv
  /** Milliseconds in which it has to end. */
  limit: number
  log: (text: string) => void
  /** Each row when it is there. */
  tell: (row: BenchmarkRow) => void
}

/**
 * Measures each work on both sides, in turns: warpweft, PyTorch, warpweft, PyTorch; a training step once each. What both do is in bench/gpu. A side that fails or takes too long is
 * named in its row, the other goes on.
 */
export async function runBenchmarks({ node, worker, python, peer, emulated, quick, env, limit, log, tell }: BenchmarkOptions): Promise<{ peer: string, notRun: string[] }> {
  const end = performance.now() + limit, left = (): number => end - performance.now(), seconds = quick ? 0.02 : 0.4
  const ours = new Worker(node, [worker], env, log), theirs = python === undefined ? undefined : new Worker(python, [peer, emulated ? 'cpu' : 'cuda'], { OMP_NUM_THREADS: '1' }, log)
  const notRun: string[] = []
  let lost = theirs ? '' : 'no Python was named'
  try {
    for (const spec of specs(emulated)) {
      if (left() < 8000) { notRun.push(spec.name); continue }
      const here: Record<string, unknown>[] = [], there: Record<string, unknown>[] = [], most = spec.kind === 'step' ? 120_000 : 45_000
      for (let round = 0; round < (spec.kind === 'step' ? 1 : 2); round++) {
        here.push(await ours.ask({ spec, seconds }, Math.min(most, left())))
        if (theirs && !lost) there.push(await theirs.ask({ spec, seconds }, Math.min(most, Math.max(1000, left()))))
        if (theirs && !lost && theirs.about === undefined) lost = there.pop()!['error'] as string   // it never began
      }
      tell(rowOf(spec, here, there))
    }
  } finally {
    ours.close()
    theirs?.close()
  }
  return { peer: theirs?.about ?? `none: ${lost}`, notRun }
}

function rowOf(spec: Spec, here: Record<string, unknown>[], there: Record<string, unknown>[]): BenchmarkRow {
  const { name, flop, bytes, tokens } = spec, warpweft = side(here), pytorch = there.length ? side(there) : undefined
  const both = pytorch && 'milliseconds' in pytorch && 'milliseconds' in warpweft
  return {
    name, flop, bytes, tokens, warpweft, pytorch, ratio: both ? median(here.map((a, i) => median(there[i]!['times'] as number[]) / median(a['times'] as number[]))) : undefined, gpu: stateOfGpu(),
  }
}
