import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { DTypeError, ShapeError } from '#lib/errors.js'
import { concat, stack } from '#lib/ops/concat.js'
import { clone } from '#lib/ops/copy.js'
import { mul } from '#lib/ops/mul.js'
import { pad } from '#lib/ops/pad.js'
import { sum } from '#lib/ops/reduce.js'
import { expand, flatten, permute, reshape, select, slice, split, squeeze, transpose, unsqueeze } from '#lib/ops/view.js'
import { backward } from '#lib/autograd/backward.js'
import { ones, tensor } from '#lib/tensor/create.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { at, indicesOf, sizeOf } from './array64.js'
import { normal, opCases, values, type Array64, type OpCase } from './opCases.js'

// What moves elements and computes nothing: exact in every dtype.

const moved = (shape: number[], from: (indices: number[]) => number): Array64 => values(shape, i => from(indicesOf(shape, i)))

const permuted = (x: Array64, dims: readonly number[]): Array64 => moved(dims.map(d => x.shape[d]!), to => {
  const from: number[] = []
  dims.forEach((d, i) => { from[d] = to[i]! })
  return at(x, from)
})

const sliced = (x: Array64, d: number, from: number, to: number, step = 1): Array64 =>
  moved(x.shape.with(d, Math.ceil((to - from) / step)), i => at(x, i.with(d, from + i[d]! * step)))

const joined = (xs: readonly Array64[], d: number): Array64 => moved(xs[0]!.shape.with(d, xs.reduce((n, x) => n + x.shape[d]!, 0)), i => {
  let k = i[d]!
  for (const x of xs) {
    if (k < x.shape[d]!) return at(x, i.with(d, k))
    k -= x.shape[d]!
  }
  throw new Error('beyond the end')
})

const exact = (name: string, inputs: OpCase['inputs'], run: OpCase['run'], reference: OpCase['reference']): OpCase => ({ name, inputs, run, reference, ulps: 0 })
const one = (name: string, shape: number[], run: (x: Tensor) => Tensor, reference: (x: Array64) => Array64): OpCase =>
  exact(name, { x: normal(shape) }, ({ x }) => run(x!), ({ x }) => reference(x!))

opCases('concat', ([
  [[[3, 5]], 0], [[[3, 5], [2, 5]], 0], [[[3, 5], [3, 1], [3, 17]], 1], [[[2, 1, 7], [2, 3, 7]], -2], [[[1], [257]], 0], [[[2, 0, 3], [2, 4, 3]], 1], [[[1, 1, 1], [1, 1, 1]], 2],
] as [number[][], number][]).map(([shapes, dim]) => exact(
  `${shapes.map(s => `[${s.join(', ')}]`).join(', ')} along ${dim}`,
  Object.fromEntries(shapes.map((s, i) => [`x${i}`, normal(s, { seed: i })])),
  xs => concat(Object.values(xs), dim),
  xs => joined(Object.values(xs), dim < 0 ? dim + shapes[0]!.length : dim),
)))
opCases('stack', [0, 1, 2, -1].map(dim => exact(`along ${dim}`, { a: normal([3, 5]), b: normal([3, 5], { seed: 1 }) },
  ({ a, b }) => stack([a!, b!], dim),
  ({ a, b }) => { const d = dim < 0 ? dim + 3 : dim; return moved([3, 5].toSpliced(d, 0, 2), i => at(i[d] ? b! : a!, i.toSpliced(d, 1))) })))

