import { describe, expect, test } from '@jest/globals'
import { DTypeError, ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import type { Activation } from '#lib/ops/codes.js'
import { cast, contiguous } from '#lib/ops/copy.js'
import { linear } from '#lib/ops/linear.js'
import { reshape, slice, transpose } from '#lib/ops/view.js'
import { normal, opCases, type Array64, type OpCase } from './opCases.js'

/** erfc for the reference: 1 - erf by its series, or the continued fraction of the tail. */
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x)
  if (x < 2.5) {
    let term = x, sum = x
    for (let n = 1; n < 80; n++) {
      term *= -x * x / n
      sum += term / (2 * n + 1)
    }
    return 1 - 2 / Math.sqrt(Math.PI) * sum
  }
  let tail = 0
  for (let k = 60; k > 0; k--) tail = k / 2 / (x + tail)
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + tail)
}

const activate: Record<Activation, (x: number) => number> = {
  none: x => x,
  relu: x => Math.max(x, 0),
  gelu: x => x / 2 * erfc(-x / Math.SQRT2),
  geluTanh: x => x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: x => x / (1 + Math.exp(-x)),
}

/** activation(x Wᵀ + b), with W `[out, in]`. */
function reference(x: Array64, weight: Array64, bias: Array64 | undefined, activation: Activation = 'none'): Array64 {
  const [N, K] = weight.shape as [number, number], rows = x.shape.slice(0, -1).reduce((a, b) => a * b, 1)
  const data = new Float64Array(rows * N)
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < N; n++) {
      let sum = bias?.data[n] ?? 0
      for (let k = 0; k < K; k++) sum += x.data[m * K + k]! * weight.data[n * K + k]!
      data[m * N + n] = activate[activation](sum)
    }
  }
  return { shape: [...x.shape.slice(0, -1), N], data }
}

const bias = (N: number) => ({ ...normal([N], { seed: 3 }), dtype: 'float32' as const, gradient: true })
const scaled = (N: number, K: number) => normal([N, K], { seed: 2, std: K ** -0.5 })

const plain = (shape: number[], N: number, activation?: Activation): OpCase => ({
  name: `[${shape.join(', ')}] to ${N}${activation ? ` with ${activation}` : ''}`,
  inputs: { x: normal(shape, { seed: 1 }), weight: scaled(N, shape.at(-1)!), bias: bias(N) },
  run: ({ x, weight, bias }) => linear(x!, weight!, bias, activation ? { activation } : {}),
  reference: ({ x, weight, bias }) => reference(x!, weight!, bias, activation),
  ulps: 4 + Math.sqrt(shape.at(-1)!),
})

