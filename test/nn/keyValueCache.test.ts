import { describe, expect, test } from '@jest/globals'
import { ShapeError } from '#lib/errors.js'
import { type CacheOptions, KeyValueCache } from '#lib/nn/keyValueCache.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

const G = 2, D = 4
/** The vector of position `t` of row `b` in group `g` begins with b, t, g. */
const value = (b: number, t: number, g: number, d: number) => [b + 1, t + 1, g + 1, 0.5][d]!
function vectors(rows: readonly number[], from: number, to: number): Tensor {
  const values = rows.flatMap(b => Array.from({ length: to - from }, (_, t) => Array.from({ length: G }, (_, g) => Array.from({ length: D }, (_, d) => value(b, from + t, g, d))))).flat(2)
  return tensor(Float32Array.from(values), [rows.length, to - from, G, D])
}
/** Positions by row, as far as the first group says; 0 for zeros. */
const positions = (x: Tensor): number[][] => scope(() => {
  const [B, S] = x.shape as [number, number], values = x.dataSync() as Float32Array
  return Array.from({ length: B }, (_, b) => Array.from({ length: S }, (_, s) => Math.round(values[(b * S + s) * G * D + 1]!)))
})
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
const append = (cache: KeyValueCache, rows: readonly number[], from: number, to: number): number[][] => scope(() => positions(cache.append(vectors(rows, from, to), vectors(rows, from, to)).keys))

const kinds: [string, CacheOptions][] = [['dynamic', { capacity: 4 }], ['static', { kind: 'static', maxLength: 90 }], ['quantized', { kind: 'quantized', capacity: 4 }]]

describe.each(kinds)('a %s cache', (_, options) => {
  test('gives back all positions in their order, through growth, reordering, taking back and joining', () => {
    const before = memory(), cache = new KeyValueCache(options)
    expect(append(cache, [0, 1], 0, 3)).toEqual([range(1, 4), range(1, 4)])
    for (let t = 3; t < 80; t++) append(cache, [0, 1], t, t + 1)
    expect(cache.length).toBe(80)
    scope(() => { cache.reorder(tensor([1, 1, 0], null, { dtype: 'int32' })) })
    expect(positions(cache.all().values)).toEqual([range(1, 81), range(1, 81), range(1, 81)])
    cache.forget(70)
    expect(append(cache, [1, 1, 0], 10, 12)).toEqual(Array.from({ length: 3 }, () => range(1, 13)))
    const other = new KeyValueCache(options)
    append(other, [7], 0, 5)
    cache.join(other)
    expect(positions(cache.all().keys)).toEqual([...Array.from({ length: 3 }, () => range(1, 13)), [...new Array<number>(7).fill(0), ...range(1, 6)]])
    scope(() => { cache.reorder(tensor([3], null, { dtype: 'int32' })) })
    cache.trim(7)
    expect(append(cache, [7], 5, 6)).toEqual([range(1, 7)])
    expect(() => { cache.append(vectors([1, 2], 0, 1), vectors([1, 2], 0, 1)) }).toThrow(ShapeError)
    expect(() => { cache.forget(7) }).toThrow(ShapeError)
    cache.dispose()
    other.dispose()
    expect(memory().bytes).toBeGreaterThanOrEqual(before.bytes)   // what this test's own tensors hold goes with the collector
  })
})

describe('a window', () => {
  test.each([['dynamic'], ['quantized']] as const)('%s: bounds the memory, and gives what each query sees', kind => {
    const window = 12, cache = new KeyValueCache({ kind, window }), full = new KeyValueCache({ kind })
    for (const [from, to] of [[0, 1], [1, 3], [3, 40], [40, 41], ...range(41, 400).map(t => [t, t + 1])] as [number, number][]) {
      const seen = append(cache, [0], from, to)[0]!
      append(full, [0], from, to)
      expect(seen).toEqual(range(Math.max(0, from - (window - 1)) + 1, to + 1))
    }
    const vector = G * (kind === 'quantized' ? D + 4 : 4 * D)
    expect(cache.bytes).toBe(2 * (window - 1 + 16) * vector)
    expect(full.bytes).toBeGreaterThanOrEqual(2 * 400 * vector)
    cache.dispose()
    full.dispose()
  })

  test('can take back as many positions as it was told to keep in reserve', () => {
    const cache = new KeyValueCache({ window: 8, reserve: 5 })
    for (let t = 0; t < 100; t++) append(cache, [0], t, t + 1)
    expect(cache.forgettable).toBeGreaterThanOrEqual(5)
    cache.forget(5)
    expect(append(cache, [0], 95, 96)).toEqual([range(96 - 7, 97)])
    cache.forget(cache.forgettable)
    expect(() => { cache.forget(1) }).toThrow(/taken back/)
    cache.dispose()
  })
})

test('a static cache reserves its memory at once and refuses what does not fit', () => {
  const cache = new KeyValueCache({ kind: 'static', maxLength: 50 })
  append(cache, [0, 1], 0, 2)
  const { bytes } = cache
  expect(bytes).toBe(2 * 2 * 50 * G * D * 4)
  for (let t = 2; t < 50; t++) append(cache, [0, 1], t, t + 1)
  expect(cache.bytes).toBe(bytes)
  expect(() => append(cache, [0, 1], 50, 51)).toThrow(/51 positions .* static cache of 50.*maxCacheLen/)
  cache.dispose()
})

test('int8 loses at most half a step of the greatest value of a vector, and nothing of zeros', () => {
  let seed = 1
  const random = () => { seed = Math.imul(seed, 48271) >>> 1; return (seed / 2 ** 30 - 1) * 10 ** (seed % 7 - 3) }
  const width = 64, values = Float32Array.from({ length: 5 * 3 * width }, (_, i) => i < width ? 0 : random()), cache = new KeyValueCache({ kind: 'quantized', capacity: 5 })
  const back = scope(() => {
    const x = tensor(values, [1, 5, 3, width])
    return cache.append(x, x).keys.dataSync() as Float32Array
  })
  for (let vector = 0; vector < values.length; vector += width) {
    const own = values.subarray(vector, vector + width), greatest = Math.max(...own.map(Math.abs))
    own.forEach((x, i) => { expect(Math.abs(back[vector + i]! - x)).toBeLessThanOrEqual(greatest / 254 * (1 + 1e-5)) })
  }
  expect(cache.bytes).toBe(2 * (5 * 3 * width + 5 * 3 * 4))
  expect(cache.bytes / (2 * 4 * 5 * 3 * width)).toBeCloseTo(0.25 + 1 / width, 5)
  cache.dispose()
})
