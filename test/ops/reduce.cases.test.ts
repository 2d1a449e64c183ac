import { describe, expect, test } from '@jest/globals'
import { AutogradError, DTypeError, ShapeError } from '#lib/errors.js'
import { argmax } from '#lib/ops/argmax.js'
import { cumsum } from '#lib/ops/cumsum.js'
import { all, any, max, mean, min, prod, sum, sumOfSquares } from '#lib/ops/reduce.js'
import { backward } from '#lib/autograd/backward.js'
import { tensor, zeros } from '#lib/tensor/create.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { reduceOver, total } from './array64.js'
import { normal, opCases, values, type Array64, type OpCase } from './opCases.js'

const places: [shape: number[], dims: number[] | undefined][] = [
  // Every other one keeps its dimensions; the first ones reduce nothing but sizes of 1.
  [[], undefined], [[1], [0]], [[1], undefined], [[3, 1], [1]], [[3, 1], [1]], [[1, 1, 7], [0, 1]], [[257], undefined], [[3, 17], [1]], [[3, 17], [0]], [[5, 4, 9], [1]], [[5, 4, 9], [0, 2]], [[5, 4, 9], [-1, -2]], [[2, 1, 65, 1], [1, 2]], [[3, 1031], [-1]], [[130, 33], [0]], [[300, 257], [1]], [[300, 257], [0]], [[300, 257], undefined],
]

function casesOf(run: typeof sum, f: (group: number[]) => number, std = 1, mean_ = 0, ulps = 4): OpCase[] {
  // Of those that threads share, two stand for all.
  return places.filter(([shape]) => shape[0] !== 300 || run === sum || run === max).map(([shape, dims], i) => ({
    name: `[${shape.join(', ')}] over ${dims?.join() ?? 'all'}`,
    inputs: { x: normal(shape, { std, mean: mean_ }) },
    run: ({ x }) => run(x!, dims, { keepDim: i % 2 === 1 }),
    reference: ({ x }) => reduceOver(x!, dims, f, i % 2 === 1),
    // Partial sums of numbers of both signs are as large as the root of the sum of squares, whatever is left in the end.
    ...(run === sum ? { within: ({ x }) => reduceOver(x!, dims, group => Math.hypot(...group)) } : {}),
    ulps,
    large: shape[0] === 300,
  }))
}

opCases('sum', casesOf(sum, total))
opCases('mean', casesOf(mean, group => total(group) / group.length, 1, 3))
opCases('sumOfSquares', casesOf(sumOfSquares, group => group.reduce((s, v) => s + v * v, 0)))
// Normal numbers have no ties in float32, where gradients are checked.
opCases('max', casesOf(max, group => group.reduce((a, b) => Math.max(a, b))))
opCases('min', casesOf(min, group => group.reduce((a, b) => Math.min(a, b))))
opCases('prod', casesOf(prod, group => group.reduce((a, b) => a * b, 1), 0.01, 1, 32).filter((_, i) => places[i]![0].every(n => n < 300)).map(c => ({ ...c, gradientUlps: 64 })))

const cumulative = (x: Array64, dim: number): Array64 => {
  const d = dim < 0 ? dim + x.shape.length : dim, step = x.shape.slice(d + 1).reduce((a, b) => a * b, 1), y = values(x.shape, () => 0)
  for (let i = 0; i < x.data.length; i++) y.data[i] = x.data[i]! + (Math.floor(i / step) % x.shape[d]! === 0 ? 0 : y.data[i - step]!)
  return y
}
opCases('cumsum', ([[[1, 1], -1], [[257], 0], [[3, 17], 1], [[3, 17], 0], [[4, 1, 9, 5], 2], [[2, 5000], -1], [[300, 65], 1], [[3, 0], 1]] as [number[], number][]).map(([shape, dim]) => ({
  large: shape[0] === 300,
  name: `[${shape.join(', ')}] along ${dim}`,
  inputs: { x: normal(shape) },
  run: ({ x }) => cumsum(x!, dim),
  reference: ({ x }) => cumulative(x!, dim),
})))

