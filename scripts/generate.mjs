// Writes lib/tensor/nativeOps.ts, the addon's declarations, from the op structs that the addon was compiled from. With --check it only compares.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = new URL('../lib/tensor/nativeOps.ts', import.meta.url)
const addon = createRequire(import.meta.url)('node-gyp-build')(root)

const types = {
  in: 'Handle', out: 'Handle', inout: 'Handle', grad: 'Gradient', inList: 'Float64Array', inoutList: 'Float64Array', number: 'number', integer: 'number', boolean: 'boolean',
}
const reserved = new Set(['in', 'new', 'default', 'class', 'function', 'delete', 'with'])
const parameter = ({ name, kind, optional }) => `${reserved.has(name) ? name + '_' : name}: ${types[kind]}${optional && kind.endsWith('List') ? ' | 0' : ''}`

const ops = JSON.parse(addon.describe())
const text = `// Generated from native/ops by scripts/generate.mjs. Do not edit: \`npm run build\` writes it.

/** A native tensor; 0 where an optional argument is absent. */
export type Handle = number
/** Where a gradient goes: a handle to be overwritten, its negative to be accumulated into, 0 if it is not wanted. */
export type Gradient = number

export interface Native {
  alloc(dtype: number, device: number, rank: number, ...sizes: number[]): Handle
  view(of: Handle, offset: number, rank: number, ...sizesThenStrides: number[]): Handle
  share(of: Handle): Handle
  destroy(handle: Handle): void
  destroyMany(handles: Float64Array, count: number): void
  version(handle: Handle): number
  /** 0: no common element, 1: the same view, 2: anything else. */
  overlap(a: Handle, b: Handle): number
  write(handle: Handle, values: NodeJS.TypedArray): void
  /** The elements of a contiguous tensor to one of the same shape and dtype on another device. */
  transfer(from: Handle, to: Handle): void
  read(handle: Handle, id: number): void
  readSync(handle: Handle): ArrayBuffer
  fence(device: number, id: number): void
  synchronize(device: number): void
  reset(device: number): void
  memory(device: number): string
  resetPeak(device: number): void
  trim(device: number): void
  describeDevice(device: number): string
  threads(count?: number): number
  /** Notes every op of this session that the CPU runs from now on. */
  startProfile(): void
  /** What ran since: JSON, see native/runtime/profile.hpp. */
  stopProfile(): string
  /** Floating-point operations a second that the CPU's threads do at most, measured now. */
  peak(): number
  /** Opens a device library, once a process; its devices have the indices 1, 2, … JSON: its versions, devices, and the ops that it lacks. */
  openLibrary(file: string): string
  /** The file that a session of this process has opened; empty if none has. */
  openedLibrary(): string
  /** What a program writes; null if it does not end well in that time. */
  runChild(milliseconds: number, program: string, ...arguments_: string[]): string | null

${ops.map(op => `  ${op.name}(${op.fields.map(parameter).join(', ')}): void`).join('\n')}
}
`
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('lib/tensor/nativeOps.ts does not match the ops of the addon: run `node scripts/generate.mjs` and commit the result')
    process.exit(1)
  }
} else {
  writeFileSync(target, text)
}
