import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { WarpweftError } from '#lib/errors.js'
import { matmul } from '#lib/ops/matmul.js'
import { logSoftmax, softmax } from '#lib/ops/softmax.js'
import { ones, tensor } from '#lib/tensor/create.js'
import { cpu, memory, threads, withDevice } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { missingOps, needing, testDevice } from '../testDevice.js'
import { anyNative, opsOfAddon, recordedCalls, type Argument, type Layout } from './nativeCalls.js'

// Whatever JavaScript passes to the addon: a typed error or success, no crash, no write outside of the arguments, nothing left behind.

const canaries: Tensor[] = []
const canaryValues = Float32Array.from({ length: 24 }, (_, i) => i * 0.5 - 3)
let stale = 0

beforeAll(() => {
  for (let i = 0; i < 64; i++) canaries.push(tensor(canaryValues, [2, 12]).keep())
  // Gaps between the canaries, so that the memory of arguments lies next to one.
  for (let i = 0; i < 64; i += 2) canaries[i]!.dispose()
  stale = anyNative['alloc']!(0, testDevice.index, 1, 3) as number
  anyNative['destroy']!(stale)
})
afterAll(() => { for (const t of canaries) t.dispose() })

/** Runs a hostile call and returns whether it succeeded. Anything that it throws must be one of the library's errors. */
function attempt(what: string, call: () => unknown): boolean {
  try {
    call()
    return true
  } catch (error) {
    if (!(error instanceof WarpweftError)) throw new Error(`${what} threw ${String(error)}, which has no code`, { cause: error })
    return false
  }
}

function expectSound(): void {
  attempt('synchronize', () => { testDevice.synchronizeSync() })   // the IndexErrors of queued garbage
  for (const t of canaries) if (!t.isDisposed) expect(t.dataSync()).toEqual(canaryValues)
  withDevice(missingOps.includes('matmul') ? cpu : testDevice, () => scope(() => { expect(Array.from(matmul(tensor([[1, 2], [3, 4]]), tensor([[5, 6], [7, 8]])).dataSync() as Float32Array)).toEqual([19, 22, 43, 50]) }))
}

/** Tensors made for one call: equal storages are one memory. */
class Arguments {
  private readonly roots = new Map<number, number>()
  readonly handles: number[] = []

  constructor(private readonly random: () => number) {}

  make({ storage, dtype, sizes, view }: Layout): number {
    let root = this.roots.get(storage)
    if (root === undefined) {
      root = anyNative['alloc']!(dtype, testDevice.index, sizes.length, ...sizes) as number
      this.handles.push(root)
      this.roots.set(storage, root)
      this.fill(root, dtype, sizes.reduce((a, b) => a * b, 1))
    }
    if (!view) return root
    const handle = anyNative['view']!(root, view.offset, view.sizes.length, ...view.sizes, ...view.strides) as number
    this.handles.push(handle)
    return handle
  }

  private fill(handle: number, dtype: number, n: number): void {
    const of = <T>(array: { from(source: { length: number }, f: () => number): T }) => array.from({ length: n }, () => this.random() < 0.05 ? 1e9 * (this.random() - 0.5) : this.random() * 4)
    anyNative['write']!(handle, dtype === 0 ? of(Float32Array) : dtype < 3 ? of(Uint16Array) : dtype === 3 ? of(Int32Array)
      : dtype === 4 ? BigInt64Array.from(of(Int32Array), BigInt) : of(Uint8Array))
  }

  dispose(): void { for (const h of this.handles) anyNative['destroy']!(h) }
}

const numbers = [NaN, Infinity, -Infinity, -1, 0, 1, 2, 0.5, -0.5, 1e-320, 1e308, -1e308, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 + 2, -(2 ** 63), 2 ** 63, 2 ** 24, 2 ** 24 + 0.5]
const strangers: unknown[] = [undefined, null, 'x', '', {}, [], [1], Symbol('s'), 1n, () => 0, true, false, new Date(), new Float64Array(3), new Float64Array([NaN, -1, 2 ** 53]), new Float32Array(2),
  new BigInt64Array(2), new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Float64Array(new SharedArrayBuffer(16)), new Proxy({}, {})]
const sizes = [0, 1, 2, 3, 4, 5, 7, 12, 16, 17]
const anySizes = fc.array(fc.constantFrom(...sizes), { maxLength: 4 })