const first = (x: Array64, dim: number): Array64 => {
  const indices = { shape: x.shape, data: x.data.map((_, i) => i) }, step = x.shape.slice(dim < 0 ? dim + x.shape.length + 1 : dim + 1).reduce((a, b) => a * b, 1), n = x.shape.at(dim)!
  return reduceOver(indices, [dim], group => Math.floor(group.reduce((best, i) => x.data[i]! > x.data[best]! ? i : best) / step) % n)
}
opCases('argmax', ([[[257], 0], [[3, 17], -1], [[3, 17], 0], [[4, 9, 5], 1], [[2, 1, 5000], -1], [[6, 1], 1]] as [number[], number][]).map(([shape, dim]) => ({
  name: `[${shape.join(', ')}] along ${dim}`,
  // Whole numbers: ties, which the first wins, in every dtype.
  inputs: { x: values(shape, i => (i * 7919) % 31) },
  run: ({ x }) => argmax(x!, dim),
  reference: ({ x }) => first(x!, dim),
  ulps: 0,
  special: false,   // NaN wins, below
  differentiable: false,
})))

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as ArrayLike<number | bigint>, Number)

describe('reductions', () => {
  test('of nothing: a sum of 0, a product of 1, a mean of NaN, no largest', () => {
    scope(() => {
      const x = zeros([2, 0])
      expect(numbers(sum(x, 1))).toEqual([0, 0])
      expect(numbers(prod(x, 1))).toEqual([1, 1])
      expect(numbers(mean(x, 1))).toEqual([NaN, NaN])
      expect(numbers(any(x, 1))).toEqual([0, 0])
      expect(numbers(all(x, 1))).toEqual([1, 1])
      expect(numbers(sum(x, 0))).toEqual([])
      expect(() => max(x, 1)).toThrow(ShapeError)
      expect(() => argmax(x, 1)).toThrow(ShapeError)
      expect(() => sum(x, 2)).toThrow(/dimension 2/)
    })
  })

  test('NaN wins, infinities keep their sign', () => {
    scope(() => {
      const x = tensor([[1, NaN, 3], [Infinity, 2, -Infinity]])
      expect(numbers(max(x, 1))).toEqual([NaN, Infinity])
      expect(numbers(min(x, 1))).toEqual([NaN, -Infinity])
      expect(numbers(sum(x, 1))).toEqual([NaN, NaN])
      expect(numbers(argmax(x, 1))).toEqual([1, 0])
    })
  })

  test('equal largest elements share the gradient; a product passes it where elements are 0', () => {
    scope(() => {
      const x = tensor([[2, 5, 5], [7, 7, 7]], null, { requiresGrad: true })
      backward(max(x, 1), tensor([4, 6]))
      expect(numbers(x.grad!)).toEqual([0, 2, 2, 2, 2, 2])
      const p = tensor([[2, 3, 4], [2, 0, 4], [0, 0, 4]], null, { requiresGrad: true })
      backward(prod(p, 1), tensor([1, 1, 1]))
      expect(numbers(p.grad!)).toEqual([12, 8, 6, 0, 8, 0, 0, 0, 0])
    })
  })

  test('integers and bool are summed in int64, beyond the range of their own', () => {
    scope(() => {
      const big = tensor([2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1], null, { dtype: 'int32' })
      expect(sum(big).dataSync()).toEqual(new BigInt64Array([3n * (2n ** 31n - 1n)]))
      expect(cumsum(big).dataSync()).toEqual(new BigInt64Array([1n, 2n, 3n].map(n => n * (2n ** 31n - 1n))))
      expect(sum(tensor([1, 0, 1, 1], null, { dtype: 'bool' })).dataSync()).toEqual(new BigInt64Array([3n]))
      expect(() => mean(big)).toThrow(DTypeError)
    })
  })

  test('a million tenths are summed without loss: the accumulator is wider than the elements', () => {
    scope(() => {
      const x = tensor(new Float32Array(1 << 20).fill(0.1), [1 << 20])
      expect(Math.abs(numbers(sum(x))[0]! - 104857.6015625)).toBeLessThan(0.02)
      expect(numbers(mean(tensor(new Float32Array(70000).fill(3), null, { dtype: 'float16' })))).toEqual([3])
    })
  })

  test('argmax of what requires a gradient is an error, not silence', () => {
    scope(() => { expect(() => argmax(tensor([1, 2], null, { requiresGrad: true }))).toThrow(AutogradError) })
  })
})