opCases('slice', [
  one('rows 1 to 3', [5, 7], x => slice(x, 0, 1, 3), x => sliced(x, 0, 1, 3)),
  one('every third column from the end', [3, 17], x => slice(x, -1, -16, -1, 3), x => sliced(x, 1, 1, 16, 3)),
  one('of a slice of a transpose', [4, 9, 5], x => slice(transpose(slice(x, 1, 2, 8), 0, 1), 0, 1, 6, 2), x => sliced(permuted(sliced(x, 1, 2, 8), [1, 0, 2]), 0, 1, 6, 2)),
  one('one element', [257], x => slice(x, 0, 256), x => sliced(x, 0, 256, 257)),
  one('no element', [3, 17], x => slice(x, 1, 5, 5), x => sliced(x, 1, 5, 5)),
  one('select', [4, 9, 5], x => select(x, 1, -2), x => ({ shape: [4, 5], data: sliced(x, 1, 7, 8).data })),
])
opCases('transpose and permute', [
  one('[3, 17]', [3, 17], x => transpose(x), x => permuted(x, [1, 0])),
  one('sizes of 1', [1, 5, 1, 3], x => permute(x, [3, 0, 2, 1]), x => permuted(x, [3, 0, 2, 1])),
  one('[2, 3, 65] turned around', [2, 3, 65], x => permute(x, [2, 0, 1]), x => permuted(x, [2, 0, 1])),
  one('powers of two', [64, 64], x => transpose(x), x => permuted(x, [1, 0])),
  { ...one('more than one thread copies', [400, 63], x => clone(transpose(x)), x => permuted(x, [1, 0])), large: true },
])
opCases('reshape', [
  one('[6, 4] to [3, -1]', [6, 4], x => reshape(x, [3, -1]), x => ({ ...x, shape: [3, 8] })),
  one('to a scalar and back', [1, 1], x => reshape(reshape(x, []), [1]), x => ({ ...x, shape: [1] })),
  one('of a transpose, which copies', [5, 7], x => reshape(transpose(x), [35]), x => ({ shape: [35], data: permuted(x, [1, 0]).data })),
  one('of one token of a batch', [3, 4, 2, 5], x => reshape(slice(x, 1, 3, 4), [3, 1, 10]), x => ({ shape: [3, 1, 10], data: sliced(x, 1, 3, 4).data })),
  one('heads out of a transpose', [2, 3, 4, 5], x => reshape(permute(x, [0, 2, 1, 3]), [8, 15]), x => ({ shape: [8, 15], data: permuted(x, [0, 2, 1, 3]).data })),
  one('flatten, squeeze, unsqueeze', [2, 1, 3, 5], x => unsqueeze(squeeze(flatten(x, 2), 1), -1), x => ({ ...x, shape: [2, 15, 1] })),
])
opCases('pad', [
  one('all around', [3, 5], x => pad(x, [[1, 2], [0, 3]]), x => moved([6, 8], ([i, j]) => i! >= 1 && i! < 4 && j! < 5 ? at(x, [i! - 1, j!]) : 0)),
  one('with a value, a size of 1', [1, 17], x => pad(x, [[2, 0], [1, 1]], -2), x => moved([3, 19], ([i, j]) => i === 2 && j! >= 1 && j! < 18 ? at(x, [0, j! - 1]) : -2)),
  one('with nothing', [257], x => pad(x, [[0, 0]]), x => x),
])
opCases('expand', [
  one('a row', [1, 17], x => expand(x, [3, 17]), x => moved([3, 17], i => at(x, i))),
  one('new dimensions and sizes of 1', [5, 1], x => expand(x, [2, -1, 3]), x => moved([2, 5, 3], i => at(x, i))),
])
opCases('split', [
  exact('all parts', { x: normal([3, 12]) }, ({ x }) => split(x!, [5, 1, 6]), ({ x }) => [sliced(x!, 1, 0, 5), sliced(x!, 1, 5, 6), sliced(x!, 1, 6, 12)]),
  exact('one of them', { x: normal([3, 12]) }, ({ x }) => split(x!, 5)[2]!, ({ x }) => sliced(x!, 1, 10, 12)),
  exact('parts of a part', { x: normal([4, 6, 5]) }, ({ x }) => split(split(x!, 3, 1)[1]!, 2, 0), ({ x }) => [0, 2].map(i => sliced(sliced(x!, 1, 3, 6), 0, i, i + 2))),
])

