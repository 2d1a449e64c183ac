import { afterEach, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { checkpoint } from '#lib/autograd/checkpoint.js'
import { ConfigError } from '#lib/errors.js'
import { linear } from '#lib/ops/linear.js'
import { matmul } from '#lib/ops/matmul.js'
import { setFloat32MatmulPrecision, withTf32 } from '#lib/ops/matmulPrecision.js'
import { tensor } from '#lib/tensor/create.js'
import { cpu } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { testDevice } from '../testDevice.js'
import { normal } from './opCases.js'

// Products of float32 where TF32 is asked for: rounded on GPUs (the emulator among them), never on the CPU, and nowhere without being asked.

const M = 70, N = 40, K = 33
const floats = (shape: readonly number[], seed: number): Tensor => tensor(Float32Array.from(normal(shape, { seed }).data), shape, { requiresGrad: true })
const read = (t: Tensor): number[] => [...t.dataSync() as Float32Array]

/** To 10 bits of fraction, ties away from zero. */
function rounded(v: number): number {
  const words = new Uint32Array(Float32Array.of(v).buffer)
  words[0] = (words[0]! + 0x1000) & ~0x1FFF
  return new Float32Array(words.buffer)[0]!
}

/** The product of x by the transpose of w, of numbers that `as` changes first. */
function product(x: readonly number[], w: readonly number[], as: (v: number) => number): number[] {
  const [X, W] = [x.map(as), w.map(as)]
  return Array.from({ length: M * N }, (_, i) => Array.from({ length: K }, (_, k) => X[Math.floor(i / N) * K + k]! * W[i % N * K + k]!).reduce((a, b) => a + b))
}
const distance = (a: readonly number[], b: readonly number[]): number => Math.max(...a.map((v, i) => Math.abs(v - b[i]!)))

afterEach(() => { setFloat32MatmulPrecision('highest') })

describe('TF32', () => {
  const rounds = testDevice !== cpu

  test(rounds ? 'rounds both operands of a product, and nothing else' : 'is nothing to the CPU', () => {
    scope(() => {
      const x = floats([M, K], 1), w = floats([N, K], 2), exact = product(read(x), read(w), v => v), coarse = product(read(x), read(w), rounded)
      expect(distance(exact, coarse)).toBeGreaterThan(1e-3)
      expect(distance(read(linear(x, w)), exact)).toBeLessThan(2e-5)
      setFloat32MatmulPrecision('high')
      expect(distance(read(linear(x, w)), rounds ? coarse : exact)).toBeLessThan(2e-5)
      withTf32(false, () => { expect(distance(read(linear(x, w)), exact)).toBeLessThan(2e-5) })
    })
  })

  test('holds for gradients, also of what is computed again, in the same bits', () => {
    const gradients = (again: boolean) => scope(() => {
      const x = floats([M, K], 1), w = floats([N, K], 2), of = (y: Tensor) => matmul(linear(y, w), w)
      const loss = withTf32(true, () => again ? checkpoint(of, x) : of(x))
      withTf32(true, () => { backward(loss, floats([M, K], 3)) })
      const result = [read(x.grad!), read(w.grad!)]
      for (const t of [x, w]) t.grad!.dispose()
      return result
    })
    expect(gradients(true)).toEqual(gradients(false))
  })

  test('an unknown precision is refused', () => { expect(() => { setFloat32MatmulPrecision('medium' as never) }).toThrow(ConfigError) })
})