opCases('linear', [
  plain([3, 17], 65),
  plain([1, 65], 257),
  plain([65, 257], 3),
  plain([2, 3, 17], 33),
  plain([17], 5),
  plain([63, 1000], 3, 'gelu'),
  plain([0, 5], 3),
  plain([40, 64], 72, 'gelu'),   // rows at multiples of 16 bytes, on the way forward and back
  plain([3, 24, 40], 136),
  { ...plain([130, 300], 257, 'geluTanh'), ulps: 24, large: true },
  ...(['relu', 'gelu', 'geluTanh', 'silu'] as const).map(a => plain([17, 33], 19, a)),
  {
    name: 'without bias',
    inputs: { x: normal([2, 5, 17], { seed: 1 }), weight: scaled(65, 17) },
    run: ({ x, weight }) => linear(x!, weight!),
    reference: ({ x, weight }) => reference(x!, weight!, undefined),
  },
  {
    name: 'a weight [in, out], as GPT-2 keeps it',
    inputs: { x: normal([5, 17], { seed: 1 }), weight: normal([17, 33], { seed: 4, std: 0.25 }), bias: bias(33) },
    run: ({ x, weight, bias }) => linear(x!, transpose(weight!), bias, { activation: 'geluTanh' }),
    reference: ({ x, weight, bias }) => {
      const turned = Float64Array.from({ length: 17 * 33 }, (_, i) => weight!.data[(i % 17) * 33 + Math.floor(i / 17)]!)
      return reference(x!, { shape: [33, 17], data: turned }, bias, 'geluTanh')
    },
    ulps: 6,
  },
  // Few rows, in each layout of the weight, with odd tails in depth and width; large enough for several threads.
  ...[1, 4, 7, 16].flatMap((M): OpCase[] => [{ ...plain([M, 100], 91, 'gelu'), ulps: 14 }, { ...plain([M, 300], 180), large: true, ulps: 22 }, {
    name: `[${M}, 300] to 180 with a weight [in, out]`,
    inputs: { x: normal([M, 300], { seed: 1 }), weight: normal([300, 180], { seed: 4, std: 300 ** -0.5 }), bias: bias(180) },
    run: ({ x, weight, bias }) => linear(x!, transpose(weight!), bias),
    reference: ({ x, weight, bias }) => {
      const turned = Float64Array.from({ length: 300 * 180 }, (_, i) => weight!.data[(i % 300) * 180 + Math.floor(i / 300)]!)
      return reference(x!, { shape: [180, 300], data: turned }, bias)
    },
    large: true, ulps: 22,
  }]),
  {
    name: 'a tensor as its own weight',
    inputs: { x: normal([9, 9], { seed: 5, std: 0.5 }) },
    run: ({ x }) => linear(x!, x!),
    reference: ({ x }) => reference(x!, x!, undefined),
  },
])

const random = (shape: number[], seed: number, requiresGrad = true): Tensor => tensor(Float32Array.from(normal(shape, { seed }).data), shape, { requiresGrad })

