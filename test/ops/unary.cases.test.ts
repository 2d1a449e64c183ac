import { describe, expect, test } from '@jest/globals'
import { AutogradError, DTypeError } from '#lib/errors.js'
import { tensor, zeros } from '#lib/tensor/create.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward } from '#lib/autograd/backward.js'
import { add } from '#lib/ops/add.js'
import { mul } from '#lib/ops/mul.js'
import * as unary from '#lib/ops/unary.js'
import { split } from '#lib/ops/view.js'
import { gatedActivation } from '#lib/ops/gatedActivation.js'
import { map, zip } from './array64.js'
import { normal, opCases, type OpCase } from './opCases.js'

/** By Simpson's rule, to 1e-10 for |x| < 8. */
function erf(x: number): number {
  const n = 100, h = x / n, f = (t: number): number => Math.exp(-t * t)
  let s = f(0) + f(x)
  for (let i = 1; i < n; i++) s += (i % 2 ? 4 : 2) * f(i * h)
  return (s * h / 3) * 2 / Math.sqrt(Math.PI)
}
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const geluTanh = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2))
const positive = (v: number): number => Math.abs(v) + 0.2
/** Away from kinks, so that a difference quotient is a derivative. */
const offZero = (v: number): number => Math.abs(v) < 0.01 ? 0.02 : v

const functions: [string, (x: Tensor) => Tensor, (x: number) => number, ((v: number) => number)?][] = [
  ['neg', unary.neg, x => -x], ['abs', unary.abs, Math.abs, offZero], ['square', unary.square, x => x * x], ['exp', unary.exp, Math.exp], ['log', unary.log, Math.log, positive],
  ['log1p', unary.log1p, Math.log1p, positive], ['sqrt', unary.sqrt, Math.sqrt, positive], ['rsqrt', unary.rsqrt, x => 1 / Math.sqrt(x), positive],
  ['reciprocal', unary.reciprocal, x => 1 / x, positive], ['erf', unary.erf, erf], ['sin', unary.sin, Math.sin], ['cos', unary.cos, Math.cos],
  ['relu', unary.relu, x => Math.max(0, x), offZero], ['gelu', unary.gelu, gelu], ['gelu, tanh', x => unary.gelu(x, { approximate: 'tanh' }), geluTanh],
  ['quickGelu', unary.quickGelu, x => x * sigmoid(1.702 * x)], ['silu', unary.silu, x => x * sigmoid(x)], ['tanh', unary.tanh, Math.tanh], ['sigmoid', unary.sigmoid, sigmoid],
  ['softplus', unary.softplus, x => Math.log1p(Math.exp(x))],
]
for (const [name, op, reference, prepare = (v: number) => v] of functions) {
  opCases(name, [[1], [3, 17], [257], [0, 3], [40_003]].map((shape): OpCase => ({
    large: shape[0]! > 1000,
    special: name !== 'erf',   // its reference is a sum; infinities are below
    name: `[${shape.join(', ')}]`,
    inputs: { x: map(normal(shape, { std: 1.5 }), prepare) },
    run: ({ x }) => op(x!),
    reference: ({ x }) => map(x!, reference),
  })))
}
const steps: [string, (x: Tensor) => Tensor, (x: number) => number][] = [
  ['sign', unary.sign, x => Number(x > 0) - Number(x < 0)], ['floor', unary.floor, Math.floor], ['ceil', unary.ceil, Math.ceil], ['trunc', unary.trunc, Math.trunc],
  ['logicalNot', unary.logicalNot, x => Number(x === 0)],
]
for (const [name, op, reference] of steps) {
  opCases(name, [{ name: '[3, 65]', inputs: { x: normal([3, 65], { std: 4 }) }, differentiable: false, run: ({ x }) => op(x!), reference: ({ x }) => map(x!, reference) }])
}

const activations = { relu: (x: number) => Math.max(0, x), gelu, geluTanh, silu: (x: number) => x * sigmoid(x), sigmoid } as const
opCases('gatedActivation', Object.entries(activations).flatMap(([name, f]): OpCase[] => [[1, 3], [5, 65]].map(shape => ({
  name: `${name} of [${shape.join(', ')}]`,
  inputs: { gate: map(normal(shape), offZero), up: normal(shape, { seed: 1 }) },
  run: ({ gate, up }) => gatedActivation(gate!, up!, name as keyof typeof activations),
  reference: ({ gate, up }) => zip([gate!, up!], (g, u) => f(g) * u),
}))).concat([{
  name: 'halves of one product',
  inputs: { both: normal([5, 2, 34]) },
  run: ({ both }) => {
    const [gate, up] = split(both!, 17)
    return gatedActivation(gate!, up!, 'silu')
  },
  reference: ({ both }) => {
    const half = (from: number) => ({ shape: [5, 2, 17], data: Float64Array.from({ length: 170 }, (_, i) => both!.data[Math.floor(i / 17) * 34 + from + i % 17]!) })
    return zip([half(0), half(17)], (g, u) => activations.silu(g) * u)
  },
}]))

