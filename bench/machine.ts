import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { cpu, threads } from '#lib/tensor/device.js'

/** Virtual machines tell a name that many generations share; the numbers tell them apart. */
function generation(): string {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8'), number = (key: string) => new RegExp(`^${key}\\s*:\\s*(\\d+)`, 'm').exec(text)?.[1]
    const family = number('cpu family'), model = number('model')
    return family && model ? ` (family ${family}, model ${model})` : ''
  } catch {
    return ''
  }
}

/** What a figure was measured on. */
export function machine(): { date: string, processor: string, device: string, cores: number, threads: number, memoryGiB: number, node: string } {
  return {
    date: new Date().toISOString().slice(0, 10), processor: `${cpus()[0]?.model.trim() ?? 'unknown'}${generation()}`, device: cpu.describe(), cores: cpus().length,
    threads: threads(), memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.versions.node,
  }
}
