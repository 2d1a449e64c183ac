import { describe, expect, test } from '@jest/globals'
import { IndexError, ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { eq, ge, gt, le, lt, ne } from '#lib/ops/compare.js'
import { gather, scatterAdd } from '#lib/ops/gather.js'
import { indexSelect } from '#lib/ops/indexSelect.js'
import { sum } from '#lib/ops/reduce.js'
import { topK } from '#lib/ops/topK.js'
import { where } from '#lib/ops/where.js'
import { ones, tensor } from '#lib/tensor/create.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { at, broadcastShapes, indicesOf, sizeOf, zip } from './array64.js'
import { integers, normal, opCases, values, type Array64, type OpCase } from './opCases.js'

const axis = (rank: number, dim: number): number => dim < 0 ? dim + rank : dim

/** y[…, k, …] = x[…, index[…, k, …], …] */
const gathered = (x: Array64, index: Array64, dim: number): Array64 => values(index.shape, i => at(x, indicesOf(index.shape, i).with(axis(x.shape.length, dim), index.data[i]!)))

function scattered(x: Array64, index: Array64, source: Array64, dim: number): Array64 {
  const y = { shape: x.shape, data: x.data.slice() }
  source.data.forEach((v, i) => {
    const to = indicesOf(index.shape, i).with(axis(x.shape.length, dim), index.data[i]!)
    y.data[x.shape.reduce((offset, n, d) => offset * n + to[d]!, 0)]! += v
  })
  return y
}

const picks: [shape: number[], count: number, dim: number, dtype: 'int32' | 'int64'][] = [
  [[1], 1, 0, 'int32'], [[17], 33, 0, 'int64'], [[3, 17], 5, 1, 'int32'], [[3, 17], 5, 0, 'int64'], [[4, 1, 9], 4, 1, 'int32'], [[4, 9, 5], 13, 1, 'int64'], [[2, 3, 257], 300, -1, 'int32'], [[3, 5], 0, 1, 'int32'], [[400, 63], 65, 1, 'int32'],
]
const name = (shape: number[], count: number, dim: number): string => `${count} of [${shape.join(', ')}] along ${dim}`

opCases('gather', picks.map(([shape, count, dim, dtype]): OpCase => ({
  name: name(shape, count, dim),
  inputs: { x: normal(shape), index: integers(shape.with(dim, count), shape.at(dim)!, { dtype }) },
  run: ({ x, index }) => gather(x!, index!, dim),
  reference: ({ x, index }) => gathered(x!, index!, dim),
  ulps: 0,
  large: shape[0] === 400,
})))

opCases('scatterAdd', picks.map(([shape, count, dim, dtype]): OpCase => ({
  name: name(shape, count, dim),
  inputs: { x: normal(shape), index: integers(shape.with(dim, count), shape.at(dim)!, { dtype }), source: normal(shape.with(dim, count), { seed: 1 }) },
  run: ({ x, index, source }) => scatterAdd(x!, index!, source!, dim),
  reference: ({ x, index, source }) => scattered(x!, index!, source!, dim),
  ulps: 32,   // up to 33 terms go to one element
  large: shape[0] === 400,
})))

opCases('indexSelect', picks.map(([shape, count, dim, dtype]): OpCase => ({
  name: name(shape, count, dim),
  inputs: { x: normal(shape), ids: integers([count], shape.at(dim)!, { dtype }) },
  run: ({ x, ids }) => indexSelect(x!, ids!, dim),
  reference: ({ x, ids }) => {
    const y = shape.with(dim, count), d = axis(shape.length, dim)
    return values(y, i => at(x!, indicesOf(y, i).with(d, ids!.data[indicesOf(y, i)[d]!]!)))
  },
  ulps: 0,
  large: shape[0] === 400,
})))

const largest = (x: Array64, k: number, dim: number): [Array64, Array64] => {
  const shape = x.shape.with(dim, k), d = axis(x.shape.length, dim)
  const index = values(shape, i => {
    const where_ = indicesOf(shape, i), n = x.shape[d]!, line = Array.from({ length: n }, (_, j) => at(x, where_.with(d, j)))
    return line.map((v, j) => [v, j] as const).sort((a, b) => b[0] - a[0] || a[1] - b[1])[where_[d]!]![1]
  })
  return [gathered(x, index, dim), index]
}
opCases('topK', ([[[1], 1, 0], [[3, 17], 4, -1], [[3, 17], 3, 0], [[4, 9, 5], 9, 1], [[2, 1000], 50, -1], [[2, 5], 0, 1]] as [number[], number, number][]).map(([shape, k, dim]): OpCase => ({
  name: name(shape, k, dim),
  inputs: { x: normal(shape) },
  special: false,   // an order of its own, below
  run: ({ x }) => { const { values: v, indices } = topK(x!, k, dim); return [v, indices] },
  reference: ({ x }) => largest(x!, k, dim),
  ulps: 0,
  differentiable: k > 0,
})))

const triples: [string, number[], number[], number[]][] = [
  ['scalars', [], [], []], ['equal shapes', [3, 17], [3, 17], [3, 17]], ['a row and a column', [3, 1], [5], [3, 5]], ['sizes of 1', [4, 1, 9], [1, 5, 1], [1]], ['a long tail', [1031], [1], [1031]],
]
opCases('where', triples.map(([title, c, a, b]): OpCase => ({
  name: title,
  inputs: { condition: integers(c, 2, { dtype: 'bool' }), a: normal(a, { seed: 1 }), b: normal(b, { seed: 2 }) },
  run: ({ condition, a, b }) => where(condition!, a!, b!),
  reference: ({ condition, a, b }) => zip([condition!, a!, b!], (c_, a_, b_) => c_ ? a_! : b_!),
  ulps: 0,
})))

for (const [op, run, f] of [
  ['eq', eq, (a, b) => a === b], ['ne', ne, (a, b) => a !== b], ['lt', lt, (a, b) => a < b], ['le', le, (a, b) => a <= b], ['gt', gt, (a, b) => a > b], ['ge', ge, (a, b) => a >= b],
] as [string, typeof eq, (a: number, b: number) => boolean][]) {
  // NaN, both zeros and ties among them.
  const some = (shape: number[], step: number): Array64 => values(shape, i => [NaN, -0, 0, 1, -1, Infinity, -Infinity, 2][(i * step) % 8]!)
  opCases(op, ([[[3, 17], [3, 17]], [[16, 1], [9]], [[], [65]]] as [number[], number[]][]).map(([a, b]): OpCase => ({
    name: `[${a.join(', ')}] and [${b.join(', ')}]`,
    inputs: { a: some(a, 3), b: some(b, 1) },
    run: ({ a, b }) => run(a!, b!),
    reference: ({ a, b }) => zip([a!, b!], (x, y) => Number(f(x!, y!))),
    ulps: 0,
    differentiable: false,
  })))
}

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as ArrayLike<number>)
const ids = (...list: number[]): Tensor => tensor(list, null, { dtype: 'int32' })

