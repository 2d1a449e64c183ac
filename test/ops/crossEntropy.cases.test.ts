import { describe, expect, test } from '@jest/globals'
import { IndexError } from '#lib/errors.js'
import { ones, tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward, backwardMany } from '#lib/autograd/backward.js'
import { clone } from '#lib/ops/copy.js'
import { crossEntropy, type CrossEntropyOptions } from '#lib/ops/crossEntropy.js'
import { layerNorm } from '#lib/ops/layerNorm.js'
import { logSoftmax, softmax } from '#lib/ops/softmax.js'
import { reshape, slice, transpose } from '#lib/ops/view.js'
import { integers, normal, opCases, values, type Array64, type Input, type OpCase } from './opCases.js'

/** From the smoothed target distribution: -sum of target * log p + zLoss * lse², over the positions that count. */
function lossReference(logits: Array64, labels: Array64, { labelSmoothing = 0, ignoreIndex = -100, zLoss = 0, reduction = 'mean' }: CrossEntropyOptions): Array64 {
  const V = logits.shape.at(-1)!
  const losses = Array.from(labels.data, (label, r) => {
    if (label === ignoreIndex) return 0
    const x = logits.data.subarray(r * V, (r + 1) * V), highest = Math.max(...x)
    const lse = highest + Math.log(x.reduce((a, v) => a + Math.exp(v - highest), 0))
    return x.reduce((a, v, j) => a - ((j === label ? 1 - labelSmoothing : 0) + labelSmoothing / V) * (v - lse), 0) + zLoss * lse * lse
  })
  if (reduction === 'none') return { shape: labels.shape, data: Float64Array.from(losses) }
  const sum = losses.reduce((a, b) => a + b, 0), counted = labels.data.reduce((n, label) => n + Number(label !== ignoreIndex), 0)
  return { shape: [], data: Float64Array.of(reduction === 'mean' ? sum / Math.max(counted, 1) : sum) }
}

/** Every fourth label is ignored. */
const labelsOf = (shape: number[], V: number, dtype: 'int32' | 'int64', ignored = -100): Input => {
  const all = integers(shape, V, { seed: 3 })
  return { ...values(shape, i => i % 4 === 1 ? ignored : all.data[i]!), dtype }
}

const lossCase = (shape: number[], options: CrossEntropyOptions, dtype: 'int32' | 'int64' = 'int32'): OpCase => ({
  name: `[${shape.join(', ')}] ${JSON.stringify(options)}`,
  inputs: { logits: normal(shape, { std: 2 }), labels: labelsOf(shape.slice(0, -1), shape.at(-1)!, dtype, options.ignoreIndex) },
  run: ({ logits, labels }) => crossEntropy(logits!, labels!, options),
  reference: ({ logits, labels }) => lossReference(logits!, labels!, options),
  ulps: 8,
})

opCases('crossEntropy', [
  lossCase([5], {}),
  lossCase([3, 17], {}, 'int64'),
  lossCase([2, 3, 65], { labelSmoothing: 0.1 }),
  lossCase([33, 257], { reduction: 'sum', ignoreIndex: 0 }),
  lossCase([7, 9], { reduction: 'none', zLoss: 0.01 }),
  { ...lossCase([130, 257], { labelSmoothing: 0.1, zLoss: 1e-4 }), large: true },
  lossCase([3, 5, 1000], { labelSmoothing: 0.2, zLoss: 0.001, reduction: 'mean' }, 'int64'),
])

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
const labels = (...list: number[]): Tensor => tensor(list, null, { dtype: 'int32' })

