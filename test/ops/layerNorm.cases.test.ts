import { describe, expect, test } from '@jest/globals'
import { tensor, zeros, ones } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward, backwardMany } from '#lib/autograd/backward.js'
import { dropout } from '#lib/ops/dropout.js'
import { addLayerNorm, layerNorm } from '#lib/ops/layerNorm.js'
import { split, transpose } from '#lib/ops/view.js'
import { normReference, sumOf } from './normReference.js'
import { normal, opCases, type OpCase } from './opCases.js'

const vector = (C: number, seed: number, mean = 0) => ({ ...normal([C], { seed, mean }), dtype: 'float32' as const, gradient: true })

const plain = (shape: number[]): OpCase => ({
  name: `[${shape.join(', ')}]`,
  inputs: { x: normal(shape), weight: vector(shape.at(-1)!, 1, 1), bias: vector(shape.at(-1)!, 2) },
  run: ({ x, weight, bias }) => layerNorm(x!, weight, bias),
  reference: ({ x, weight, bias }) => normReference(x!, weight, bias),
  ulps: 8,
})

opCases('layerNorm', [
  ...[[1, 3], [3, 17], [2, 3, 65], [257, 64], [1000], [2, 1], [0, 5], [3, 63]].map(plain),
  { ...plain([130, 257]), large: true },
  {
    name: 'without weight and bias',
    inputs: { x: normal([3, 257], { mean: 2 }) },
    run: ({ x }) => layerNorm(x!, undefined, undefined, { eps: 0.1 }),
    reference: ({ x }) => normReference(x!, undefined, undefined, { eps: 0.1 }),
    ulps: 8,
  },
  {
    name: 'columns of a transposed tensor',
    inputs: { x: normal([17, 5]), weight: vector(17, 1), bias: vector(17, 2) },
    run: ({ x, weight, bias }) => layerNorm(transpose(x!), weight, bias),
    reference: ({ x, weight, bias }) => {
      const turned = { shape: [5, 17], data: Float64Array.from({ length: 85 }, (_, i) => x!.data[(i % 17) * 5 + Math.floor(i / 17)]!) }
      return normReference(turned, weight, bias)
    },
    ulps: 8,
  },
])

const added = (shape: number[]): OpCase => ({
  name: `[${shape.join(', ')}]`,
  inputs: { x: normal(shape), residual: normal(shape, { seed: 5 }), weight: vector(shape.at(-1)!, 1, 1), bias: vector(shape.at(-1)!, 2) },
  run: ({ x, residual, weight, bias }) => {
    const { y, sum } = addLayerNorm(x!, residual!, weight, bias)
    return [y, sum]
  },
  reference: ({ x, residual, weight, bias }) => {
    const sum = sumOf(x!, residual!)
    return [normReference(sum, weight, bias), sum]
  },
  ulps: 8,
})
opCases('addLayerNorm', [...[[3, 17], [2, 3, 65], [17, 257]].map(added), { ...added([130, 257]), large: true }])

const random = (shape: number[], seed: number, requiresGrad = true): Tensor => tensor(Float32Array.from(normal(shape, { seed }).data), shape, { requiresGrad })
const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

