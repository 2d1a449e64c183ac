import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError, DataError, TokenizerError } from '#lib/errors.js'
import { TokenSequences, encodeDocuments, encodeParallel, readParallel, readText } from '#lib/data/index.js'
import { fileWriter } from './files.js'

const write = fileWriter()
const letters = { encode: (text: string) => ({ ids: [...text].map(c => c.codePointAt(0)!) }) }
const words = { encode: (text: string) => ({ ids: text.split(' ').map(Number) }) }
const pair = (source: string, target: string) => ({ source, target })

describe('TokenSequences', () => {
  test('gives back what was put in, ids beyond 65,535 and empty sequences included', () => {
    const id = fc.oneof(fc.nat(300), fc.nat(0x7fffffff))
    fc.assert(fc.property(fc.array(fc.array(id, { maxLength: 400 }), { maxLength: 40 }), sequences => {
      const stored = new TokenSequences()
      for (const ids of sequences) stored.push(ids)
      expect(stored.length).toBe(sequences.length)
      expect(sequences.map((_, i) => [...stored.at(i)])).toEqual(sequences)
      expect(sequences.map((_, i) => stored.lengthAt(i))).toEqual(sequences.map(ids => ids.length))
      expect([...stored.all()]).toEqual(sequences.flat())
      expect(stored.tokens).toBe(sequences.flat().length)
    }))
  })

  test.each([-1, 1.5, NaN, 2 ** 31])('refuses the id %p', id => {
    expect(() => new TokenSequences().push([1, id])).toThrow(TokenizerError)
  })
})

describe('encodeParallel', () => {
  test('encodes both sides, with one tokenizer or one for each', async () => {
    const { source, target, length } = await encodeParallel([pair('ab', '가')], letters)
    expect([length, [...source.at(0)], [...target.at(0)]]).toEqual([1, [97, 98], [0xac00]])
    const two = await encodeParallel([pair('ab', '7 8')], { source: letters, target: words })
    expect([[...two.source.at(0)], [...two.target.at(0)]]).toEqual([[97, 98], [7, 8]])
  })

  test('keeps at most maxLength - 1 ids a side by each policy, and counts', async () => {
    const pairs = [pair('abc', 'ab'), pair('abcd', 'ab'), pair('', 'ab'), pair('ab', 'abcdef')]
    const skipped = await encodeParallel(pairs, letters, { maxLength: 4 })
    expect(skipped.report).toMatchObject({ read: 4, kept: 1, empty: 1, tooLong: 2, truncated: 0 })
    const cut = await encodeParallel(pairs, letters, { maxLength: 4, policy: 'truncate' })
    expect(cut.report).toMatchObject({ read: 4, kept: 3, empty: 1, tooLong: 0, truncated: 2 })
    expect([0, 1, 2].map(i => [cut.source.lengthAt(i), cut.target.lengthAt(i)])).toEqual([[3, 2], [3, 2], [2, 3]])
    await expect(encodeParallel(pairs, letters, { maxLength: 4, policy: 'error' })).rejects.toThrow('pair 2 has 4 tokens, 5 with start or end: more than maxLength 4 ("abcd")')
  })

  test('adds its counts to those of the reader that it streams from', async () => {
    const path = write('a.tsv', 'ab\tb\n\nabcdef\tb\nab\tb\n')
    const { report } = await encodeParallel(readParallel(path), letters, { maxLength: 4 })
    expect(report).toEqual({ files: [path], read: 4, kept: 2, empty: 1, tooLong: 1, truncated: 0, malformed: 0, unmatched: 0 })
  })

  test('throws when nothing is left, for ids that are none, for options out of range', async () => {
    await expect(encodeParallel([pair('abc', 'abc')], letters, { maxLength: 2 })).rejects.toThrow(DataError)
    await expect(encodeParallel([], letters)).rejects.toThrow(DataError)
    await expect(encodeParallel([pair('x', '1')], words)).rejects.toThrow(TokenizerError)
    await expect(encodeParallel([pair('a', 'b')], letters, { maxLength: 1 })).rejects.toThrow(ConfigError)
    await expect(encodeParallel([pair('a', 'b')], letters, { policy: 'cut' as 'skip' })).rejects.toThrow(ConfigError)
  })
})

describe('encodeDocuments', () => {
  test('puts samples end to end, with a separator where one is given', async () => {
    expect([...(await encodeDocuments('ab', letters)).ids]).toEqual([97, 98])
    const path = write('t.txt', 'a\n\nbc\n')
    const { ids, report } = await encodeDocuments(readText(path), letters, { separator: 0 })
    expect([...ids]).toEqual([97, 0, 98, 99, 0])
    expect(report).toMatchObject({ files: [path], read: 3, kept: 2, empty: 1 })
    await expect(encodeDocuments([''], letters)).rejects.toThrow(DataError)
  })
})
