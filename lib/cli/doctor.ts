import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { cuda } from '../tensor/cuda.js'
import { automaticDevice, cpu, defaultDevice, device, threads } from '../tensor/device.js'
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
      device: `${defaultDevice().name}${process.env['WARPWEFT_DEVICE'] ? ` (WARPWEFT_DEVICE=${process.env['WARPWEFT_DEVICE']})` : ''}; 'auto' is ${automaticDevice().reason}`,
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

/** What there is behind 'cuda': devices, driver and runtime, what the backend lacks; or why there is nothing. */
function gpu(): string {
  const { devices, versions, missing, why } = cuda()
  if (devices.length === 0) return `none: ${why ?? 'there is no GPU'}${driver()}`
  const lacks = missing.length ? `; no kernel yet for ${missing.join(', ')}` : ''
  return `${devices.map((_, i) => `cuda:${i} ${device(`cuda:${i}`).describe()}`).join('; ')} (${versions})${lacks}`
}

/** The version of the kernel module, where there is one. */
function driver(): string {
  try {
    const version = /Kernel Module\s+(?:for \S+\s+)?([\d.]+)/.exec(readFileSync('/proc/driver/nvidia/version', 'utf8'))?.[1]
    return version === undefined ? '' : ` (NVIDIA driver ${version})`
  } catch {
    return ''
  }
}
