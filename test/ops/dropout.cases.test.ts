import { describe, expect, test } from '@jest/globals'
import { ones, tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { generator, manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward } from '#lib/autograd/backward.js'
import { dropout } from '#lib/ops/dropout.js'
import { transpose } from '#lib/ops/view.js'
import { normal, opCases, values, type OpCase } from './opCases.js'

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

/** The mask as the op itself gives it for ones: what is tested is that the mask does not depend on the values, the dtype or the layout. */
const cases = [[1], [3, 17], [2, 5, 33], [65, 257]].map((shape): OpCase => {
  const factors = scope(() => {
    manualSeed(11)
    return numbers(dropout(ones(shape), 0.25))
  })
  return {
    name: `[${shape.join(', ')}]`,
    inputs: { x: normal(shape) },
    run: ({ x }) => {
      manualSeed(11)
      return dropout(x!, 0.25)
    },
    reference: ({ x }) => values(shape, i => x!.data[i]! * factors[i]!),
  }
})
opCases('dropout', cases)

const mask = (p: number, shape = [64, 64]): boolean[] => scope(() => numbers(dropout(ones(shape), p)).map(v => v !== 0))
const agreement = (a: boolean[], b: boolean[]): number => a.filter((v, i) => v === b[i]).length / a.length

describe('dropout', () => {
  test('keeps the rate and scales by its inverse', () => {
    manualSeed(1)
    scope(() => {
      for (const p of [0.1, 0.5, 0.9]) {
        const y = numbers(dropout(ones([100_000]), p)), kept = y.filter(v => v !== 0)
        expect(Math.abs(kept.length / y.length - (1 - p))).toBeLessThan(0.007)
        for (const v of new Set(kept)) expect(Math.abs(v * (1 - p) - 1)).toBeLessThan(1e-4 / (1 - p))
        expect(new Set(kept).size).toBe(1)
      }
    })
  })

  test('masks of calls, steps and seeds are independent; the same seed, step and call give the same mask', () => {
    manualSeed(5)
    const first = mask(0.5), second = mask(0.5)
    generator.startStep(1)
    const nextStep = mask(0.5)
    manualSeed(6)
    const otherSeed = mask(0.5)
    for (const other of [second, nextStep, otherSeed]) expect(Math.abs(agreement(first, other) - 0.5)).toBeLessThan(0.04)
    manualSeed(5)
    expect(mask(0.5)).toEqual(first)
    generator.startStep(1)
    expect(mask(0.5)).toEqual(nextStep)
  })

  test('the gradient has the mask of the forward pass, whatever was drawn in between', () => {
    scope(() => {
      const x = ones([1000], { requiresGrad: true })
      const y = dropout(x, 0.3), forward = numbers(y)
      dropout(ones([10]), 0.3)
      generator.startStep(9)
      backward(y, ones([1000]))
      expect(numbers(x.grad!)).toEqual(forward)
    })
  })

  test('the gradient accumulates', () => {
    scope(() => {
      const x = ones([100], { requiresGrad: true })
      const a = dropout(x, 0.5), b = dropout(x, 0.5)
      backward(a, ones([100]))
      backward(b, ones([100]))
      expect(numbers(x.grad!)).toEqual(numbers(a).map((v, i) => v + numbers(b)[i]!))
    })
  })

  test('0 gives back the tensor, 1 drops everything but NaN, others than rates are refused', () => {
    scope(() => {
      const x = tensor([1, -2, NaN])
      expect(dropout(x, 0)).toBe(x)
      expect(numbers(dropout(x, 1)).map(Math.abs)).toEqual([0, 0, NaN])
      expect(numbers(dropout(zeros([0]), 0.5))).toEqual([])
      for (const p of [-0.1, 1.1, NaN]) expect(() => dropout(x, p)).toThrow(/dropout: p is .*, expected a number from 0 to 1/)
    })
  })

  test('a transposed input is dropped by its own index', () => {
    scope(() => {
      manualSeed(3)
      const expected = numbers(dropout(ones([8, 4]), 0.5))
      manualSeed(3)
      expect(numbers(dropout(transpose(ones([4, 8])), 0.5))).toEqual(expected)
    })
  })

  test('nothing is left after the backward pass', () => {
    const x = ones([4, 16], { requiresGrad: true }), dy = ones([4, 16])
    const first = dropout(x, 0.5)
    backward(first, dy)
    const before = memory().tensors
    const y = dropout(x, 0.5)
    backward(y, dy)
    y.dispose()
    dropout(x, 0.5).dispose()
    expect(memory().tensors).toBe(before)
  })
})
