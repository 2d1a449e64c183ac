import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { NumericsError } from '#lib/errors.js'
import { argmaxRows, descending, logSoftmaxRows, sampleRows, sampleToken, topK } from '#lib/generate/sampling.js'

const logits = fc.array(fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(-Infinity, 0, 1)), { maxLength: 700 })

describe('topK', () => {
  test('is the head of a stable descending sort', () => {
    fc.assert(fc.property(logits, fc.nat(800), (values, k) => {
      const row = Float32Array.from(values)
      const sorted = [...row.keys()].sort((a, b) => (row[a] === row[b] ? a - b : row[b]! > row[a]! ? 1 : -1))
      expect([...topK(row, k)]).toEqual(sorted.slice(0, k))
    }))
  })
  test('descending gives all of them, in that order', () => {
    fc.assert(fc.property(logits, values => {
      const row = Float32Array.from(values)
      expect([...descending(row)]).toEqual([...topK(row, row.length)])
    }))
  })
  test('NaN is found wherever it is', () => {
    for (let at = 0; at < 9; at++) {
      const row = new Float32Array(9).map((_, i) => i === at ? NaN : i)
      expect(() => topK(row, 3)).toThrow(NumericsError)
    }
  })
})

test('argmaxRows takes the first of equal ones in each row', () => {
  expect([...argmaxRows(Float32Array.from([1, 3, 3, 0, -1, -Infinity]), 2, 3)]).toEqual([1, 0])
})

describe('logSoftmaxRows', () => {
  test('a row becomes log-probabilities, however large its logits', () => {
    const values = Float32Array.from([1000, 1000, -Infinity, -1000, -1000, -1000])
    logSoftmaxRows(values, 2, 3)
    const expected = [Math.log(0.5), Math.log(0.5), -Infinity, Math.log(1 / 3), Math.log(1 / 3), Math.log(1 / 3)]
    expect([...values]).toEqual(expected.map(Math.fround))
  })
  test('a vocabulary of a million equal tokens loses nothing in the sum', () => {
    const values = new Float32Array(1 << 20)
    logSoftmaxRows(values, 1, values.length)
    expect(values[5]).toBe(Math.fround(-20 * Math.LN2))
  })
  test('a row without any token stays so', () => {
    const values = new Float32Array(3).fill(-Infinity)
    logSoftmaxRows(values, 1, 3)
    expect([...values]).toEqual([-Infinity, -Infinity, -Infinity])
  })
})

describe('sampleToken', () => {
  test('each token has the share of its probability', () => {
    const row = Float32Array.from([0.5, 0.125, 0.25, 0.125].map(Math.log)), counts = [0, 0, 0, 0]
    for (let i = 0; i < 1000; i++) counts[sampleToken(row, (i + 0.5) / 1000)]!++
    expect(counts).toEqual([500, 125, 250, 125])
  })
  test('an excluded token is never drawn, at either end of the interval', () => {
    const some = logits.filter(values => values.some(value => value !== -Infinity))
    fc.assert(fc.property(some, fc.double({ min: 0, max: 1 - 2 ** -53, noNaN: true }), (values, uniform) => {
      const row = Float32Array.from(values)
      for (const u of [0, uniform, 1 - 2 ** -53]) expect(row[sampleToken(row, u)]).not.toBe(-Infinity)
    }))
  })
  test('rows are drawn with their own numbers', () => {
    expect([...sampleRows(Float32Array.from([0, 0, 0, 0]), [0.4, 0.6], 2)]).toEqual([0, 1])
  })
  test.each([[[NaN, 1]], [[1, NaN]], [[Infinity, 1]], [[-Infinity, -Infinity]]])('%j cannot be sampled', values => {
    expect(() => sampleToken(Float32Array.from(values), 0.5)).toThrow(NumericsError)
  })
})