type How =
  | { kind: 'value', value: unknown }
  | { kind: 'stale' | 'absent' | 'negative' | 'off by a half' | 'next slot' }
  | { kind: 'other argument', from: number }
  | { kind: 'sizes', sizes: number[] }
  | { kind: 'dtype', dtype: number }
  | { kind: 'view', sizes: number[], strides: number[], offset: number }
  | { kind: 'vast empty view', rank: number }
  | { kind: 'list', length: number }

/** What is done to one argument of a sound call. */
const change = fc.record({
  at: fc.nat(40),
  how: fc.oneof(
    fc.record({ kind: fc.constant('value' as const), value: fc.constantFrom<unknown>(...numbers) }),
    fc.record({ kind: fc.constant('value' as const), value: fc.constantFrom(...strangers) }),
    fc.record({ kind: fc.constantFrom('stale' as const, 'absent' as const, 'negative' as const, 'off by a half' as const, 'next slot' as const) }),
    fc.record({ kind: fc.constant('other argument' as const), from: fc.nat(40) }),
    fc.record({ kind: fc.constant('sizes' as const), sizes: anySizes }),
    fc.record({ kind: fc.constant('dtype' as const), dtype: fc.nat(7) }),
    fc.record({ kind: fc.constant('view' as const), sizes: anySizes, strides: fc.array(fc.constantFrom(0, 1, 2, 3, 4, 12), { minLength: 4, maxLength: 4 }), offset: fc.nat(5) }),
    fc.record({ kind: fc.constant('vast empty view' as const), rank: fc.integer({ min: 2, max: 8 }) }),
    fc.record({ kind: fc.constant('list' as const), length: fc.nat(4) }),
  ) as fc.Arbitrary<How>,
})

const layoutOf = (a: Argument): Layout | undefined => typeof a !== 'object' ? undefined : 'tensor' in a ? a.tensor : a.list[0]

function changed(make: Arguments, sound: Argument, value: unknown, values: readonly unknown[], how: How): unknown {
  const layout = layoutOf(sound), own = -1 - make.handles.length   // a storage that no other argument has
  switch (how.kind) {
    case 'value': return how.value
    case 'stale': return stale
    case 'absent': return 0
    case 'negative': return typeof value === 'number' ? -value : value
    case 'off by a half': return typeof value === 'number' ? value + 0.5 : value
    case 'next slot': return typeof value === 'number' ? value + 1 : value
    case 'other argument': return values[how.from % values.length]
    case 'sizes': return layout ? make.make({ storage: own, dtype: layout.dtype, sizes: how.sizes }) : value
    case 'dtype': return layout ? make.make({ storage: own, dtype: how.dtype, sizes: layout.sizes }) : how.dtype
    case 'view': return layout ? make.make({ ...layout, view: { offset: how.offset, sizes: how.sizes, strides: how.strides.slice(0, how.sizes.length) } }) : value
    case 'vast empty view': {
      const vast = Array.from({ length: how.rank }, (_, d) => d === 0 ? 2 ** 40 : d === 1 ? 0 : 1)
      return layout ? make.make({ ...layout, view: { offset: 0, sizes: vast, strides: new Array<number>(how.rank).fill(1) } }) : value
    }
    case 'list': return Float64Array.from({ length: how.length }, (_, i) => typeof values[i] === 'number' && values[i] !== 0 ? values[i] : stale)
  }
}

/** Reproducible numbers in [0, 1). */
function uniform(seed: number): () => number {
  let state = seed | 1
  return () => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) / 2 ** 32
}

