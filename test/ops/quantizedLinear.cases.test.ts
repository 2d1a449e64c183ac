import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { Random } from '#lib/data/random.js'
import { normalFloat, quantized, type Quantization } from '#lib/nn/quantization.js'
import { linear } from '#lib/ops/linear.js'
import { quantizedLinear } from '#lib/ops/quantizedLinear.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import { normal, opCases, values, type OpCase } from './opCases.js'

const random = (count: number, std = 1): Float32Array => new Random(5, 'weights').fillNormal(new Float32Array(count), 0, std)

/** What the codes stand for, by the definition. */
function meaning(weights: Float32Array, [, K]: readonly [number, number], to: Quantization, doubly: boolean): Float64Array {
  const of = (list: Float32Array): number => list.reduce((m, x) => Math.max(m, Math.abs(x)), 0), out = new Float64Array(weights.length)
  if (to === 'int8') {
    for (let i = 0; i < out.length; i += K) {
      const row = weights.subarray(i, i + K), scale = of(row) / 127
      row.forEach((w, k) => { out[i + k] = scale === 0 ? 0 : scale * Math.round(w / scale) })
    }
    return out
  }
  const absmax = Array.from({ length: Math.ceil(weights.length / 64) }, (_, b) => of(weights.subarray(64 * b, 64 * b + 64)))
  const mean = absmax.reduce((a, b) => a + b, 0) / absmax.length
  const stored = absmax.map((largest, b) => {
    if (!doubly) return largest
    const group = absmax.slice(256 * Math.floor(b / 256), 256 * Math.floor(b / 256) + 256), step = Math.max(...group.map(x => Math.abs(x - mean))) / 127
    return mean + (step === 0 ? 0 : step * Math.round((largest - mean) / step))
  })
  weights.forEach((w, i) => {
    const largest = absmax[i >> 6]!, x = largest === 0 ? 0 : w / largest
    out[i] = stored[i >> 6]! * normalFloat.reduce((best, value) => Math.abs(value - x) < Math.abs(best - x) ? value : best, 9)
  })
  return out
}

const shapes: readonly (readonly [number, number])[] = [[1, 1], [3, 5], [7, 64], [33, 65], [300, 64]]
const cases = shapes.flatMap(([N, K]) => (['int8', 'nf4'] as const).map((to): OpCase => {
  const weights = random(N * K, 0.3), stored = quantized(weights, [N, K], to), expected = meaning(weights, [N, K], to, true)
  return {
    name: `${to} [${N}, ${K}]`, inputs: { x: normal([3, K]), b: normal([N]) },
    run: ({ x, b }) => quantizedLinear(x!, stored, b),
    reference: ({ x, b }) => values([3, N], i => {
      let sum = b!.data[i % N]!
      for (let k = 0; k < K; k++) sum += x!.data[Math.floor(i / N) * K + k]! * expected[i % N * K + k]!
      return sum
    }),
    dtypes: ['float32'], ...(N * K > 2000 ? { large: true } : {}),
  }
}))
opCases('quantizedLinear', cases)

describe('quantized', () => {
  test.each([['int8', true], ['nf4', true], ['nf4', false]] as const)('%s, double quantisation %s: the values are those of the definition', (to, doubleQuantization) => {
    const shape = [531, 65] as const, weights = random(531 * 65)
    scope(() => {
      const stored = quantized(weights, shape, to, { doubleQuantization }), got = stored.dequantize('float32').dataSync() as Float32Array
      const expected = meaning(weights, shape, to, doubleQuantization)
      let worst = 0
      got.forEach((x, i) => { worst = Math.max(worst, Math.abs(x - expected[i]!)) })
      expect(worst).toBeLessThan(1e-6)
      for (const dtype of ['bfloat16', 'float16'] as const) {
        const half = stored.dequantize(dtype).dataSync() as Float32Array
        half.forEach((x, i) => { worst = Math.max(worst, Math.abs(x - expected[i]!) / Math.max(Math.abs(expected[i]!), 1e-3)) })
        expect(worst).toBeLessThan(1 / 256)
      }
      for (const t of stored.tensors) t.dispose()
    })
  })

  test('storage is 8 bits a weight, 4.5, and 4.13 with double quantisation', () => {
    const shape = [512, 1024] as const, weights = random(512 * 1024), bits = (to: Quantization, doubleQuantization: boolean): number => {
      const before = memory().bytes, stored = quantized(weights, shape, to, { doubleQuantization }), bytes = memory().bytes - before
      for (const t of stored.tensors) t.dispose()
      return 8 * bytes / weights.length
    }
    expect(bits('int8', true)).toBeCloseTo(8 + 32 / 1024, 6)
    expect(bits('nf4', false)).toBeCloseTo(4.5, 6)
    expect(bits('nf4', true)).toBeCloseTo(4 + 8 / 64 + 32 / (64 * 256), 6)
  })

  test('normal weights lose as little as the paper says: about 8 % of their size in 4 bits, 0.7 % in 8', () => {
    const weights = random(256 * 256), size = Math.sqrt(weights.reduce((s, x) => s + x * x, 0)), error = (to: Quantization): number => scope(() => {
      const stored = quantized(weights, [256, 256], to), y = stored.dequantize('float32').dataSync() as Float32Array
      for (const t of stored.tensors) t.dispose()
      return Math.sqrt(y.reduce((s, x, i) => s + (x - weights[i]!) ** 2, 0)) / size
    })
    expect(error('nf4')).toBeGreaterThan(0.05)
    expect(error('nf4')).toBeLessThan(0.11)
    expect(error('int8')).toBeLessThan(0.01)
  })

  test('the gradient of x is that of the weight that the codes stand for, of several batches, and nothing is left behind', () => {
    const stored = quantized(random(6 * 10), [6, 10], 'nf4'), before = memory().tensors
    scope(() => {
      const [x, other] = [0, 1].map(() => tensor(random(2 * 3 * 10), [2, 3, 10], { requiresGrad: true }))
      const y = quantizedLinear(x!, stored), expected = linear(other!, stored.dequantize('float32'))
      expect(y.shape).toEqual([2, 3, 6])
      backward(y, tensor(random(36), [2, 3, 6]))
      backward(expected, tensor(random(36), [2, 3, 6]))
      const [got, wanted] = [x!.grad!.dataSync() as Float32Array, other!.grad!.dataSync() as Float32Array]
      got.forEach((g, i) => { expect(g).toBeCloseTo(wanted[i]!, 5) })
    })
    expect(memory().tensors).toBe(before)
    for (const t of stored.tensors) t.dispose()
  })

  test('weights that are not finite, and an x that does not fit, are refused', () => {
    expect(() => quantized(Float32Array.of(1, NaN), [1, 2], 'nf4')).toThrow(/NaN or infinite/)
    const stored = quantized(random(6), [2, 3], 'int8')
    expect(() => quantizedLinear(tensor([[1, 2]]), stored)).toThrow(/x is \[1, 2\] and the weight \[2, 3\]/)
    for (const t of stored.tensors) t.dispose()
  })
})
