// Measures what bench/works.ts lists, beside PyTorch where there is a Python with it: npm run bench [-- --python python3 --works a,b --rounds 3 --seconds 5
// --compile --output FILE]. Each measurement is a process of its own; the two take turns, so that a machine that slows down slows both.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { threads } from '#lib/tensor/device.js'
import { measuredPeaks } from '#lib/tensor/profile.js'
import { machine } from './machine.js'
import { saveResult } from './saveResult.js'
import { usualWorks, works } from './works.js'

interface Measurement { times: number[], peakMiB: number, flop?: number, bytes?: number, units?: number, unit?: string, version?: string }

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' }, works: { type: 'string', default: usualWorks.join(',') }, rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' }, compile: { type: 'boolean', default: false }, output: { type: 'string' },
  },
})
const names = values.works.split(','), rounds = Number(values.rounds), unknown = names.filter(name => !Object.hasOwn(works, name))
if (unknown.length > 0 || !(rounds >= 1)) {
  console.error(`bench: unknown ${unknown.join(', ')}; known are ${Object.keys(works).join(', ')}. --rounds is a number from 1.`)
  process.exit(1)
}

/** PyTorch at its best: threads as here, and a malloc that keeps what it has. */
const peerEnvironment = {
  OMP_NUM_THREADS: String(threads()), KMP_BLOCKTIME: '1', MALLOC_MMAP_MAX_: '0', MALLOC_TRIM_THRESHOLD_: '17179869184', MALLOC_TOP_PAD_: '268435456',
}
const script = fileURLToPath(new URL('../../../bench/peer.py', import.meta.url))
const torch = spawnSync(values.python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' }).stdout?.trim()

function measured(command: string, args: string[], environment: NodeJS.ProcessEnv): Measurement {
  const { stdout, stderr, status } = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...environment }, maxBuffer: 2 ** 26 })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with status ${status}: ${stderr.trim()}`)
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Measurement
}
const ours = (name: string): Measurement => measured(process.execPath, [fileURLToPath(new URL('./work.js', import.meta.url)), name, values.seconds], {})
const peer = (name: string): Measurement =>
  measured(values.python, [script, name, values.seconds, String(threads()), ...(values.compile && name.startsWith('train') ? ['compile'] : [])], peerEnvironment)

const median = (numbers: readonly number[]): number => {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
/** Of all runs of all rounds: median, and the range that leaves out the slowest and the fastest tenth. */
function summary(all: readonly Measurement[]) {
  const times = all.flatMap(m => m.times).sort((a, b) => a - b), at = (part: number): number => times[Math.min(times.length - 1, Math.floor(part * times.length))]!
  return { milliseconds: at(0.5), from: at(0.1), to: at(0.9), runs: times.length, peakMiB: Math.max(...all.map(m => m.peakMiB)) }
}

const peaks = await measuredPeaks(), peak = peaks.flops / 1e9
const about = { ...machine(), peaks, torch: torch || null, compile: values.compile, rounds, seconds: Number(values.seconds) }
console.log(`${about.processor}; ${about.device}; Node ${about.node}; float32 unless a work says otherwise; ${rounds} rounds of ${about.seconds} s, `
  + (torch ? `PyTorch ${torch}${values.compile ? ' with torch.compile for training' : ''} in turns` : `no PyTorch: ${values.python} cannot import torch (--python PYTHON names another)`))
console.log(`multiply-adds at most ${peak.toFixed(0)} GFLOP/s, memory ${(peaks.bandwidth / 1e9).toFixed(0)} GB/s`)
console.log(`${'work'.padEnd(40)} ${'warpweft ms'.padStart(24)} ${'PyTorch ms'.padStart(24)} ${'ratio'.padStart(18)} ${'peak MiB'.padStart(12)}`)

const rows = names.map(name => {
  const here: Measurement[] = [], there: Measurement[] = []
  for (let round = 0; round < rounds; round++) {
    here.push(ours(name))
    if (torch) there.push(peer(name))
  }
  const warpweft = summary(here), pytorch = torch ? summary(there) : undefined
  // A ratio of each round: what disturbs a round disturbs both.
  const ratios = there.map((m, i) => median(m.times) / median(here[i]!.times)), { flop, bytes, units, unit } = here[0]!
  const cell = (s: ReturnType<typeof summary> | undefined): string => (s ? `${s.milliseconds.toFixed(2)} (${s.from.toFixed(2)}–${s.to.toFixed(2)})` : '').padStart(24)
  const ratio = ratios.length ? `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})` : ''
  const peaks = `${warpweft.peakMiB.toFixed(0)}${pytorch ? ` / ${pytorch.peakMiB.toFixed(0)}` : ''}`
  const rate = flop ? ` ${(flop / warpweft.milliseconds / 1e6).toFixed(0)} GFLOP/s (${(100 * flop / warpweft.milliseconds / 1e6 / peak).toFixed(0)} % of multiply-adds)`
    : bytes ? ` ${(bytes / warpweft.milliseconds / 1e6).toFixed(0)} GB/s` : units ? ` ${(1000 * units / warpweft.milliseconds).toFixed(0)} ${unit}/s` : ''
  console.log(`${name.padEnd(40)} ${cell(warpweft)} ${cell(pytorch)} ${ratio.padStart(18)} ${peaks.padStart(12)} ${rate}`)
  return { name, warpweft, ...(pytorch ? { pytorch, ratio: median(ratios), ratios } : {}), ...(flop ? { flop } : {}), ...(bytes ? { bytes } : {}), ...(units ? { units, unit } : {}) }
})
if (values.output !== undefined) await saveResult(values.output, { ...about, command: `npm run bench -- ${process.argv.slice(2).filter(a => !a.includes('/')).join(' ')}`.trim(), rows })
