import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError, DataError } from '#lib/errors.js'
import { type LanguageModelState, LanguageModelBatches, ignoreIndex, sequentialBatches } from '#lib/data/index.js'

const stream = (length: number) => Int32Array.from({ length }, (_, i) => 10 + i)
const sizes = fc.record({ batchSize: fc.integer({ min: 1, max: 6 }), blockSize: fc.integer({ min: 1, max: 9 }), seed: fc.nat(99) })

describe('LanguageModelBatches', () => {
  test('rows are consecutive tokens, labels the tokens after them', () => {
    fc.assert(fc.property(sizes, fc.integer({ min: 10, max: 60 }), (options, length) => {
      const { input, labels, offsets, sentences, tokens } = new LanguageModelBatches(stream(length), options).next()
      expect([sentences, input.length, tokens]).toEqual([options.batchSize, options.batchSize * options.blockSize, options.batchSize * options.blockSize])
      offsets.forEach((offset, row) => {
        for (let t = 0; t < options.blockSize; t++) {
          expect(input[row * options.blockSize + t]).toBe(10 + offset + t)
          expect(labels[row * options.blockSize + t]).toBe(10 + offset + t + 1)
        }
      })
    }))
  })

  test('reaches the first and the last block of the stream', () => {
    const batches = new LanguageModelBatches(stream(6), { batchSize: 8, blockSize: 4 }), offsets = new Set<number>()
    for (let i = 0; i < 20; i++) batches.next().offsets.forEach(offset => offsets.add(offset))
    expect([...offsets].sort((a, b) => a - b)).toEqual([0, 1])
  })

  test('gives the same batches after a resume, whichever batch it was stopped after', () => {
    fc.assert(fc.property(sizes, fc.nat(30), (options, stop) => {
      const make = () => new LanguageModelBatches(stream(50), options), whole = make(), resumed = make()
      for (let i = 0; i < stop; i++) whole.next()
      resumed.restore(JSON.parse(JSON.stringify(whole.state())) as LanguageModelState)
      for (let i = 0; i < 5; i++) expect(resumed.next()).toEqual(whole.next())
    }))
  })

  test('refuses a short stream, sizes out of range and a state of something else', () => {
    expect(() => new LanguageModelBatches(stream(8), { batchSize: 1, blockSize: 8 })).toThrow(DataError)
    expect(() => new LanguageModelBatches(stream(8), { batchSize: 0, blockSize: 4 })).toThrow(ConfigError)
    const batches = new LanguageModelBatches(stream(20), { batchSize: 2, blockSize: 4 })
    expect(() => new LanguageModelBatches(stream(21), { batchSize: 2, blockSize: 4 }).restore(batches.state())).toThrow('saved with streamLength 20, here it is 21')
    expect(() => new LanguageModelBatches(stream(20), { batchSize: 2, blockSize: 4, seed: 1 }).restore(batches.state())).toThrow(DataError)
  })
})

describe('sequentialBatches', () => {
  test('every token but the first is a label exactly once, in order, every time', () => {
    fc.assert(fc.property(sizes, fc.integer({ min: 2, max: 80 }), (options, length) => {
      const batches = sequentialBatches(stream(length), options)
      for (let pass = 0; pass < 2; pass++) {
        const all = [...batches]
        expect(all.length).toBe(batches.batches)
        const labels = all.flatMap(batch => [...batch.labels]), inputs = all.flatMap(batch => [...batch.input])
        expect(labels.filter(label => label !== ignoreIndex)).toEqual([...stream(length)].slice(1))
        labels.forEach((label, i) => expect(inputs[i]).toBe(label === ignoreIndex ? 0 : label - 1))
        expect(all.reduce((sum, batch) => sum + batch.tokens, 0)).toBe(length - 1)
      }
    }))
    expect(() => sequentialBatches(stream(1), { batchSize: 1, blockSize: 1 })).toThrow(DataError)
  })
})
