import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError, DataError } from '#lib/errors.js'
import { type EncodedPairs, type Seq2SeqBatch, Seq2SeqBatches, type Seq2SeqState, TokenSequences, evaluationBatches, ignoreIndex } from '#lib/data/index.js'

const special = { bos: 1, eos: 2, pad: 0 }

/** Example i has ids that only it has, so that rows can be told apart. */
function examples(lengths: readonly (readonly [number, number])[], maxLength = Infinity): EncodedPairs {
  const source = new TokenSequences(), target = new TokenSequences()
  lengths.forEach(([s, t], i) => {
    source.push(Array.from({ length: s }, (_, k) => 3 + 100 * i + k))
    target.push(Array.from({ length: t }, (_, k) => 50 + 100 * i + k))
  })
  const report = { files: [], read: lengths.length, kept: lengths.length, empty: 0, tooLong: 0, truncated: 0, malformed: 0, unmatched: 0 }
  return { length: lengths.length, source, target, maxLength, report }
}

const lengthPairs = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 })), { minLength: 1, maxLength: 80 })
const bounds = fc.record({
  maxTokens: fc.integer({ min: 24, max: 200 }), batchSize: fc.integer({ min: 1, max: 12 }), padToMultipleOf: fc.constantFrom(1, 4, 8), seed: fc.nat(1000),
}, { requiredKeys: ['maxTokens', 'seed'] })
const content = (batches: Iterable<Seq2SeqBatch>) => JSON.stringify([...batches].map(
  ({ source, decoderInput, labels, indices }) => [source, decoderInput, labels, indices].map(array => [...array])))

