import { availableParallelism } from 'node:os'
import { describe, expect, jest, test } from '@jest/globals'
import type { DType } from '#lib/tensor/dtype.js'
import { threads } from '#lib/tensor/device.js'
import { native } from '#lib/tensor/native.js'
import { scope } from '#lib/tensor/scope.js'
import { empty, type Tensor } from '#lib/tensor/tensor.js'
import { tensor } from '#lib/tensor/create.js'
import { backwardMany } from '#lib/autograd/backward.js'
import { slice } from '#lib/ops/view.js'
import { Random } from '#lib/data/random.js'
import { isEmulated, missingIn, testDevice } from '../testDevice.js'

// One list of cases an op, run as: against a float64 reference for every dtype, gradients against finite differences of that reference (in bfloat16 against
// those of float32), with a NaN and an infinity among the inputs, the same bits twice and for every number of threads, and strided inputs against contiguous ones.
// On the CPU, or the device of WARPWEFT_TEST_DEVICE: there a case whose ops the backend lacks is skipped under the names of these ops.

/** An array in float64: what a reference computes with. */
export interface Array64 { readonly shape: readonly number[], readonly data: Float64Array }

export interface Input extends Array64 {
  /** Fixed dtype (ids, masks, statistics); without it the input takes the dtype under test. */
  dtype?: DType
  /** Whether gradients are checked (floating inputs: yes). */
  gradient?: boolean
}

export interface OpCase {
  name: string
  inputs: Record<string, Input>
  /** Through lib/ops. Outputs in the order of the reference; a reference may return fewer. */
  run(inputs: Record<string, Tensor>): Tensor | readonly Tensor[]
  reference(inputs: Record<string, Array64>): Array64 | readonly Array64[]
  /** Dtypes under test; float32, bfloat16 and float16 by default. */
  dtypes?: readonly DType[]
  /** Bound of the error in units of rounding of the dtype, relative to the largest absolute value of the reference (or of `within`, where that is larger). Default 4. */
  ulps?: number
  /** The size of values on the way, where results may be much smaller by cancellation. */
  within?(inputs: Record<string, Array64>): Array64
  /** As `ulps`, for gradients. Default 16. */
  gradientUlps?: number
  /** Whether the op has a gradient. Default: true. */
  differentiable?: boolean
  /** Whether the reference says what becomes of a NaN or an infinity in the first floating input. Default: true. */
  special?: boolean
  /** So large that threads share the work: values and bits in float32 alone. */
  large?: boolean
  /** Inputs that may be strided; default: all floating ones. */
  strided?: readonly string[]
}

const rounding: Partial<Record<DType, number>> = { float32: 2 ** -24, bfloat16: 2 ** -9, float16: 2 ** -12 }

export const values = (shape: readonly number[], fill: (i: number) => number): Array64 =>
  ({ shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => fill(i)) })

/** Normal numbers; the same for the same shape and seed. */
export function normal(shape: readonly number[], { seed = 0, mean = 0, std = 1 } = {}): Array64 {
  const random = new Random(seed, 'op cases')
  return values(shape, () => mean + std * random.normal())
}

export const integers = (shape: readonly number[], below: number, { seed = 0, dtype = 'int32' as DType } = {}): Input => {
  const random = new Random(seed, 'op cases')
  return { ...values(shape, () => Math.floor(random.uniform() * below)), dtype }
}

const list = <T>(x: T | readonly T[]): readonly T[] => Array.isArray(x) ? x as readonly T[] : [x as T]
const isFloat = (dtype: DType) => dtype in rounding

async function toArray64(t: Tensor): Promise<Array64> {
  const data = await t.data()
  return { shape: t.shape, data: Float64Array.from(data as ArrayLike<number>, Number) }
}

/** The same values with gaps: columns of a wider tensor, which is the leaf. */
function withGaps(t: Tensor, requiresGrad: boolean): Tensor {
  if (t.rank === 0 || t.size === 0) return t
  const wide = empty([...t.shape.slice(0, -1), t.shape.at(-1)! + 3], t.dtype)
  native.fill(wide.raw, NaN)
  const strides = wide.strides
  const handle = native.view(wide.raw, 1, t.rank, ...t.shape, ...strides)
  native.copy(t.handle, handle)
  native.destroy(handle)
  wide.requiresGrad = requiresGrad
  return slice(wide, -1, 1, 1 + t.shape.at(-1)!)
}

/** That of a view is the same view of its root's. */
function gradientOf(t: Tensor): Tensor | undefined {
  if (!t.geometry) return t.grad
  const { grad } = t.geometry.root
  return grad && slice(grad, -1, 1, 1 + t.shape.at(-1)!)
}

// Machines that are busy with other things need not fail.
jest.setTimeout(60_000)

interface Outcome { outputs: Array64[], gradients: Record<string, Array64> }

interface How { strided?: boolean, backward?: boolean }

