import { describe, expect, test } from '@jest/globals'
import { tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward } from '#lib/autograd/backward.js'
import { logSoftmax, softmax } from '#lib/ops/softmax.js'
import { normal, opCases, values, type Array64, type OpCase } from './opCases.js'

/** Along a dimension: elements whose index differs there alone are `step` apart. */
function softmaxReference(x: Array64, dim: number, log: boolean): Array64 {
  const d = dim < 0 ? dim + x.shape.length : dim, n = x.shape[d]!, step = x.shape.slice(d + 1).reduce((a, b) => a * b, 1)
  const y = values(x.shape, () => 0)
  for (let i = 0; i < x.data.length; i++) {
    if (Math.floor(i / step) % n !== 0) continue
    const places = Array.from({ length: n }, (_, k) => i + k * step)
    const highest = Math.max(...places.map(p => x.data[p]!)), sum = places.reduce((s, p) => s + Math.exp(x.data[p]! - highest), 0)
    for (const p of places) y.data[p] = log ? x.data[p]! - highest - Math.log(sum) : Math.exp(x.data[p]! - highest) / sum
  }
  return y
}

const cases = (log: boolean): OpCase[] => ([[[1, 1], -1], [[3, 17], -1], [[2, 3, 65], 2], [[257], 0], [[4, 9, 5], 1], [[4, 9, 5], 0], [[3, 5000], -1], [[300, 63], -1], [[2, 0], 1]] as [number[], number][])
  .map(([shape, dim]) => ({
    large: shape[0] === 300,
    name: `[${shape.join(', ')}] along ${dim}`,
    inputs: { x: normal(shape, { std: 3, mean: 1 }) },
    run: ({ x }) => log ? logSoftmax(x!, dim) : softmax(x!, dim),
    reference: ({ x }) => softmaxReference(x!, dim, log),
    ulps: 16,   // e^x of an x near 10 turns the rounding of x - max into 10 units
  }))
opCases('softmax', cases(false))
opCases('logSoftmax', cases(true))

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

describe('softmax', () => {
  test('a fully masked row gives zeros, a partly masked one shares what is left', () => {
    scope(() => {
      const x = tensor([[-Infinity, -Infinity], [-Infinity, 3]], null, { requiresGrad: true })
      const y = softmax(x)
      expect(numbers(y)).toEqual([0, 0, 0, 1])
      expect(numbers(logSoftmax(x))).toEqual([-Infinity, -Infinity, -Infinity, 0])
      backward(y, tensor([[1, 2], [3, 4]]))
      expect(numbers(x.grad!).map(Math.abs)).toEqual([0, 0, 0, 0])
    })
  })

  test('NaN and infinity make their row NaN, huge logits do not', () => {
    scope(() => {
      expect(numbers(softmax(tensor([[NaN, 1], [Infinity, 1], [3e38, -3e38]])))).toEqual([NaN, NaN, NaN, NaN, 1, 0])
      expect(numbers(softmax(zeros([0, 3])))).toEqual([])
      expect(numbers(logSoftmax(tensor([], [3, 0])))).toEqual([])
    })
  })

  test('a dimension that does not exist and a dtype that has no exponential are errors', () => {
    scope(() => {
      expect(() => softmax(zeros([2, 3]), 2)).toThrow(/dimension 2/)
      expect(() => softmax(tensor([1, 2], null, { dtype: 'int32' }))).toThrow(/softmax: x is int32 \[2\], expected one of: float32/)
    })
  })

  test('a result that is dropped without a backward pass, and one that is used, leave nothing', () => {
    const x = tensor([[1, 2], [3, 4]], null, { requiresGrad: true }), dy = tensor([[1, 0], [0, 1]])
    const first = softmax(x)
    backward(first, dy)
    const before = memory().tensors
    for (const dim of [0, 1]) {
      softmax(x, dim).dispose()
      const y = logSoftmax(x, dim)
      backward(y, dy)
      y.dispose()
    }
    expect(memory().tensors).toBe(before)
  })
})