describe('Seq2SeqBatches', () => {
  test('lays out source, decoder input and labels', () => {
    const [batch] = [...new Seq2SeqBatches(examples([[2, 1], [1, 3]]), { ...special, maxTokens: 100 })]
    const first = batch!.indices[0] === 0 ? 0 : 1, rows = (array: Int32Array, length: number) => {
      const both = [[...array.subarray(0, length)], [...array.subarray(length)]]
      return first === 0 ? both : both.reverse()
    }
    expect(batch).toMatchObject({ sentences: 2, sourceLength: 3, targetLength: 4, tokens: 6 })
    expect(rows(batch!.source, 3)).toEqual([[3, 4, 2], [103, 2, 0]])
    expect(rows(batch!.decoderInput, 4)).toEqual([[1, 50, 0, 0], [1, 150, 151, 152]])
    expect(rows(batch!.labels, 4)).toEqual([[50, 2, ignoreIndex, ignoreIndex], [150, 151, 152, 2]])
    expect(rows(batch!.sourceLengths, 1)).toEqual([[3], [2]])
    expect(rows(batch!.targetLengths, 1)).toEqual([[2], [4]])
    const [bare] = [...new Seq2SeqBatches(examples([[2, 1]]), { ...special, sourceEos: false })]
    expect([...bare!.source]).toEqual([3, 4])
  })

  test('gives every example exactly once an epoch, within the bounds, rightly padded', () => {
    fc.assert(fc.property(lengthPairs, bounds, (lengths, options) => {
      const batches = new Seq2SeqBatches(examples(lengths), { ...special, ...options })
      const { maxTokens, batchSize = Infinity, padToMultipleOf = 1 } = options
      for (let epoch = 0; epoch < 2; epoch++) {
        const seen: number[] = []
        expect(batches.epoch).toBe(epoch)
        const expected = batches.batchesPerEpoch
        let count = 0
        for (const batch of batches) {
          count++
          const { sentences: B, sourceLength: S, targetLength: T } = batch
          expect(B * Math.max(S, T)).toBeLessThanOrEqual(maxTokens)
          expect(B).toBeLessThanOrEqual(batchSize)
          expect([S % padToMultipleOf, T % padToMultipleOf]).toEqual([0, 0])
          expect([batch.source.length, batch.decoderInput.length, batch.labels.length]).toEqual([B * S, B * T, B * T])
          expect(batch.tokens).toBe(batch.labels.filter(label => label !== ignoreIndex).length)
          batch.indices.forEach((example, row) => {
            const [s, t] = lengths[example]!
            expect([batch.sourceLengths[row], batch.targetLengths[row]]).toEqual([s + 1, t + 1])
            expect(batch.source[row * S]).toBe(3 + 100 * example)
            expect(batch.labels[row * T]).toBe(50 + 100 * example)
            expect(batch.source.subarray(row * S + s + 1, (row + 1) * S).every(id => id === special.pad)).toBe(true)
            expect(batch.labels.subarray(row * T + t + 1, (row + 1) * T).every(id => id === ignoreIndex)).toBe(true)
            expect(batch.decoderInput.subarray(row * T + 1, row * T + t + 1)).toEqual(batch.labels.subarray(row * T, row * T + t))
          })
          expect(Math.max(...batch.sourceLengths)).toBeGreaterThan(S - padToMultipleOf)
          seen.push(...batch.indices)
        }
        expect(count).toBe(expected)
        expect(seen.sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
      }
    }))
  })

  test('gives the same batches after a resume, whichever batch it was stopped after', () => {
    fc.assert(fc.property(lengthPairs, bounds, fc.nat(60), (lengths, options, stop) => {
      const make = () => new Seq2SeqBatches(examples(lengths), { ...special, ...options })
      const take = (batches: Seq2SeqBatches, count: number) => Array.from({ length: count }, () => batches.next())
      const whole = make(), first = make()
      take(whole, stop)
      take(first, stop)
      const state = JSON.parse(JSON.stringify(first.state())) as Seq2SeqState, resumed = make()
      take(resumed, 3)
      resumed.restore(state)
      expect([resumed.epoch, resumed.batch]).toEqual([whole.epoch, whole.batch])
      expect(content(take(resumed, 20))).toBe(content(take(whole, 20)))
      expect(resumed.state()).toEqual(whole.state())
    }), { numRuns: 50 })
  })

  test('a loop left early goes on where it stopped, and ends with its epoch', () => {
    const make = () => new Seq2SeqBatches(examples(Array.from({ length: 30 }, (_, i) => [1 + i % 5, 1 + i % 7] as const)), { ...special, batchSize: 4 })
    const whole = [...make()], batches = make(), parts: Seq2SeqBatch[] = []
    for (const batch of batches) { parts.push(batch); if (parts.length === 3) break }
    parts.push(...batches)
    expect(content(parts)).toBe(content(whole))
    expect(batches.epoch).toBe(1)
  })

  test('shuffles by seed and epoch: other order and other company', () => {
    const data = examples(Array.from({ length: 200 }, (_, i) => [1 + i % 5, 1 + i % 5] as const)), options = { ...special, batchSize: 8 }
    const batches = new Seq2SeqBatches(data, { ...options, seed: 1 }), epochs = [content(batches), content(batches)]
    expect(epochs[0]).not.toBe(epochs[1])
    expect(content(new Seq2SeqBatches(data, { ...options, seed: 1 }))).toBe(epochs[0])
    expect(content(new Seq2SeqBatches(data, { ...options, seed: 2 }))).not.toBe(epochs[0])
    const widths = [...new Seq2SeqBatches(data, options)].map(batch => batch.sourceLength)
    expect(widths).not.toEqual([...widths].sort((a, b) => a - b))
  })

  test('buckets by length: a tenth of padding at most for lengths as in text', () => {
    const lengths = Array.from({ length: 5000 }, (_, i) => [5 + i * 7919 % 30, 5 + (i * 7919 % 30) + i % 4] as const)
    let real = 0, padded = 0
    for (const batch of new Seq2SeqBatches(examples(lengths), { ...special, maxTokens: 2048 })) {
      real += batch.tokens
      padded += batch.labels.length
    }
    expect(real / padded).toBeGreaterThan(0.9)
  })

  test('does not round lengths up beyond what the model takes', () => {
    const [batch] = [...new Seq2SeqBatches(examples([[9, 9]], 11), { ...special, padToMultipleOf: 8 })]
    expect([batch!.sourceLength, batch!.targetLength]).toEqual([11, 11])
  })

  test('refuses a state of other data, bounds or seed', () => {
    const data = examples([[1, 2], [3, 4], [5, 6]]), other = examples([[1, 2], [3, 4], [5, 7]]), options = { ...special, batchSize: 2 }
    const batches = new Seq2SeqBatches(data, options)
    expect(() => new Seq2SeqBatches(other, options).restore(batches.state())).toThrow(DataError)
    expect(() => new Seq2SeqBatches(data, { ...options, batchSize: 3 }).restore(batches.state())).toThrow('other examples or other batch bounds')
    expect(() => new Seq2SeqBatches(data, { ...options, seed: 9 }).restore(batches.state())).toThrow('saved with seed 0, these batches have seed 9')
    expect(() => batches.restore({ ...batches.state(), batch: 99 })).toThrow(DataError)
  })

  test('refuses an example that no batch can hold, no examples, and bounds out of range', () => {
    expect(() => new Seq2SeqBatches(examples([[3, 3], [40, 3]]), { ...special, maxTokens: 32 })).toThrow('example 1 has 41 tokens')
    expect(() => new Seq2SeqBatches(examples([]), special)).toThrow(DataError)
    for (const bad of [{ maxTokens: 0 }, { batchSize: 1.5 }, { padToMultipleOf: Infinity }, { seed: -1 }, { eos: -1 }]) {
      expect(() => new Seq2SeqBatches(examples([[1, 1]]), { ...special, ...bad })).toThrow(ConfigError)
    }
  })

  test('a batch of very many short rows is assembled', () => {
    const [batch] = [...new Seq2SeqBatches(examples(Array.from({ length: 200_000 }, () => [1, 1] as const)), { ...special, maxTokens: 1e6 })]
    expect(batch!.sentences).toBe(200_000)
  })
})

describe('evaluationBatches', () => {
  test('gives every example once, in an order that is the same every time', () => {
    fc.assert(fc.property(lengthPairs, bounds, (lengths, options) => {
      const batches = evaluationBatches(examples(lengths), { ...special, ...options }), first = [...batches]
      expect(first.length).toBe(batches.batches)
      expect(first.flatMap(batch => [...batch.indices]).sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
      for (const partly of batches) { expect(partly).toEqual(first[0]); break }
      expect(content(batches)).toBe(content(first))
    }), { numRuns: 30 })
  })
})