/** Queues the case: forward, and backward where something is differentiable. */
function queue(c: OpCase, dtype: DType, { strided = false, backward = true }: How) {
  const inputs: Record<string, Tensor> = {}, given: Record<string, Tensor> = {}
  for (const [name, input] of Object.entries(c.inputs)) {
    let t = tensor(Float32Array.from(input.data), input.shape, { dtype: input.dtype ?? dtype })
    if (input.dtype === 'int64' || input.dtype === 'int32') { t.dispose(); t = tensor([...input.data], input.shape, { dtype: input.dtype }) }
    given[name] = t
    const differentiated = c.differentiable !== false && (input.gradient ?? !input.dtype) && isFloat(t.dtype)
    if (strided && (c.strided?.includes(name) ?? !input.dtype)) t = withGaps(t, differentiated)
    if (!t.geometry) t.requiresGrad = differentiated
    inputs[name] = t
  }
  const outputs = list(c.run(inputs))
  const gradients: Record<string, Tensor> = {}
  const differentiable = outputs.filter(y => y.requiresGrad)
  if (backward && differentiable.length) {
    backwardMany(differentiable, differentiable.map(y => tensor(Float32Array.from(seedOf(y.shape, outputs.indexOf(y)).data), y.shape, { dtype: y.dtype })))
    for (const [name, t] of Object.entries(inputs)) {
      const gradient = gradientOf(t)
      if (gradient) gradients[name] = gradient
    }
  }
  return { given, outputs, gradients }
}

async function valuesOf(tensors: Record<string, Tensor>): Promise<Record<string, Array64>> {
  return Object.fromEntries(await Promise.all(Object.entries(tensors).map(async ([name, t]) => [name, await toArray64(t)] as const)))
}

async function execute(c: OpCase, dtype: DType, how: How = {}): Promise<Outcome & { rounded: Record<string, Array64> }> {
  return scope(async () => {
    const { given, outputs, gradients } = queue(c, dtype, how)
    return { rounded: await valuesOf(given), gradients: await valuesOf(gradients), outputs: await Promise.all(outputs.map(toArray64)) }
  })
}

/** What the gradient check multiplies output `i` by: exact in every dtype. */
const seedOf = (shape: readonly number[], i: number): Array64 => {
  const key = `${shape.join()} ${i}`
  let seed = seeds.get(key)
  if (!seed) {
    const random = new Random(17 + i, 'op cases')
    seeds.set(key, seed = values(shape, () => Math.round(random.normal() * 8) / 8))
  }
  return seed
}
const seeds = new Map<string, Array64>()

function largest(a: Array64): number {
  let m = 0
  for (const v of a.data) if (Number.isFinite(v)) m = Math.max(m, Math.abs(v))
  return m
}

function compare(what: string, got: Array64, expected: Array64, bound: number): void {
  expect({ what, shape: got.shape }).toEqual({ what, shape: expected.shape })
  let worst = 0, at = -1
  for (let i = 0; i < expected.data.length; i++) {
    const g = got.data[i]!, e = expected.data[i]!
    if (Number.isNaN(e) ? !Number.isNaN(g) : !Number.isFinite(e) ? g !== e : !(Math.abs(g - e) <= bound)) {
      const error = Number.isFinite(g - e) ? Math.abs(g - e) : Infinity
      if (error > worst || at < 0) { worst = error; at = i }
    }
  }
  if (at >= 0) throw new Error(`${what}: element ${at} is ${got.data[at]}, expected ${expected.data[at]} within ${bound}`)
}

const dot = (a: Array64, b: Array64): number => a.data.reduce((s, v, i) => s + v * b.data[i]!, 0)

/** d/dt of sum(seed * reference(inputs + t * direction)) at 0, by central differences in float64. */
function derivative(c: OpCase, inputs: Record<string, Array64>, name: string, direction: Array64): number {
  const h = 1e-5
  const at = (t: number): number => {
    const x = inputs[name]!
    const moved = { ...inputs, [name]: { shape: x.shape, data: x.data.map((v, i) => v + t * direction.data[i]!) } }
    return list(c.reference(moved)).reduce((s, y, i) => s + dot(y, seedOf(y.shape, i)), 0)
  }
  return (at(h) - at(-h)) / (2 * h)
}

/** As text: comparing arrays element by element is what would take a test's time. */
const bitsOf = ({ outputs, gradients }: Outcome): string[] =>
  [...outputs, ...Object.values(gradients)].map(({ shape, data }) => `[${shape.join(', ')}] ${Buffer.from(data.buffer).toString('base64')}`)

/** What the device under test lacks for a case, or too much of what it has: an emulator takes minutes for what is large. */
function obstacle(c: OpCase, dtypes: readonly DType[]): string | undefined {
  if (c.large && isEmulated) return 'too large for the emulator'
  const missing = new Set(dtypes.flatMap(dtype => missingIn(() => { scope(() => { queue(c, dtype, { strided: !c.large }) }) })))
  return missing.size ? `${testDevice.name} has no ${[...missing].join(', ')}` : undefined
}