const list = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

describe('elementwise functions', () => {
  test('infinities, NaN, zeros and the ends of float32', () => {
    scope(() => {
      const x = tensor([0, -0, Infinity, -Infinity, NaN, 3e38, -3e38])
      expect(list(unary.exp(x))).toEqual([1, 1, Infinity, 0, NaN, Infinity, 0])
      expect(list(unary.log(x)).slice(0, 5)).toEqual([-Infinity, -Infinity, Infinity, NaN, NaN])
      expect(list(unary.relu(x)).map(v => v + 0)).toEqual([0, 0, Infinity, 0, NaN, Math.fround(3e38), 0])
      expect(list(unary.sigmoid(x))).toEqual([0.5, 0.5, 1, 0, NaN, 1, 0])
      expect(list(unary.tanh(x))).toEqual([0, -0, 1, -1, NaN, 1, -1])
      expect(list(unary.erf(x))).toEqual([0, -0, 1, -1, NaN, 1, -1])
      expect(list(unary.isNan(x))).toEqual([0, 0, 0, 0, 1, 0, 0])
      expect(list(unary.isFinite(x))).toEqual([1, 1, 0, 0, 0, 1, 1])
      expect(list(unary.round(tensor([0.5, 1.5, 2.5, -0.5, -1.5])))).toEqual([0, 2, 2, -0, -2])
      expect(list(unary.sqrt(tensor([-1, 4])))).toEqual([NaN, 2])
    })
  })

  test('gelu and silu keep their digits far in the left tail', () => {
    scope(() => {
      const x = tensor([-5, -8]), exact = [-1.4332575e-6, -4.9768e-15]   // -5 P(X <= -5), -8 P(X <= -8)
      list(unary.gelu(x)).forEach((y, i) => { expect(Math.abs(y / exact[i]! - 1)).toBeLessThan(1e-4) })
      expect(Math.abs(list(unary.silu(tensor([-80])))[0]! / (-80 * Math.exp(-80)) - 1)).toBeLessThan(1e-5)
    })
  })

  test('steps have no gradient and say so', () => {
    scope(() => {
      const x = zeros([2], { requiresGrad: true })
      for (const op of [unary.sign, unary.floor, unary.ceil, unary.round, unary.trunc]) {
        expect(() => op(x)).toThrow(AutogradError)
        expect(noGrad(() => op(x)).requiresGrad).toBe(false)
      }
      expect(unary.logicalNot(x).dtype).toBe('bool')
    })
  })

  test('integers have what has an integer result, and nothing else', () => {
    scope(() => {
      const x = tensor([-3, 0, 4], null, { dtype: 'int32' })
      expect(list(unary.neg(x))).toEqual([3, 0, -4])
      expect(list(unary.abs(x))).toEqual([3, 0, 4])
      expect(list(unary.square(x))).toEqual([9, 0, 16])
      expect(list(unary.relu(x))).toEqual([0, 0, 4])
      expect(list(unary.sign(x))).toEqual([-1, 0, 1])
      expect(() => unary.exp(x)).toThrow(DTypeError)
      expect(() => unary.exp(x)).toThrow("exp: the tensor is int32, expected a floating one. Convert it with .to('float32')")
      expect(() => unary.neg(zeros([1], { dtype: 'bool' }))).toThrow(DTypeError)
    })
  })

  test('the gradients of one tensor in several ops add up', () => {
    scope(() => {
      const x = tensor([0.5, -1], null, { requiresGrad: true })
      backward(add(unary.exp(x), mul(unary.square(x), 3)), tensor([1, 1]))
      list(x.grad!).forEach((g, i) => { expect(g).toBeCloseTo([Math.exp(0.5) + 3, Math.exp(-1) - 6][i]!, 5) })
      const gate = tensor([0.7], null, { requiresGrad: true })
      backward(gatedActivation(gate, gate, 'sigmoid'))
      const s = sigmoid(0.7)
      expect(gate.grad!.itemSync()).toBeCloseTo(s + 0.7 * s * (1 - s), 6)
    })
  })
})