describe('layerNorm', () => {
  test('a mean of 10000 costs no digits', () => {
    scope(() => {
      const x = normal([3, 1000], { mean: 1e4 }), t = tensor(Float32Array.from(x.data), x.shape)
      const expected = normReference({ shape: x.shape, data: Float64Array.from(Float32Array.from(x.data)) }).data
      numbers(layerNorm(t)).forEach((y, i) => { expect(Math.abs(y - expected[i]!)).toBeLessThan(2e-6) })
    })
  })

  test('a constant row gives the bias, NaN stays in its row, no rows give no rows', () => {
    scope(() => {
      const x = tensor([[7.3, 7.3, 7.3], [NaN, 1, 2], [1, 2, 3]]), bias = tensor([1, 2, 3])
      const y = numbers(layerNorm(x, undefined, bias))
      expect(y.slice(0, 3)).toEqual([1, 2, 3])
      expect(y.slice(3, 6)).toEqual([NaN, NaN, NaN])
      expect(y.slice(6).every(Number.isFinite)).toBe(true)
      const none = zeros([0, 3], { requiresGrad: true }), weight = ones([3], { requiresGrad: true })
      backward(layerNorm(none, weight), zeros([0, 3]))
      expect(numbers(weight.grad!)).toEqual([0, 0, 0])
    })
  })

  test('a weight of another width is a ShapeError that says what was expected', () => {
    scope(() => {
      expect(() => layerNorm(zeros([2, 8]), ones([7]))).toThrow(/layerNorm: weight is float32 \[7\], expected \[8\]/)
      expect(() => addLayerNorm(zeros([2, 8]), zeros([8]))).toThrow(/residual is float32 \[8\], expected the sizes of x/)
      expect(() => addLayerNorm(zeros([2, 8]), zeros([2, 8]), undefined, undefined, { dropout: 1.5 })).toThrow(/dropout is 1.5/)
    })
  })

  test('the fused dropout has the mask of the op', () => {
    scope(() => {
      const residual = random([17, 65], 3), x = zeros([17, 65])
      manualSeed(42)
      const { sum } = addLayerNorm(x, residual, undefined, undefined, { dropout: 0.3 })
      manualSeed(42)
      expect(numbers(sum)).toEqual(numbers(dropout(residual, 0.3)).map(v => v + 0))   // 0 + -0 is 0
    })
  })

  test('gradients with dropout are those of the composition', () => {
    scope(() => {
      const seeds = [random([5, 33], 8, false), random([5, 33], 9, false)]
      const run = (fused: boolean) => {
        const x = random([5, 33], 1), residual = random([5, 33], 2), weight = random([33], 3), bias = random([33], 4)
        manualSeed(7)
        const { y, sum } = fused ? addLayerNorm(x, residual, weight, bias, { dropout: 0.5 }) : (() => {
          const { y, sum } = addLayerNorm(x, dropout(residual, 0.5), weight, bias)
          return { y, sum }
        })()
        backwardMany([y, sum], seeds)
        return [y, sum, x.grad!, residual.grad!, weight.grad!, bias.grad!].map(numbers)
      }
      const fused = run(true), composed = run(false)
      fused.forEach((list, k) => { list.forEach((v, i) => { expect(Math.abs(v - composed[k]![i]!)).toBeLessThan(2e-6 * (1 + Math.abs(v))) }) })
      expect(fused[3]!.some((v, i) => v === 0 && fused[2]![i] !== 0)).toBe(true)
    })
  })

  test('gradients flow where only the sum, or only y, is used', () => {
    scope(() => {
      const x = random([3, 9], 1), residual = random([3, 9], 2), weight = random([9], 3), dy = random([3, 9], 4, false)
      backward(addLayerNorm(x, residual, weight).sum, dy)
      expect(numbers(x.grad!)).toEqual(numbers(dy))
      expect(numbers(residual.grad!)).toEqual(numbers(dy))
      expect(numbers(weight.grad!)).toEqual(new Array(9).fill(0))
      const a = random([3, 9], 1), b = random([3, 9], 2)
      backward(addLayerNorm(a, b).y, dy)
      expect(numbers(a.grad!)).toEqual(numbers(b.grad!))
      expect(numbers(a.grad!).some(v => v !== 0)).toBe(true)
    })
  })

  test('x may be its own residual, and both may be parts of one tensor', () => {
    scope(() => {
      const x = random([3, 8], 1), dy = random([3, 8], 4, false)
      backward(addLayerNorm(x, x).y, dy)
      const a = random([3, 8], 1), b = random([3, 8], 1)
      backward(addLayerNorm(a, b).y, dy)
      const twice = numbers(a.grad!).map((v, i) => Math.fround(v + numbers(b.grad!)[i]!))
      expect(numbers(x.grad!)).toEqual(twice)
      const whole = random([3, 16], 6)
      const [left, right] = split(whole, 8)
      backward(addLayerNorm(left!, right!).sum, dy)
      expect(numbers(whole.grad!)).toEqual([0, 1, 2].flatMap(r => { const row = numbers(dy).slice(8 * r, 8 * r + 8); return [...row, ...row] }))
    })
  })

  test('without a tape only the result is left, with one nothing after the backward pass', () => {
    const x = random([4, 16], 1), weight = ones([16], { requiresGrad: true }), dy = random([4, 16], 2, false)
    backward(layerNorm(x, weight), dy)
    const before = memory().tensors
    noGrad(() => layerNorm(x, weight)).dispose()
    {
      using turned = transpose(x)
      layerNorm(turned).dispose()
    }
    const y = layerNorm(x, weight)
    backward(y, dy)
    y.dispose()
    const { y: z, sum } = addLayerNorm(x, dy, weight)
    z.dispose()
    sum.dispose()
    expect(memory().tensors).toBe(before)
  })
})
