import type { BenchmarkRow } from './benchmarks.js'
import type { VectorComparison } from './vectors.js'

export type Status = 'passed' | 'failed' | 'not run' | 'cut short'

/** What became of a stage. */
export interface Stage { name: string, status: Status, seconds: number, summary: string, details?: unknown }

/** What a run brings home: results.json. */
export interface Results {
  format: 1
  date: string
  /** Of the folder that gpu:pack made. */
  kit: { version: string, commit: string, sources: string, architectures: string, packed: string }
  /** Kernels ran on the emulator in a GPU's place: nothing of it says anything about hardware. */
  emulated: boolean
  /** Only a part of every stage ran. */
  quick: boolean
  gpu: string
  versions: string
  /** Compute capability, such as sm_90. */
  capability: string
  machine: Readonly<Record<string, unknown>>
  conditions: readonly string[]
  stages: Stage[]
  vectors: VectorComparison[]
  benchmarks: BenchmarkRow[]
  peer: string
  /** Primitives, op cases, parity and training passed, whole, on hardware. */
  verified: boolean
  seconds: number
}

/** What has to pass before kernels count as verified on a kind of GPU. */
export const neededStages = ['primitives', 'op cases', 'parity float32', 'training'] as const

const cell = (side: BenchmarkRow['warpweft'] | undefined): string =>
  side === undefined ? '–' : 'error' in side ? `failed: ${side.error.slice(0, 60)}` : `${side.milliseconds.toPrecision(4)} (${side.from.toPrecision(3)}–${side.to.toPrecision(3)})`

/** Work a second of a side. */
function rate({ flop, bytes, tokens }: BenchmarkRow, side: BenchmarkRow['warpweft'] | undefined, copy: number | undefined): string {
  if (side === undefined || 'error' in side) return '–'
  const perSecond = (amount: number): number => amount / side.milliseconds * 1000
  if (flop !== undefined) return `${(perSecond(flop) / 1e12).toPrecision(4)} TFLOP/s`
  if (tokens !== undefined) return `${perSecond(tokens).toFixed(0)} tokens/s`
  if (bytes === undefined) return ''
  return `${(perSecond(bytes) / 1e9).toFixed(0)} GB/s${copy === undefined ? '' : `, ${(perSecond(bytes) / copy).toFixed(2)} of the copy`}`
}

/** The same as Markdown. */
export function markdown(r: Results): string {
  const copyRow = r.benchmarks.find(row => row.name.startsWith('copy')), copied = copyRow?.warpweft
  const copy = copyRow?.bytes !== undefined && copied && 'milliseconds' in copied ? copyRow.bytes / copied.milliseconds * 1000 : undefined
  const differing = r.vectors.filter(({ different }) => different > 0)
  return [
    `# ${r.emulated ? 'The emulator in the place of a GPU' : r.gpu}`, '',
    `warpweft ${r.kit.version} (commit ${r.kit.commit}, kernels ${r.kit.sources.slice(0, 12)}, ${r.kit.architectures}), ${r.date}, ${r.seconds.toFixed(0)} s. ${r.versions}`, '',
    r.emulated ? '**Not hardware**: this run only shows that the way goes through.' : `**Verified on hardware (${r.capability}): ${r.verified ? 'yes' : 'no'}.**`,
    ...r.quick ? ['Quick run: a part of every stage.'] : [], '',
    '| stage | result | seconds | |', '|---|---|---|---|', ...r.stages.map(s => `| ${s.name} | ${s.status} | ${s.seconds.toFixed(1)} | ${s.summary.replaceAll('|', '/').replaceAll('\n', ' ')} |`), '',
    ...r.vectors.length === 0 ? [] : [
      `Primitives: ${r.vectors.reduce((sum, v) => sum + v.elements, 0)} numbers compared with the emulator's, ${differing.length === 0 ? 'all equal.' : 'equal but for:'}`,
      ...differing.map(v => `- ${v.test}: ${v.different} of ${v.elements}, at most ${v.ulps} units of the last place`), '',
    ],
    `Peer: ${r.peer}.`, '', ...r.conditions.map(line => `- ${line}`), '',
    '| work | warpweft, ms | | PyTorch, ms | | ratio | MiB, warpweft / PyTorch | GPU | |', '|---|---|---|---|---|---|---|---|---|',
    ...r.benchmarks.map(row => {
      const { warpweft: here, pytorch: there, gpu } = row, peak = (side: typeof there): string => side && 'peakMiB' in side ? side.peakMiB.toFixed(0) : '–'
      return `| ${row.name} | ${cell(here)} | ${rate(row, here, copy)} | ${cell(there)} | ${rate(row, there, copy)} | ${row.ratio?.toFixed(2) ?? '–'} | ${peak(here)} / ${peak(there)} | `
        + `${gpu ? `${gpu.smClockMHz} MHz, ${gpu.temperature} °C, ${gpu.powerWatts} W` : '–'} | ${there && 'note' in there ? there.note ?? '' : ''} |`
    }), '',
  ].join('\n')
}