describe('views', () => {
  const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

  /** One step of a chain of views: on the tensor and on the reference. */
  const step = fc.record({ kind: fc.constantFrom('permute', 'slice', 'reshape', 'unsqueeze', 'squeeze', 'select'), a: fc.nat(1000), b: fc.nat(1000), c: fc.nat(1000) })

  test('any chain of views equals the chain on arrays, and its gradient arrives where the elements came from', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }), fc.array(step, { maxLength: 6 }), (shape, steps) => {
      scope(() => {
        const n = sizeOf(shape), x = tensor(Float32Array.from({ length: n }, (_, i) => i), shape, { requiresGrad: true })
        let y = x, r = values(shape, i => i)
        for (const { kind, a, b, c } of steps) {
          const rank = r.shape.length, d = a % Math.max(rank, 1)
          if (kind === 'unsqueeze' && rank < 6) {
            const to = a % (rank + 1)
            y = unsqueeze(y, to)
            r = { shape: r.shape.toSpliced(to, 0, 1), data: r.data }
          } else if (kind === 'reshape') {
            const flat = sizeOf(r.shape), divisors = Array.from({ length: flat }, (_, i) => i + 1).filter(i => flat % i === 0), first = divisors[a % divisors.length]!
            const rest = divisors.filter(i => flat / first % i === 0), second = rest[b % rest.length]!
            const to = [first, second, flat / first / second].toSpliced(c % 4, 0, 1)
            y = reshape(y, to)
            r = { shape: to, data: r.data }
          } else if (rank === 0) {
            continue
          } else if (kind === 'permute') {
            const dims = [...r.shape.keys()].toSorted((p, q) => (p * (b % 7 + 1) + a) % 5 - (q * (b % 7 + 1) + a) % 5)
            y = permute(y, dims)
            r = permuted(r, dims)
          } else if (kind === 'slice') {
            const from = b % r.shape[d]!, to = from + 1 + c % (r.shape[d]! - from), by = 1 + c % 2
            y = slice(y, d, from, to, by)
            r = sliced(r, d, from, to, by)
          } else if (kind === 'select') {
            const i = b % r.shape[d]!
            y = select(y, d, i)
            r = { shape: r.shape.toSpliced(d, 1), data: sliced(r, d, i, i + 1).data }
          } else if (kind === 'squeeze') {
            y = squeeze(y)
            r = { shape: r.shape.filter(s => s !== 1), data: r.data }
          }
        }
        expect(y.shape).toEqual(r.shape)
        expect(numbers(y)).toEqual([...r.data])
        const weight = values(r.shape, i => i + 1), expected = new Float32Array(n)
        r.data.forEach((from, i) => { expected[from]! += weight.data[i]! })
        backward(sum(mul(y, tensor(Float32Array.from(weight.data), r.shape))))
        expect(x.grad!.dataSync()).toEqual(expected)
      })
    }), { numRuns: 500, seed: 17 })
  })

  test('a view shares memory, a clone does not', () => {
    scope(() => {
      const x = tensor([[1, 2], [3, 4]]), view = transpose(x), copy = clone(view)
      x.dispose()
      expect([numbers(view), numbers(copy)]).toEqual([[1, 3, 2, 4], [1, 3, 2, 4]])
    })
  })

  test('one tensor twice in a concat gets both gradients, and views of one leaf add up where they overlap', () => {
    scope(() => {
      const x = ones([3], { requiresGrad: true })
      backward(concat([x, x]), tensor([1, 2, 3, 10, 20, 30]))
      expect(numbers(x.grad!)).toEqual([11, 22, 33])
      const w = ones([4], { requiresGrad: true })
      backward(sum(mul(slice(w, 0, 0, 3), slice(w, 0, 1, 4))))
      expect(numbers(w.grad!)).toEqual([1, 2, 2, 1])
    })
  })

  test('impossible shapes are errors that name them', () => {
    scope(() => {
      const x = ones([2, 3])
      for (const wrong of [[4], [-1, -1], [2, -1, 4], [2.5, -1], [-2, -3], [0, -1]]) expect(() => reshape(x, wrong)).toThrow(ShapeError)
      expect(() => permute(x, [0, 0])).toThrow(ShapeError)
      expect(() => slice(x, 0, 0, 2, 0)).toThrow(ShapeError)
      expect(() => slice(x, 2)).toThrow(ShapeError)
      expect(() => select(x, 1, 3)).toThrow(ShapeError)
      expect(() => concat([])).toThrow(ShapeError)
      expect(() => concat([x, ones([3, 3])], 1)).toThrow(ShapeError)
      expect(() => concat([x, ones([2, 3], { dtype: 'int32' })])).toThrow(DTypeError)
      expect(() => stack([x, ones([3, 2])])).toThrow(ShapeError)
      expect(() => stack([x, x], 4)).toThrow(ShapeError)
      expect(() => pad(x, [[1, 1]])).toThrow(ShapeError)
      expect(() => split(x, [1, 1])).toThrow(ShapeError)
      expect(() => split(x, 0)).toThrow(ShapeError)
      expect(() => expand(x, [2, 4])).toThrow(ShapeError)
      expect(() => unsqueeze(x, 4)).toThrow(ShapeError)
    })
  })
})
