import { describe, expect, test } from '@jest/globals'
import { DTypeError, ShapeError, AutogradError, ConfigError } from '#lib/errors.js'
import { tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import type { DType } from '#lib/tensor/dtype.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward } from '#lib/autograd/backward.js'
import { add, sub } from '#lib/ops/add.js'
import type { Operand } from '#lib/ops/binary.js'
import { eq, ge, gt, le, logicalAnd, logicalOr, logicalXor, lt, ne } from '#lib/ops/compare.js'
import { floorDivide, remainder } from '#lib/ops/floorDivide.js'
import { clamp, maximum, minimum } from '#lib/ops/maximum.js'
import { div, mul } from '#lib/ops/mul.js'
import { pow } from '#lib/ops/pow.js'
import { transpose } from '#lib/ops/view.js'
import { map, zip } from './array64.js'
import { normal, opCases, type Array64, type OpCase } from './opCases.js'

const shapes: [number[], number[]][] = [[[1], [1]], [[3, 17], [3, 17]], [[7, 257], [257]], [[5, 1], [1, 7]], [[2, 3, 5], [3, 1]], [[], [3]], [[0, 3], [3]], [[2, 1, 63], [4, 1]], [[130, 257], [257]]]

interface Binary { op: (a: Operand, b: Operand) => Tensor, reference: (a: number, b: number) => number, b?: (v: number) => number, a?: (v: number) => number, numbers?: number[] }

const cases = ({ op, reference, a: prepareA = v => v, b: prepareB = v => v, numbers = [2.5, -1] }: Binary): OpCase[] => [
  ...shapes.map(([left, right]): OpCase => ({
    name: `[${left.join(', ')}] and [${right.join(', ')}]`,
    inputs: { a: map(normal(left), prepareA), b: map(normal(right, { seed: 1 }), prepareB) },
    large: left[0] === 130,
    run: ({ a, b }) => op(a!, b!),
    reference: ({ a, b }) => zip([a!, b!], reference),
  })),
  {
    name: 'a transposed and a broadcast tensor',
    inputs: { a: map(normal([17, 5]), prepareA), b: map(normal([17], { seed: 1 }), prepareB) },
    run: ({ a, b }) => op(transpose(a!), b!),
    reference: ({ a, b }) => zip([turned(a!), b!], reference),
  },
  ...numbers.flatMap((value): OpCase[] => [
    {
      name: `a tensor and ${value}`,
      inputs: { a: map(normal([5, 65]), prepareA) },
      run: ({ a }) => op(a!, value),
      reference: ({ a }) => map(a!, v => reference(v, value)),
    },
    {
      name: `${value} and a tensor`,
      inputs: { b: map(normal([5, 65]), prepareB) },
      run: ({ b }) => op(value, b!),
      reference: ({ b }) => map(b!, v => reference(value, v)),
    },
  ]),
]
const turned = (x: Array64): Array64 => {
  const [R, C] = x.shape as [number, number]
  return { shape: [C, R], data: Float64Array.from({ length: R * C }, (_, i) => x.data[(i % R) * C + Math.floor(i / R)]!) }
}

const awayFromZero = (v: number): number => v < 0 ? v - 0.5 : v + 0.5
const positive = (v: number): number => Math.abs(v) + 0.3

opCases('add', cases({ op: add, reference: (a, b) => a + b }))
opCases('sub', cases({ op: sub, reference: (a, b) => a - b }))
opCases('mul', cases({ op: mul, reference: (a, b) => a * b }))
opCases('div', cases({ op: div, reference: (a, b) => a / b, b: awayFromZero }))
opCases('pow', cases({ op: pow, reference: (a, b) => a ** b, a: positive, numbers: [2, 3, 0.5, 1.7] }).map(c => ({ ...c, gradientUlps: 64 })))
// On two grids that do not meet: a difference quotient across a tie is no derivative.
const apart = { a: (v: number): number => Math.round(v * 8) / 8, b: (v: number): number => Math.round(v * 8) / 8 + 1 / 16, numbers: [0.5 + 1 / 32] }
opCases('maximum', cases({ op: maximum, reference: Math.max, ...apart }))
opCases('minimum', cases({ op: minimum, reference: Math.min, ...apart }))
opCases('clamp', [
  { name: 'both bounds', inputs: { x: normal([3, 65]) }, run: ({ x }) => clamp(x!, { min: -0.5, max: 1 }), reference: ({ x }) => map(x!, v => Math.min(1, Math.max(-0.5, v))) },
  { name: 'from below', inputs: { x: normal([3, 65]) }, run: ({ x }) => clamp(x!, { min: 0.25 }), reference: ({ x }) => map(x!, v => Math.max(0.25, v)) },
  { name: 'from above', inputs: { x: normal([3, 65]) }, run: ({ x }) => clamp(x!, { max: 0.25 }), reference: ({ x }) => map(x!, v => Math.min(0.25, v)) },
])

const quantised = (seed: number, shape: number[]): Array64 => map(normal(shape, { seed }), v => Math.round(v * 2) / 2)
const comparisons: [string, (a: Operand, b: Operand) => Tensor, (a: number, b: number) => boolean][] = [
  ['eq', eq, (a, b) => a === b], ['ne', ne, (a, b) => a !== b], ['lt', lt, (a, b) => a < b], ['le', le, (a, b) => a <= b], ['gt', gt, (a, b) => a > b], ['ge', ge, (a, b) => a >= b],
  ['logicalAnd', (a, b) => logicalAnd(a as Tensor, b as Tensor), (a, b) => a !== 0 && b !== 0],
  ['logicalOr', (a, b) => logicalOr(a as Tensor, b as Tensor), (a, b) => a !== 0 || b !== 0],
  ['logicalXor', (a, b) => logicalXor(a as Tensor, b as Tensor), (a, b) => (a !== 0) !== (b !== 0)],
]
for (const [name, op, reference] of comparisons) {
  opCases(name, [{
    name: 'broadcast', inputs: { a: quantised(0, [5, 65]), b: quantised(1, [65]) }, differentiable: false,
    run: ({ a, b }) => op(a!, b!), reference: ({ a, b }) => zip([a!, b!], (u, v) => Number(reference(u, v))),
  }])
}

const integerTensor = (data: number[], dtype: DType = 'int32'): Tensor => tensor(data, null, { dtype })
const list = (t: Tensor): (number | bigint)[] => Array.from(t.dataSync() as ArrayLike<number>)

describe('arithmetic', () => {
  test('integers wrap, divide toward minus infinity, and keep their dtype', () => {
    scope(() => {
      const a = integerTensor([7, -7, 2147483647, 5]), b = integerTensor([2, 2, 1, 0])
      expect(list(add(a, b))).toEqual([9, -5, -2147483648, 5])
      expect(list(floorDivide(a, b))).toEqual([3, -4, 2147483647, 0])
      expect(list(remainder(a, b))).toEqual([1, 1, 0, 0])
      expect(list(mul(a, 3))).toEqual([21, -21, 2147483645, 15])
      expect(list(pow(integerTensor([2, -3]), 3))).toEqual([8, -27])
      expect(add(a, b).dtype).toBe('int32')
      expect(list(add(integerTensor([1], 'int64'), integerTensor([2], 'int64')))).toEqual([3n])
    })
  })

  test('floorDivide and remainder of floats follow Python', () => {
    scope(() => {
      const a = tensor([7, -7, 7, -7, 5]), b = tensor([3, 3, -3, Infinity, 0])
      expect(list(floorDivide(a, b))).toEqual([2, -3, -3, -1, Infinity])
      expect(list(remainder(a, b))).toEqual([1, 2, -2, Infinity, NaN])
    })
  })

  test('NaN spreads through maximum and minimum and equals nothing', () => {
    scope(() => {
      const a = tensor([NaN, 1, NaN]), b = tensor([1, NaN, NaN])
      expect(list(maximum(a, b))).toEqual([NaN, NaN, NaN])
      expect(list(minimum(a, b))).toEqual([NaN, NaN, NaN])
      expect(list(eq(a, a))).toEqual([0, 1, 0])
      expect(list(ne(a, a))).toEqual([1, 0, 1])
      expect(list(clamp(a, { min: 0, max: 1 }))).toEqual([NaN, 1, NaN])
    })
  })

  test('a tensor with itself gets both gradients', () => {
    scope(() => {
      const x = tensor([3, -2], null, { requiresGrad: true })
      backward(mul(x, x), tensor([1, 1]))
      expect(list(x.grad!)).toEqual([6, -4])
      const y = tensor([[1, 2], [3, 4]], null, { requiresGrad: true })
      backward(add(y, transpose(y)), tensor([[1, 10], [100, 1000]]))
      expect(list(y.grad!)).toEqual([2, 110, 110, 2000])
      const z = tensor([2], null, { requiresGrad: true })
      backward(pow(z, z))
      expect(z.grad!.itemSync()).toBeCloseTo(4 * (1 + Math.log(2)), 5)
      const w = tensor([5], null, { requiresGrad: true })
      backward(sub(div(w, w), maximum(w, w)))
      expect(w.grad!.itemSync()).toBe(-1)
    })
  })

  test('equal ones share the gradient of a maximum, bounds keep that of a clamp', () => {
    scope(() => {
      const a = tensor([1, 2, 3], null, { requiresGrad: true }), b = tensor([2], null, { requiresGrad: true })
      backward(maximum(a, b), tensor([1, 1, 1]))
      expect(list(a.grad!)).toEqual([0, 0.5, 1])
      expect(list(b.grad!)).toEqual([1.5])
      const x = tensor([-1, 0, 1, 2], null, { requiresGrad: true })
      backward(clamp(x, { min: 0, max: 1 }), tensor([1, 1, 1, 1]))
      expect(list(x.grad!)).toEqual([0, 1, 1, 0])
    })
  })

  test('powers at zero have the gradients of the limit', () => {
    scope(() => {
      const gradientOf = (y: (x: Tensor) => Tensor, at: number): number => {
        const x = tensor([at], null, { requiresGrad: true })
        backward(y(x))
        return x.grad!.itemSync()
      }
      expect(gradientOf(x => pow(x, 0), 0)).toBe(0)
      expect(gradientOf(x => pow(x, 1), 0)).toBe(1)
      expect(gradientOf(x => pow(x, 2), 0)).toBe(0)
      expect(gradientOf(x => pow(0, x), 2)).toBe(0)
      expect(gradientOf(x => pow(tensor([0]), x), 2)).toBe(0)
      expect(gradientOf(x => pow(x, tensor([0])), 0)).toBe(0)
    })
  })

  test('errors name the op, what came and what to do', () => {
    scope(() => {
      expect(() => add(zeros([2, 3]), zeros([4]))).toThrow(ShapeError)
      expect(() => add(zeros([2, 3]), zeros([4]))).toThrow('add: shapes [2, 3] and [4] do not broadcast')
      expect(() => mul(zeros([2]), zeros([2], { dtype: 'bfloat16' }))).toThrow('mul: one tensor is float32, the other bfloat16')
      expect(() => sub(zeros([2], { dtype: 'bool' }), 1)).toThrow(DTypeError)
      expect(() => div(integerTensor([1]), 2)).toThrow('floorDivide')
      expect(() => add(integerTensor([1]), 0.5)).toThrow(DTypeError)
      expect(() => clamp(zeros([1]), { min: 2, max: 1 })).toThrow(ConfigError)
      expect(() => add(1, 2)).toThrow(ShapeError)
      const x = zeros([1], { requiresGrad: true })
      expect(() => remainder(x, 2)).toThrow(AutogradError)
    })
  })

  test('forward, backward and failures leave nothing behind', () => {
    const before = memory().tensors, made: Tensor[] = []
    const zerosOf = (n: number): Tensor => {
      made.push(zeros([n]))
      return made.at(-1)!
    }
    const a = tensor([[1, 2, 3]], null, { requiresGrad: true }), b = tensor([[2], [4]], null, { requiresGrad: true })
    for (const op of [add, sub, mul, div, pow, maximum, minimum]) {
      const y = op(a, b)
      const seed = zeros([2, 3])
      backward(y, seed)
      for (const t of [y, seed]) t.dispose()
    }
    expect(() => add(a, zerosOf(4))).toThrow(ShapeError)
    for (const t of [a, b, ...made]) t.dispose()
    expect(memory().tensors).toBe(before)
  })
})
