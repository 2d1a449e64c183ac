import { describe, expect, test } from '@jest/globals'
import { ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { LearnedPositions, SinusoidalPositions } from '#lib/nn/positions.js'
import { ones, tensor, zeros } from '#lib/tensor/create.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
const sinusoid = (t: number, c: number, C: number): number => {
  const angle = t / 10000 ** (2 * Math.floor(c / 2) / C)
  return c % 2 === 0 ? Math.sin(angle) : Math.cos(angle)
}

describe('sinusoidal positions', () => {
  test.each([8, 7])('are the formula of the paper for width %i, from any position on, however long', C => {
    const positions = new SinusoidalPositions(C)
    scope(() => {
      for (const [T, start] of [[3, 0], [5, 120], [300, 0], [1, 299]] as const) {
        const y = numbers(positions.forward(ones([2, T, C]), start))
        y.forEach((v, i) => { expect(Math.abs(v - 1 - sinusoid(start + Math.floor(i / C) % T, i % C, C))).toBeLessThan(1e-5) })
      }
    })
    positions.dispose()
  })

  test('pass the gradient on, and the dtype', () => {
    const positions = new SinusoidalPositions(4)
    scope(() => {
      const x = zeros([1, 2, 4], { requiresGrad: true })
      backward(positions.forward(x), ones([1, 2, 4]))
      expect(numbers(x.grad!)).toEqual(new Array(8).fill(1))
      expect(positions.forward(zeros([1, 2, 4], { dtype: 'bfloat16' })).dtype).toBe('bfloat16')
    })
    positions.dispose()
  })
})

describe('learned positions', () => {
  test('add rows of their table, which get the gradient of all sequences of the batch', () => {
    const positions = new LearnedPositions(5, 2)
    positions.weight.assign(Float32Array.from({ length: 10 }, (_, i) => i))
    scope(() => {
      const y = positions.forward(ones([2, 3, 2]), 1)
      expect(numbers(y)).toEqual([3, 4, 5, 6, 7, 8, 3, 4, 5, 6, 7, 8])
      backward(y, ones([2, 3, 2]))
      expect(numbers(positions.weight.grad!)).toEqual([0, 0, 2, 2, 2, 2, 2, 2, 0, 0])
      const given = positions.forward(zeros([2, 2, 2]), tensor([[0, 4], [1, 1]], null, { dtype: 'int32' }))
      expect(numbers(given)).toEqual([0, 1, 8, 9, 2, 3, 2, 3])
    })
    positions.dispose()
  })

  test('a sequence that is longer than the table is an error that says what to do', () => {
    const positions = new LearnedPositions(4, 2)
    scope(() => {
      expect(() => positions.forward(zeros([1, 5, 2]))).toThrow(ShapeError)
      expect(() => positions.forward(zeros([1, 2, 2]), 3)).toThrow(/the sequence has 5 tokens, the model was built for at most 4/)
    })
    positions.dispose()
  })
})