/** Registers the tests of an op. */
export function opCases(op: string, cases: readonly OpCase[]): void {
  describe(op, () => {
    for (const c of cases) {
      const why = obstacle(c, c.large ? ['float32'] : c.dtypes ?? ['float32', 'bfloat16', 'float16'])
      if (why !== undefined) {
        test.skip(`${c.name}: ${why}`, () => undefined)   // counted, and named in the output
        continue
      }
      const dtypes = c.large ? ['float32' as const] : c.dtypes ?? ['float32', 'bfloat16', 'float16']
      test.each(dtypes.map(d => [d]))(`${c.name}: %s equals the float64 reference`, async dtype => {
        const { outputs, rounded } = await execute(c, dtype, { backward: false })
        list(c.reference(rounded)).forEach((expected, i) => {
          const unit = rounding[dtype] ?? 0
          compare(`output ${i}`, outputs[i]!, expected, (c.ulps ?? 4) * unit * Math.max(largest(expected), c.within ? largest(c.within(rounded)) : 0, 1e-30))
        })
      })
      const special = c.special !== false && !c.large && Object.entries(c.inputs).find(([, { dtype, data }]) => !dtype && data.length > 0)
      if (special) {
        test(`${c.name}: a NaN and an infinity go where the reference sends them, and nowhere else`, async () => {
          for (const value of [NaN, Infinity]) {
            const [name, input] = special, data = input.data.slice()
            data[data.length >> 1] = value
            const { outputs, rounded } = await execute({ ...c, inputs: { ...c.inputs, [name]: { ...input, data } } }, dtypes[0]!, { backward: false })
            list(c.reference(rounded)).forEach((expected, i) => {
              compare(`output ${i} for ${value}`, outputs[i]!, expected, (c.ulps ?? 4) * (rounding[dtypes[0]!] ?? 0) * Math.max(largest(expected), c.within ? largest(c.within(rounded)) : 0, 1e-30))
            })
          }
        })
      }
      if (c.differentiable !== false && dtypes.includes('bfloat16')) {
        test(`${c.name}: bfloat16 gradients are those of float32, rounded`, async () => {
          const dtype = 'bfloat16'
          const { gradients, rounded } = await execute(c, dtype)
          const exact = await execute({ ...c, inputs: Object.fromEntries(Object.entries(c.inputs).map(([name, input]) => [name, { ...input, data: rounded[name]!.data }])) }, 'float32')
          expect(Object.keys(gradients)).toEqual(Object.keys(exact.gradients))
          for (const [name, g] of Object.entries(exact.gradients))
            compare(`gradient of ${name}`, gradients[name]!, g, (c.gradientUlps ?? 16) * rounding[dtype]! * Math.max(largest(g), 1e-30))
        })
      }
      if (c.differentiable !== false && !c.large) {
        test(`${c.name}: gradients equal finite differences`, async () => {
          const { gradients, rounded } = await execute(c, 'float32')
          expect(Object.keys(gradients).length).toBeGreaterThan(0)
          for (const [name, gradient] of Object.entries(gradients)) {
            expect(gradient.shape).toEqual(c.inputs[name]!.shape)
            const scale = Math.sqrt(dot(gradient, gradient)) + 1e-3
            for (let k = 0; k < 3; k++) {
              const direction = normal(gradient.shape, { seed: 100 + k })
              const expected = derivative(c, rounded, name, direction)
              const bound = 1e-6 * Math.abs(expected) + (c.gradientUlps ?? 16) * 2 ** -24 * scale * Math.sqrt(dot(direction, direction)) + 1e-6 * scale
              expect({ name, off: Math.abs(dot(gradient, direction) - expected) <= bound ? 0 : dot(gradient, direction) - expected, expected }).toEqual({ name, off: 0, expected })
            }
          }
        })
      }
      test(`${c.name}: the same bits twice and with one thread`, async () => {
        const before = threads()
        try {
          expect(threads(availableParallelism())).toBe(availableParallelism())   // the runner's workers begin with one each
          const first = await execute(c, dtypes[0]!), second = await execute(c, dtypes[0]!)
          threads(1)
          const single = await execute(c, dtypes[0]!)
          expect(bitsOf(second)).toEqual(bitsOf(first))
          expect(bitsOf(single)).toEqual(bitsOf(first))
        } finally {
          threads(before)
        }
      })
      if (c.large) continue
      test(`${c.name}: strided inputs give what contiguous ones give`, async () => {
        const plain = await execute(c, dtypes[0]!), gaps = await execute(c, dtypes[0]!, { strided: true })
        plain.outputs.forEach((y, i) => { compare(`output ${i}`, gaps.outputs[i]!, y, (c.ulps ?? 4) * (rounding[dtypes[0]!] ?? 0) * largest(y)) })
        for (const [name, g] of Object.entries(plain.gradients)) compare(`gradient of ${name}`, gaps.gradients[name]!, g, 64 * 2 ** -24 * Math.max(largest(g), 1e-30))
      })
    }
  })
}