describe('the addon, called with garbage', () => {
  test('the recorded calls cover every op', () => {
    expect(opsOfAddon.map(op => op.name).filter(name => !recordedCalls.some(c => c.op === name))).toEqual([])
  })

  for (const { name: op } of opsOfAddon) needing(op)(`${op}: changed arguments give a typed error or a result, and touch nothing else`, () => {
    const calls = recordedCalls.filter(c => c.op === op), before = memory()
    let accepted = 0, refused = 0
    fc.assert(fc.property(fc.nat(calls.length - 1), fc.array(change, { maxLength: 3 }), fc.nat(), fc.integer({ min: -1, max: 1 }), (which, changes, seed, extra) => {
      const call = calls[which]!, make = new Arguments(uniform(seed))
      try {
        const values = call.arguments.map((a): unknown => {
          if (typeof a !== 'object') return a
          return 'list' in a ? Float64Array.from(a.list, layout => make.make(layout)) : a.sign * make.make(a.tensor)
        })
        for (const { at, how } of changes) {
          const i = at % values.length
          attempt('alloc or view', () => { values[i] = changed(make, call.arguments[i]!, values[i], values, how) })
        }
        // One argument too few or too many is a mistake of its own: rarely, or nothing else would be reached.
        const given = seed % 16 !== 0 || extra === 0 ? values : extra < 0 ? values.slice(0, -1) : [...values, 1]
        if (attempt(op, () => anyNative[op]!(...given))) accepted++
        else refused++
      } finally {
        make.dispose()
      }
      attempt('synchronize', () => { testDevice.synchronizeSync() })
    }), { numRuns: 400, seed: 17 })
    expect(Math.min(accepted, refused)).toBeGreaterThan(40)   // both ways were taken
    expectSound()
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
  })

  test('tensors of impossible sizes and handles of nothing are refused by everything that is not an op', () => {
    const before = memory()
    const size = fc.constantFrom(...numbers, ...sizes.map(n => n * 1000003), 2 ** 40, 2 ** 52)
    const value = fc.oneof({ weight: 6, arbitrary: size as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: fc.constantFrom(...strangers) })
    const methods = ['alloc', 'view', 'share', 'version', 'overlap', 'write', 'readSync', 'destroy', 'memory', 'describeDevice', 'fence'] as const
    const base = ones([3, 4])
    fc.assert(fc.property(fc.constantFrom(...methods), fc.boolean(), fc.integer({ min: -1, max: 9 }), fc.array(value, { maxLength: 20 }), (method, sound, rank, values) => {
      // Often with sound first arguments, so that the later ones are looked at.
      const head: unknown[] = !sound ? [] : method === 'alloc' ? [0, 0, rank] : method === 'view' ? [base.raw, 0, rank] : method === 'overlap' || method === 'write' ? [base.raw] : []
      attempt(method, () => {
        const result = anyNative[method]!(...head, ...values)
        if (method === 'alloc' || method === 'view' || method === 'share') anyNative['destroy']!(result)
      })
    }), { numRuns: 3000, seed: 17 })
    base.dispose()
    expectSound()
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
  })

  test('destroyMany refuses lists that are none, and stops at a handle that is gone', () => {
    const before = memory(), make = (): number => anyNative['alloc']!(0, testDevice.index, 1, 3) as number
    const kept = make()
    for (const [handles, count] of [[[kept], 1], [Int32Array.of(1), 1], [Float64Array.of(kept), 2], [Float64Array.of(kept), -1], [Float64Array.of(kept), 1.5], [undefined, 0]] as const)
      expect(() => anyNative['destroyMany']!(handles, count)).toThrow(WarpweftError)
    const first = make(), behind = make()
    for (const bad of [NaN, stale, 2 ** 52, first]) {
      const handles = Float64Array.of(bad === first ? first : make(), bad, behind)
      expect(() => anyNative['destroyMany']!(handles, 3)).toThrow(WarpweftError)
    }
    anyNative['destroyMany']!(Float64Array.of(kept, behind, NaN), 2)
    expectSound()
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
  })

  test('a tensor of 2^40 empty rows is done at once: nobody walks them', () => {
    scope(() => {
      const x = ones([2 ** 40, 0])
      expect(softmax(logSoftmax(x)).dataSync()).toHaveLength(0)
    })
  })

  test('a view never reaches beyond its storage, whatever offsets and strides say', () => {
    const base = ones([3, 4])
    const n = fc.oneof(fc.integer({ min: -3, max: 14 }), fc.constantFrom(2 ** 31, 2 ** 53, -(2 ** 53), 2 ** 40))
    let views = 0
    fc.assert(fc.property(n, fc.array(fc.tuple(n, n), { maxLength: 4 }), (offset, dims) => {
      let handle = 0
      attempt('view', () => { handle = anyNative['view']!(base.raw, offset, dims.length, ...dims.map(d => d[0]), ...dims.map(d => d[1])) as number })
      if (handle === 0) return
      views++
      anyNative['destroy']!(handle)
      const empty = dims.some(d => d[0] === 0), last = dims.reduce((at, [size, stride]) => at + (size - 1) * stride, offset)
      expect(dims.every(([size, stride]) => size >= 0 && stride >= 0) && offset >= 0 && (empty ? offset <= 12 : last < 12)).toBe(true)
    }), { numRuns: 3000, seed: 17 })
    expect(views).toBeGreaterThan(100)
    base.dispose()
  })

  test('thread counts of any kind leave a number of threads that computes', () => {
    const before = threads()
    for (const value of [...numbers, ...strangers]) attempt('threads', () => anyNative['threads']!(value))
    expect(threads()).toBeGreaterThanOrEqual(1)
    expectSound()
    threads(before)
  })
})
