import { describe, expect, test } from '@jest/globals'
import { Random } from '#lib/data/random.js'
import { Embedding, Linear } from '#lib/nn/layers.js'
import { initialValues, Parameter, type Initialization } from '#lib/nn/parameter.js'
import { manualSeed } from '#lib/tensor/random.js'

const draw = (shape: readonly number[], how: Initialization): Float32Array => initialValues(shape, how, new Random(5, 'initialization'))
const mean = (x: Float32Array): number => x.reduce((s, v) => s + v, 0) / x.length
const deviation = (x: Float32Array): number => {
  const m = mean(x)
  return Math.sqrt(x.reduce((s, v) => s + (v - m) ** 2, 0) / x.length)
}

describe('first values of parameters', () => {
  // 48 inputs, 2000 outputs: fan in and fan out cannot be taken for one another.
  const shape = [2000, 48], n = 2000 * 48
  /** Standard errors of the mean and of the deviation of n draws, times 5. */
  const expectMoments = (x: Float32Array, m: number, std: number): void => {
    expect(x).toHaveLength(n)
    expect(Math.abs(mean(x) - m)).toBeLessThan(5 * std / Math.sqrt(n))
    expect(Math.abs(deviation(x) / std - 1)).toBeLessThan(5 / Math.sqrt(n))
  }

  test.each<[string, Initialization, number, number]>([
    ['normal', { kind: 'normal', std: 0.3 }, 0, 0.3],
    ['normal around a mean', { kind: 'normal', std: 0.3, mean: -2 }, -2, 0.3],
    ['xavierNormal', { kind: 'xavierNormal' }, 0, Math.sqrt(2 / 2048)],
    ['xavierNormal with a gain', { kind: 'xavierNormal', gain: 3 }, 0, 3 * Math.sqrt(2 / 2048)],
    ['kaimingNormal', { kind: 'kaimingNormal' }, 0, Math.sqrt(2 / 48)],
    ['kaimingNormal of another fan', { kind: 'kaimingNormal', fanIn: 96 }, 0, Math.sqrt(2 / 96)],
  ])('%s has its mean and deviation', (_, how, m, std) => {
    const x = draw(shape, how)
    expectMoments(x, m, std)
    // A normal has 4.6 % of its draws beyond two deviations, a uniform none.
    const beyond = x.filter(v => Math.abs(v - m) > 2 * std).length / n
    expect(Math.abs(beyond - 0.0455)).toBeLessThan(0.004)
  })

  test.each<[string, Initialization, number, number]>([
    ['uniform', { kind: 'uniform', low: 1, high: 4 }, 1, 4],
    ['xavierUniform', { kind: 'xavierUniform' }, -Math.sqrt(6 / 2048), Math.sqrt(6 / 2048)],
    ['kaimingUniform', { kind: 'kaimingUniform' }, -Math.sqrt(6 / 48), Math.sqrt(6 / 48)],
    ['kaimingUniform, for a leaky ReLU', { kind: 'kaimingUniform', slope: Math.sqrt(5) }, -Math.sqrt(1 / 48), Math.sqrt(1 / 48)],
  ])('%s fills its range and no more', (_, how, low, high) => {
    const x = draw(shape, how)
    expectMoments(x, (low + high) / 2, (high - low) / Math.sqrt(12))
    expect(Math.min(...x.subarray(0, 10_000))).toBeGreaterThanOrEqual(Math.fround(low))
    expect(Math.max(...x.subarray(0, 10_000))).toBeLessThanOrEqual(Math.fround(high))
    expect(Math.min(...x.subarray(0, 10_000))).toBeLessThan(low + 0.01 * (high - low))
    expect(Math.max(...x.subarray(0, 10_000))).toBeGreaterThan(high - 0.01 * (high - low))
  })

  test('truncatedNormal has nothing beyond two deviations', () => {
    const x = draw(shape, { kind: 'truncatedNormal', std: 0.02, mean: 1 })
    expect(x.every(v => Math.abs(v - 1) <= 0.0400001)).toBe(true)
    expect(x.some(v => Math.abs(v - 1) > 0.039)).toBe(true)
    expect(Math.abs(deviation(x) / (0.02 * 0.8796) - 1)).toBeLessThan(0.01)
  })

  test('zeros, ones and constants', () => {
    expect(draw([2], { kind: 'zeros' })).toEqual(Float32Array.of(0, 0))
    expect(draw([2], { kind: 'ones' })).toEqual(Float32Array.of(1, 1))
    expect(draw([2], { kind: 'constant', value: -3 })).toEqual(Float32Array.of(-3, -3))
  })

  test('the same seed gives a model the same values, another seed others, and two parameters never share theirs', () => {
    const values = (seed: number): Float32Array[] => {
      manualSeed(seed)
      const made = [new Parameter([3, 5], { kind: 'normal', std: 1 }), new Parameter([3, 5], { kind: 'normal', std: 1 })]
      const result = made.map(p => p.dataSync() as Float32Array)
      for (const p of made) p.dispose()
      return result
    }
    const [a, b] = values(1)
    expect(a).not.toEqual(b)
    expect(values(1)).toEqual([a, b])
    expect(values(2)[0]).not.toEqual(a)
  })

  test("layers begin like PyTorch's, and can be told otherwise by name", () => {
    const linear = new Linear(100, 300), bound = 0.1
    for (const p of linear.parameters()) {
      const x = p.dataSync() as Float32Array
      expect(x.every(v => Math.abs(v) <= Math.fround(bound))).toBe(true)
      expect(Math.abs(deviation(x) / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.1)
    }
    const table = new Embedding(500, 20), named = new Linear(100, 300, { initialization: { kind: 'xavierNormal' } })
    expect(Math.abs(deviation(table.weight.dataSync() as Float32Array) - 1)).toBeLessThan(0.05)
    expect(Math.abs(deviation(named.weight.dataSync() as Float32Array) / Math.sqrt(2 / 400) - 1)).toBeLessThan(0.05)
    expect(new Set(named.bias!.dataSync() as Float32Array)).toEqual(new Set([0]))
    named.weight.initialize({ kind: 'constant', value: 0.5 })
    expect(new Set(named.weight.dataSync() as Float32Array)).toEqual(new Set([0.5]))
    for (const m of [linear, table, named]) m.dispose()
  })
})