describe('crossEntropy', () => {
  test('equals the composition with logSoftmax', () => {
    scope(() => {
      const logits = tensor([[1, 2, 3], [0.5, -1, 0]])
      const log = numbers(logSoftmax(logits))
      expect(numbers(crossEntropy(logits, labels(2, 1), { reduction: 'none' })).map(v => v.toFixed(6))).toEqual([-log[2]!, -log[4]!].map(v => v.toFixed(6)))
    })
  })

  test('where all positions are ignored, the loss and the gradient are 0', () => {
    scope(() => {
      for (const reduction of ['mean', 'sum', 'none'] as const) {
        const logits = ones([2, 3], { requiresGrad: true })
        const loss = crossEntropy(logits, labels(-100, -100), { reduction })
        expect(numbers(loss).every(v => v === 0)).toBe(true)
        backward(loss, ones(loss.shape))
        expect(numbers(logits.grad!)).toEqual([0, 0, 0, 0, 0, 0])
      }
      expect(numbers(crossEntropy(zeros([0, 3]), zeros([0], { dtype: 'int32' })))).toEqual([0])
    })
  })

  test('a label outside of the classes rejects the next wait with its place', async () => {
    await scope(async () => {
      const logits = ones([2, 3], { requiresGrad: true })
      await expect(crossEntropy(logits, labels(1, 3)).data()).rejects.toThrow(IndexError)
      await expect(crossEntropy(logits, labels(1, -1)).item()).rejects.toThrow(/-1/)
      expect(numbers(crossEntropy(logits, labels(1, 2))).map(v => v.toFixed(5))).toEqual([Math.log(3).toFixed(5)])
    })
  })

  test('a class of probability 0 costs infinity, and large logits cost no digits', () => {
    scope(() => {
      expect(numbers(crossEntropy(tensor([[0, -Infinity]]), labels(1)))).toEqual([Infinity])
      expect(numbers(crossEntropy(tensor([[10000, 10001]]), labels(1)))[0]).toBeCloseTo(Math.log(1 + Math.exp(-1)), 6)
    })
  })

  test('labels of another shape, and options outside of their range, are errors', () => {
    scope(() => {
      expect(() => crossEntropy(ones([2, 3]), labels(1, 2, 0))).toThrow(/labels are \[3\], expected the shape of logits \[2, 3\] without its last dimension/)
      expect(() => crossEntropy(ones([2, 3]), ones([2]))).toThrow(/labels is float32 \[2\], expected one of: int32, int64/)
      expect(() => crossEntropy(ones([2, 3]), labels(0, 1), { labelSmoothing: 1.5 })).toThrow(/labelSmoothing is 1.5/)
      expect(() => crossEntropy(ones([2, 3]), labels(0, 1), { reduction: 'average' as 'mean' })).toThrow(/reduction is 'average'/)
    })
  })

  test('shifted logits of a language model are read in place and get their gradient', () => {
    scope(() => {
      const logits = tensor(Float32Array.from(normal([2, 5, 7]).data), [2, 5, 7], { requiresGrad: true })
      const ids = tensor(integers([2, 4], 7).data as unknown as Float32Array, [2, 4], { dtype: 'int32' })
      backward(crossEntropy(slice(logits, 1, 0, 4), ids))
      const g = numbers(logits.grad!)
      for (let b = 0; b < 2; b++)
        for (let t = 0; t < 5; t++) {
          const row = g.slice((b * 5 + t) * 7, (b * 5 + t + 1) * 7)
          expect(Math.abs(row.reduce((a, v) => a + v, 0))).toBeLessThan(1e-6)
          expect(row.some(v => v !== 0)).toBe(t < 4)
        }
    })
  })

  test('labels of a transposed tensor are read by their index', () => {
    scope(() => {
      const logits = tensor([[[5, 0], [0, 5]]]), turned = transpose(tensor([[0], [1]], null, { dtype: 'int32' }))
      expect(numbers(crossEntropy(logits, turned))[0]).toBeLessThan(0.01)
    })
  })

  test('in place: the same gradients, in the memory of the logits', () => {
    scope(() => {
      const targets = labels(1, -100, 6), run = (inPlace: boolean, shape: number[]) => {
        const x = tensor(Float32Array.from(normal([3, 7]).data), [3, 7], { requiresGrad: true })
        const logits = layerNorm(x), before = numbers(logits)
        backward(crossEntropy(reshape(logits, shape), reshape(targets, shape.slice(0, -1)), { inPlace, labelSmoothing: 0.1 }))
        const overwritten = numbers(logits).some((v, i) => v !== before[i])
        expect(overwritten).toBe(inPlace)
        return numbers(x.grad!)
      }
      expect(run(true, [3, 7])).toEqual(run(false, [3, 7]))
      expect(run(true, [1, 3, 7])).toEqual(run(false, [3, 7]))
    })
  })

  test('in place: a leaf keeps its values, and an op that needs its output says so', () => {
    scope(() => {
      const leaf = tensor([[1, 2, 3]], null, { requiresGrad: true })
      backward(crossEntropy(leaf, labels(1), { inPlace: true }))
      expect(numbers(leaf)).toEqual([1, 2, 3])
      expect(numbers(leaf.grad!).some(v => v !== 0)).toBe(true)
      const loss = crossEntropy(softmax(tensor([[1, 2, 3]], null, { requiresGrad: true })), labels(1), { inPlace: true })
      expect(() => { backward(loss) }).toThrow(/backward of softmax: tensor .* was written since/)
    })
  })

  test('in place: another use of the logits adds to the gradient', () => {
    scope(() => {
      const run = (inPlace: boolean) => {
        const x = tensor([[1, -2, 0.5]], null, { requiresGrad: true })
        const logits = layerNorm(x)
        backwardMany([crossEntropy(logits, labels(1), { inPlace }), clone(logits)], [undefined, tensor([[1, 0, 2]])])
        return numbers(x.grad!)
      }
      expect(run(true)).toEqual(run(false))
    })
  })

  test('nothing is left after the backward pass', () => {
    const logits = ones([4, 16], { requiresGrad: true }), targets = labels(1, 2, 3, -100)
    const first = crossEntropy(logits, targets)
    backward(first)
    const before = memory().tensors
    for (const reduction of ['mean', 'sum', 'none'] as const) {
      const loss = crossEntropy(logits, targets, { reduction, labelSmoothing: 0.1 })
      using seed = ones(loss.shape)
      backward(loss, seed)
      loss.dispose()
      const made = layerNorm(logits), inPlace = crossEntropy(made, targets, { inPlace: true })
      made.dispose()
      backward(inPlace)
      inPlace.dispose()
      crossEntropy(logits, targets, { reduction }).dispose()
    }
    expect(memory().tensors).toBe(before)
  })
})
