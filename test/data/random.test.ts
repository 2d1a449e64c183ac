import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError } from '#lib/errors.js'
import { Random, type RandomState, philox } from '#lib/data/random.js'

const words = (counter: number[], key: number[]) => {
  const out = new Uint32Array(4)
  philox(counter[0]!, counter[1]!, counter[2]!, counter[3]!, key[0]!, key[1]!, out)
  return [...out].map(word => word.toString(16).padStart(8, '0')).join(' ')
}

describe('philox', () => {
  test('gives the known answers of the authors (Random123, kat_vectors)', () => {
    expect(words([0, 0, 0, 0], [0, 0])).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8')
    expect(words(Array<number>(4).fill(0xffffffff), Array<number>(2).fill(0xffffffff))).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd')
    expect(words([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toBe('d16cfe09 94fdcceb 5001e420 24126ea1')
  })

  test('equals the definition in 64-bit integers', () => {
    const word = fc.integer({ min: 0, max: 0xffffffff })
    fc.assert(fc.property(fc.array(word, { minLength: 4, maxLength: 4 }), fc.array(word, { minLength: 2, maxLength: 2 }), (counter, key) => {
      let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint], [k0, k1] = key.map(BigInt) as [bigint, bigint]
      for (let round = 0; round < 10; round++) {
        const p0 = 0xD2511F53n * c0, p1 = 0xCD9E8D57n * c2
        ;[c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & 0xffffffffn, (p0 >> 32n) ^ c3 ^ k1, p0 & 0xffffffffn]
        k0 = (k0 + 0x9E3779B9n) & 0xffffffffn
        k1 = (k1 + 0xBB67AE85n) & 0xffffffffn
      }
      expect(words(counter, key)).toBe([c0, c1, c2, c3].map(c => c.toString(16).padStart(8, '0')).join(' '))
    }))
  })
})

describe('Random', () => {
  test('continues with the same numbers from a state, wherever it was taken', () => {
    fc.assert(fc.property(fc.nat(100), fc.nat({ max: Number.MAX_SAFE_INTEGER }), (drawn, seed) => {
      const random = new Random(seed, 'test', 7)
      for (let i = 0; i < drawn; i++) random.uint32()
      const again = Random.restore(JSON.parse(JSON.stringify(random.state())) as RandomState)
      expect(Array.from({ length: 9 }, () => again.uint32())).toEqual(Array.from({ length: 9 }, () => random.uint32()))
    }))
  })

  test('streams of another seed (its upper half too), purpose or index are other numbers', () => {
    const streams = [new Random(1), new Random(2), new Random(1 + 2 ** 32), new Random(1, 'other'), new Random(1, 'host', 1)]
    expect(new Set(streams.map(random => random.uint32())).size).toBe(streams.length)
  })

  test('uniform has mean 1/2 and variance 1/12 and stays in its interval', () => {
    const values = new Random(3).fillUniform(new Float64Array(40_000))
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...values)).toBeLessThan(1)
    const { mean, variance } = moments(values)
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / values.length))
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.003)
  })

  test.each(['fillNormal', 'normal'] as const)('%s has the mean, deviation and kurtosis of a normal', name => {
    const random = new Random(4), values = new Float64Array(40_001)
    if (name === 'fillNormal') random.fillNormal(values, 2, 3)
    else values.forEach((_, i) => { values[i] = random.normal(2, 3) })
    const { mean, variance, kurtosis } = moments(values)
    expect(Math.abs(mean - 2)).toBeLessThan(5 * 3 / Math.sqrt(values.length))
    expect(Math.abs(variance / 9 - 1)).toBeLessThan(0.05)
    expect(Math.abs(kurtosis - 3)).toBeLessThan(0.15)
  })

  test('integers below 3 are equally frequent', () => {
    const random = new Random(5), counts = [0, 0, 0]
    for (let i = 0; i < 30_000; i++) counts[random.integer(3)]!++
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(30_000 * 2 / 9))
  })

  test('a permutation holds every number once, and all orders of three come up', () => {
    fc.assert(fc.property(fc.nat(200), fc.nat(1000), (count, seed) => {
      expect([...new Random(seed).permutation(count)].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
    }))
    expect(new Set(Array.from({ length: 200 }, (_, seed) => new Random(seed).permutation(3).join())).size).toBe(6)
  })

  test.each([-1, 0.5, NaN, 2 ** 53])('refuses the seed %p', seed => {
    expect(() => new Random(seed)).toThrow(ConfigError)
  })
})

function moments(values: Float64Array) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  const central = (power: number) => values.reduce((a, b) => a + (b - mean) ** power, 0) / values.length
  return { mean, variance: central(2), kurtosis: central(4) / central(2) ** 2 }
}
