import { describe, expect, test } from '@jest/globals'
import { IndexError } from '#lib/errors.js'
import { ones, tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { autocast, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward } from '#lib/autograd/backward.js'
import { embedding } from '#lib/ops/embedding.js'
import { transpose } from '#lib/ops/view.js'
import { integers, normal, opCases, values, type OpCase } from './opCases.js'

const lookup = (name: string, shape: number[], V: number, C: number, scale: number, dtype: 'int32' | 'int64'): OpCase => ({
  name,
  inputs: { ids: integers(shape, V, { dtype }), weight: normal([V, C]) },
  run: ({ ids, weight }) => embedding(ids!, weight!, { scale }),
  reference: ({ ids, weight }) => values([...shape, C], i => weight!.data[ids!.data[Math.floor(i / C)]! * C + i % C]! * scale),
  dtypes: ['float32'],
})

opCases('embedding', [
  lookup('one id', [], 3, 5, 1, 'int32'),
  lookup('[3, 5] of [7, 17]', [3, 5], 7, 17, 1, 'int64'),
  lookup('[257] of [30, 65], scaled', [257], 30, 65, 8, 'int32'),
  lookup('[2000] of [3, 9]: frequent ids', [2000], 3, 9, 1, 'int64'),
  { ...lookup('[2500] of [300, 65]', [2500], 300, 65, 1, 'int32'), large: true },
  lookup('no ids', [0], 3, 9, 1, 'int32'),
  {
    ...lookup('a table in half precision', [9], 7, 33, 2, 'int32'),
    dtypes: ['bfloat16', 'float16'],
    differentiable: false,
  },
])

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
const idsOf = (...ids: number[]): Tensor => tensor(ids, null, { dtype: 'int32' })

describe('embedding', () => {
  test('an id outside of the table rejects the next wait, gives zeros and no gradient, and concerns nothing else', async () => {
    await scope(async () => {
      const weight = ones([3, 2], { requiresGrad: true })
      const y = embedding(idsOf(0, 3, -1), weight)
      await expect(y.data()).rejects.toThrow(IndexError)
      const good = embedding(idsOf(0, 2), weight)
      expect(numbers(good)).toEqual([1, 1, 1, 1])
    })
  })

  test('the padding id gets no gradient; rows that were not looked up get zeros', () => {
    scope(() => {
      const weight = ones([4, 2], { requiresGrad: true })
      backward(embedding(idsOf(0, 1, 0, 3), weight, { paddingIndex: 0, scale: 2 }), ones([4, 2]))
      expect(numbers(weight.grad!)).toEqual([0, 0, 2, 2, 0, 0, 2, 2])
    })
  })

  test('gradients of several uses add up', () => {
    scope(() => {
      const weight = ones([3, 2], { requiresGrad: true })
      for (let i = 0; i < 3; i++) backward(embedding(idsOf(1, i), weight), ones([2, 2]))
      expect(numbers(weight.grad!)).toEqual([1, 1, 4, 4, 1, 1])
    })
  })

  test('rows are in the dtype of the table, under autocast too, unless another is asked for', () => {
    scope(() => {
      const weight = ones([3, 2], { requiresGrad: true })
      expect(autocast('bfloat16', () => embedding(idsOf(1), weight)).dtype).toBe('float32')
      const y = embedding(idsOf(1), weight, { dtype: 'bfloat16' })
      expect(y.dtype).toBe('bfloat16')
      backward(y, tensor([[1, 2]], null, { dtype: 'bfloat16' }))
      expect(weight.grad!.dtype).toBe('float32')
      expect(numbers(weight.grad!)).toEqual([0, 0, 1, 2, 0, 0])
      const half = tensor([[1, 2]], null, { dtype: 'float16' })
      expect(embedding(idsOf(0), half).dtype).toBe('float16')
      expect(embedding(idsOf(0), half, { dtype: 'float32' }).dtype).toBe('float32')
      half.requiresGrad = true
      expect(() => embedding(idsOf(0), half)).toThrow(/weight is float16 and requires a gradient/)
    })
  })

  test('ids of a transposed tensor, no ids, and ids that are no integers', () => {
    scope(() => {
      const weight = tensor([[0], [1], [2], [3], [4], [5]])
      const ids = tensor([[0, 1, 2], [3, 4, 5]], null, { dtype: 'int64' })
      expect(numbers(embedding(transpose(ids), weight))).toEqual([0, 3, 1, 4, 2, 5])
      expect(embedding(zeros([0, 2], { dtype: 'int32' }), weight).shape).toEqual([0, 2, 1])
      expect(() => embedding(zeros([2]), weight)).toThrow(/embedding: ids is float32 \[2\], expected one of: int32, int64/)
      expect(() => embedding(idsOf(1), ones([3]))).toThrow(/weight is float32 \[3\], expected 2 dimensions/)
    })
  })

  test('nothing is left after the backward pass', () => {
    const weight = ones([4, 16], { requiresGrad: true }), ids = tensor([[1, 2], [3, 0]], null, { dtype: 'int32' }), dy = ones([2, 2, 16])
    const first = embedding(ids, weight)
    backward(first, dy)
    const before = memory().tensors
    {
      using turned = transpose(ids)
      const y = embedding(turned, weight)
      backward(y, dy)
      y.dispose()
      embedding(turned, weight).dispose()
    }
    expect(memory().tensors).toBe(before)
  })
})