describe('linear', () => {
  test('gives without a tape the bits that it gives with one, in every rank and for inputs with gaps', () => {
    scope(() => {
      const weight = random([24, 40], 2), b = random([24], 3), whole = random([2, 3, 5, 80], 4, false)
      const gaps = slice(whole, -1, 20, 60)
      for (const x of [reshape(contiguous(gaps), [30, 40]), contiguous(gaps), gaps, slice(gaps, 2, 1, 2), reshape(slice(reshape(contiguous(gaps), [30, 40]), 0, 0, 1), [40])]) {
        const recorded = linear(x, weight, b, { activation: 'gelu' }), plain = noGrad(() => linear(x, weight, b, { activation: 'gelu' }))
        expect(recorded.requiresGrad).toBe(true)
        expect(plain.requiresGrad).toBe(false)
        expect(plain.shape).toEqual([...x.shape.slice(0, -1), 24])
        expect(plain.dataSync()).toEqual(recorded.dataSync())
      }
    })
  })

  test('under autocast computes in half precision and gives the float32 weight a float32 gradient', () => {
    scope(() => {
      const x = random([7, 40], 1), weight = random([24, 40], 2), b = random([24], 3)
      const gradients = (precision: 'float32' | 'bfloat16') => {
        for (const t of [x, weight, b]) { t.grad?.dispose(); t.grad = undefined }
        const y = autocast(precision, () => linear(x, weight, b, { activation: 'gelu' }))
        expect(y.dtype).toBe(precision)
        backward(y, tensor(Float32Array.from({ length: y.size }, () => 1), y.shape, { dtype: precision }))
        return [y, x.grad!, weight.grad!, b.grad!].map(t => { expect(t === y || t.dtype === 'float32').toBe(true); return [...t.dataSync()].map(Number) })
      }
      const exact = gradients('float32'), half = gradients('bfloat16')
      exact.forEach((values, i) => {
        const size = Math.sqrt(values.reduce((s, v) => s + v * v, 0)), off = Math.sqrt(values.reduce((s, v, j) => s + (v - half[i]![j]!) ** 2, 0))
        expect(off / size).toBeLessThan(0.01)
        expect(off).toBeGreaterThan(0)
      })
    })
  })

  test('under autocast gives the float32 sums themselves where they are asked for, of operands that are rounded, and gradients of them', () => {
    scope(() => {
      const once = (t: Tensor): Tensor => noGrad(() => cast(cast(t, 'bfloat16'), 'float32'))
      const x = random([7, 40], 1), weight = random([24, 40], 2), b = random([24], 3), dy = once(random([7, 24], 4, false))
      for (const activation of ['none', 'relu', 'gelu'] as const) {
        const run = (inputs: Tensor[], precision: 'float32' | 'bfloat16'): number[][] => {
          for (const t of inputs) { t.grad?.dispose(); t.grad = undefined; t.requiresGrad = true }
          const y = autocast(precision, () => linear(inputs[0]!, inputs[1]!, inputs[2], { activation, dtype: 'float32' }))
          expect(y.dtype).toBe('float32')
          backward(y, dy)
          return [y, ...inputs.map(t => t.grad!)].map(t => [...t.dataSync()].map(Number))
        }
        const exact = run([once(x), once(weight), b], 'float32'), half = run([x, weight, b], 'bfloat16')
        exact.forEach((values, i) => {
          const size = Math.sqrt(values.reduce((s, v) => s + v * v, 0)), off = Math.sqrt(values.reduce((s, v, j) => s + (v - half[i]![j]!) ** 2, 0))
          // y has no rounding of its own; gradients have that of dz where the activation has a slope, and that of dx.
          expect(off / size).toBeLessThan(i === 0 ? 1e-6 : 4e-3)
        })
      }
      expect(() => linear(x, weight, b, { dtype: 'bfloat16' })).toThrow(DTypeError)
    })
  })

  test('gives a bias its gradient when the weight is frozen, and a frozen input none', () => {
    scope(() => {
      const x = random([5, 4], 1, false), weight = random([3, 4], 2, false), b = random([3], 3)
      const y = linear(x, weight, b)
      backward(y, tensor([[1, 2, 3], [1, 1, 1], [0, 0, 0], [2, 0, 0], [0, 0, 1]]))
      expect([...b.grad!.dataSync()]).toEqual([4, 3, 5])
      expect([x.grad, weight.grad]).toEqual([undefined, undefined])
    })
  })

  test('accumulates over two backward passes', () => {
    scope(() => {
      const x = random([5, 4], 1), weight = random([3, 4], 2), b = random([3], 3)
      const step = () => { const y = linear(x, weight, b); backward(y, tensor(Float32Array.from({ length: 15 }, (_, i) => i % 4), [5, 3])) }
      step()
      const once = [x, weight, b].map(t => [...t.grad!.dataSync()].map(Number))
      step()
      const twice = [x, weight, b].map(t => [...t.grad!.dataSync()].map(Number))
      twice.forEach((values, i) => { values.forEach((v, j) => { expect(v).toBeCloseTo(2 * once[i]![j]!, 5) }) })
    })
  })

  test('refuses a weight of another width, and says what came', () => {
    expect(() => linear(zeros([2, 3]), zeros([5, 4]))).toThrow(ShapeError)
    expect(() => linear(zeros([2, 3]), zeros([5, 4]))).toThrow(/\[2, 3\] and the weight \[5, 4\]/)
    expect(() => linear(zeros([2, 4]), zeros([5, 4]), zeros([4]))).toThrow(ShapeError)
    expect(() => linear(zeros([]), zeros([5, 4]))).toThrow(ShapeError)
  })

  test('leaves nothing behind', () => {
    const x = zeros([2, 3, 4], { requiresGrad: true }), weight = zeros([5, 4], { requiresGrad: true }), b = zeros([5], { requiresGrad: true })
    const before = memory().tensors
    for (const activation of ['none', 'relu', 'gelu'] as const) {
      for (const precision of ['float32', 'bfloat16'] as const) {
        autocast(precision, () => { linear(x, weight, b, { activation }).dispose() })
        noGrad(() => { autocast(precision, () => { linear(x, weight, b, { activation }).dispose() }) })
        expect(memory().tensors).toBe(before)
      }
    }
    for (const t of [x, weight, b]) t.dispose()
  })
})
