import { cpus, totalmem } from 'node:os'
import { cpu, threads } from '#lib/tensor/device.js'

/** What a figure was measured on. */
export function machine(): { date: string, processor: string, device: string, cores: number, threads: number, memoryGiB: number, node: string } {
  return {
    date: new Date().toISOString().slice(0, 10), processor: cpus()[0]?.model.trim() ?? 'unknown', device: cpu.describe(), cores: cpus().length,
    threads: threads(), memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.versions.node,
  }
}
