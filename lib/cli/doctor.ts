import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { cpu, threads } from '../tensor/device.js'
import type { Command } from './arguments.js'

const gigabytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`

export const doctor: Command = {
  about: 'says what warpweft runs on here, and why not on something faster',
  usage: 'doctor [--json]',
  operands: [0, 0],
  flags: { json: { about: 'print JSON' } },
  async run(_, options) {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
    const memory = cpu.memory()
    const facts = {
      warpweft: version,
      node: `${process.versions.node} (ICU ${process.versions['icu'] ?? 'absent'})`,
      system: `${process.platform}-${process.arch}, ${libc()}`,
      processor: `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} usable cores`,
      instructions: `${cpu.describe()}${process.env['WARPWEFT_ISA'] ? ` (WARPWEFT_ISA=${process.env['WARPWEFT_ISA']})` : ''}`,
      threads: `${threads()}${process.env['WARPWEFT_THREADS'] ? ` (WARPWEFT_THREADS=${process.env['WARPWEFT_THREADS']})` : ''}`,
      memory: `${gigabytes(freemem())} of ${gigabytes(totalmem())} free; tensors may take ${gigabytes(memory.limitBytes)}`,
      gpu: gpu(),
    }
    if (options.on('json')) console.log(JSON.stringify(facts))
    else for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(12)} ${value}`)
    return 0
  },
}

function libc(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined ? 'musl' : `glibc ${report.header.glibcVersionRuntime}`
}

/** This version has no CUDA backend: whatever is found here, the CPU computes. */
function gpu(): string {
  const found = existsSync('/proc/driver/nvidia/version') ? 'an NVIDIA driver is installed' : 'no NVIDIA driver is installed'
  return `not used: this version of warpweft computes on the CPU only (${found})`
}
