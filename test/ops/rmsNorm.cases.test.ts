import { describe, expect, test } from '@jest/globals'
import { ones, tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward, backwardMany } from '#lib/autograd/backward.js'
import { dropout } from '#lib/ops/dropout.js'
import { addRMSNorm, rmsNorm } from '#lib/ops/rmsNorm.js'
import { normReference, sumOf } from './normReference.js'
import { normal, opCases, type OpCase } from './opCases.js'

const vector = (C: number, seed: number, mean = 0) => ({ ...normal([C], { seed, mean }), dtype: 'float32' as const, gradient: true })

const plain = (shape: number[]): OpCase => ({
  name: `[${shape.join(', ')}]`,
  inputs: { x: normal(shape, { mean: 0.5 }), weight: vector(shape.at(-1)!, 1, 1) },
  run: ({ x, weight }) => rmsNorm(x!, weight),
  reference: ({ x, weight }) => normReference(x!, weight, undefined, { eps: 1e-6, centred: false }),
  ulps: 8,
})

opCases('rmsNorm', [
  ...[[1, 3], [3, 17], [2, 3, 65], [257, 64], [1000], [0, 5]].map(plain),
  { ...plain([130, 257]), large: true },
  {
    name: 'unitOffset',
    inputs: { x: normal([5, 63]), weight: vector(63, 1) },
    run: ({ x, weight }) => rmsNorm(x!, weight, { eps: 1e-3, unitOffset: true }),
    reference: ({ x, weight }) => normReference(x!, weight, undefined, { eps: 1e-3, centred: false, offset: 1 }),
    ulps: 8,
  },
  {
    name: 'without a weight',
    inputs: { x: normal([3, 257]) },
    run: ({ x }) => rmsNorm(x!),
    reference: ({ x }) => normReference(x!, undefined, undefined, { eps: 1e-6, centred: false }),
    ulps: 8,
  },
])

opCases('addRMSNorm', [[3, 17], [17, 257]].map((shape): OpCase => ({
  name: `[${shape.join(', ')}]`,
  inputs: { x: normal(shape), residual: normal(shape, { seed: 5 }), weight: vector(shape[1]!, 1, 1) },
  run: ({ x, residual, weight }) => {
    const { y, sum } = addRMSNorm(x!, residual!, weight)
    return [y, sum]
  },
  reference: ({ x, residual, weight }) => {
    const sum = sumOf(x!, residual!)
    return [normReference(sum, weight, undefined, { eps: 1e-6, centred: false }), sum]
  },
  ulps: 8,
})))

const random = (shape: number[], seed: number, requiresGrad = true): Tensor => tensor(Float32Array.from(normal(shape, { seed }).data), shape, { requiresGrad })
const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

describe('rmsNorm', () => {
  test('zeros stay zeros, and NaN stays in its row', () => {
    scope(() => {
      expect(numbers(rmsNorm(tensor([[0, 0], [NaN, 1], [3, 3]]), undefined, { eps: 0.0001 })).map(v => Math.round(v))).toEqual([0, 0, NaN, NaN, 1, 1])
    })
  })

  test('a weight of another width, and unitOffset without a weight, are errors', () => {
    scope(() => {
      expect(() => rmsNorm(zeros([2, 8]), ones([7]))).toThrow(/rmsNorm: weight is float32 \[7\], expected \[8\]/)
      expect(() => rmsNorm(zeros([2, 8]), undefined, { unitOffset: true })).toThrow(/unitOffset is set without a weight/)
    })
  })

  test('gradients with dropout are those of the composition', () => {
    scope(() => {
      const seeds = [random([5, 33], 8, false), random([5, 33], 9, false)]
      const run = (fused: boolean) => {
        const x = random([5, 33], 1), residual = random([5, 33], 2), weight = random([33], 3)
        manualSeed(7)
        const { y, sum } = fused ? addRMSNorm(x, residual, weight, { dropout: 0.5 }) : addRMSNorm(x, dropout(residual, 0.5), weight)
        backwardMany([y, sum], seeds)
        return [y, sum, x.grad!, residual.grad!, weight.grad!].map(numbers)
      }
      const fused = run(true), composed = run(false)
      fused.forEach((list, k) => { list.forEach((v, i) => { expect(Math.abs(v - composed[k]![i]!)).toBeLessThan(2e-6 * (1 + Math.abs(v))) }) })
      expect(fused[3]!.some((v, i) => v === 0 && fused[2]![i] !== 0)).toBe(true)
    })
  })

  test('x may be its own residual', () => {
    scope(() => {
      const dy = random([3, 8], 4, false), x = random([3, 8], 1), a = random([3, 8], 1), b = random([3, 8], 1)
      backward(addRMSNorm(x, x).y, dy)
      backward(addRMSNorm(a, b).y, dy)
      expect(numbers(x.grad!)).toEqual(numbers(a.grad!).map((v, i) => Math.fround(v + numbers(b.grad!)[i]!)))
    })
  })

  test('nothing is left after the backward pass', () => {
    const x = random([4, 16], 1), dy = random([4, 16], 2, false)
    backward(rmsNorm(x), dy)
    const before = memory().tensors
    const { y, sum } = addRMSNorm(x, dy)
    backward(y, dy)
    y.dispose()
    sum.dispose()
    rmsNorm(x).dispose()
    expect(memory().tensors).toBe(before)
  })
})