describe('selection', () => {
  test.each([-1, 3, 2 ** 31 - 1, -(2 ** 31)])('index %i of a dimension of 3 rejects the read of gather, indexSelect and scatterAdd, and nothing else', async bad => {
    await scope(async () => {
      const x = ones([3])
      await expect(gather(x, ids(0, bad)).data()).rejects.toThrow(IndexError)
      await expect(indexSelect(x, ids(bad)).data()).rejects.toThrow(IndexError)
      await expect(scatterAdd(x, ids(bad), ones([1])).data()).rejects.toThrow(IndexError)
      expect(numbers(sum(x))).toEqual([3])
    })
  })

  test('topK takes NaN for the largest and refuses a k beyond the dimension', () => {
    scope(() => {
      const { values: v, indices } = topK(tensor([1, NaN, 3, 3]), 3)
      expect(numbers(v)).toEqual([NaN, 3, 3])
      expect(numbers(indices)).toEqual([1, 2, 3])
      expect(() => topK(ones([3]), 4)).toThrow(ShapeError)
    })
  })

  test('shapes that do not fit are errors before anything runs', () => {
    scope(() => {
      expect(() => gather(ones([2, 3]), tensor([[0], [0], [0]], null, { dtype: 'int32' }))).toThrow(ShapeError)
      expect(() => indexSelect(ones([2, 3]), tensor([[0]], null, { dtype: 'int32' }))).toThrow(ShapeError)
      expect(() => scatterAdd(ones([3]), ids(0, 1), ones([3]))).toThrow(ShapeError)
      expect(() => where(ones([2]), 1, ones([2]))).toThrow(/bool/)
      expect(() => where(ones([2], { dtype: 'bool' }), ones([3]), 0)).toThrow(ShapeError)
    })
  })

  test('the branch that was not taken gives no gradient, NaN or not', () => {
    scope(() => {
      const a = tensor([1, NaN], null, { requiresGrad: true }), b = tensor([NaN, 2], null, { requiresGrad: true })
      backward(where(tensor([1, 0], null, { dtype: 'bool' }), a, b), tensor([3, 4]))
      expect([numbers(a.grad!), numbers(b.grad!)]).toEqual([[3, 0], [0, 4]])
    })
  })

  test('the shapes of a broadcast are those of NumPy', () => {
    scope(() => {
      const c = ones([4, 1, 1], { dtype: 'bool' }), y = where(c, ones([1, 5, 1]), ones([6]))
      expect(y.shape).toEqual(broadcastShapes([4, 1, 1], [1, 5, 1], [6]))
      expect(y.size).toBe(sizeOf([4, 5, 6]))
    })
  })
})
