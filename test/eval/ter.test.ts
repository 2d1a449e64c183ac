import { describe, expect, test } from '@jest/globals'
import { sentenceTer, ter, type TerOptions } from '#lib/eval/index.js'
import { DataError } from '#lib/errors.js'
import { hypotheses, references, secondReferences } from './corpus.js'

describe('TER', () => {
  // Expected scores: sacreBLEU 2.6.0.
  test.each([
    [{}, 56.52173913043478, 13, 23, 'case:lc|tok:tercom|norm:no|punct:yes|asian:no'],
    [{ normalized: true }, 33.33333333333333, 10, 30, 'case:lc|tok:tercom|norm:yes|punct:yes|asian:no'],
    [{ noPunct: true, caseSensitive: true }, 30.434782608695656, 7, 23, 'case:mixed|tok:tercom|norm:no|punct:no|asian:no'],
    [{ normalized: true, noPunct: true, asianSupport: true }, 18.181818181818183, 6, 33, 'case:lc|tok:tercom|norm:yes|punct:no|asian:yes'],
  ] as [TerOptions, number, number, number, string][])('with %j', (options, score, edits, referenceLength, signature) => {
    const result = ter(hypotheses, [references, secondReferences], options)
    expect(result.score).toBeCloseTo(score, 9)
    expect(result).toMatchObject({ edits, referenceLength, signature: `nrefs:var|${signature}|version:2.6.0` })
  })

  test('counts a moved phrase as one edit', () => {
    expect(sentenceTer('d e f a b c', ['a b c d e f']).edits).toBe(1)
    expect(sentenceTer('a b c x d', ['a b c d']).edits).toBe(1)
  })

  test('normalises references twice, as sacreBLEU does: only there is the possessive before a dot split', () => {
    expect(sentenceTer('John\'s. Man', ['John\'s. Man'], { normalized: true })).toMatchObject({ edits: 2, referenceLength: 4 })
  })

  test('divides by the mean length of the references and takes the fewest edits', () => {
    expect(sentenceTer('a b', ['a b', 'a b c d e f'])).toMatchObject({ score: 0, referenceLength: 4 })
    expect(sentenceTer('a b c', ['x y z', 'a b'])).toMatchObject({ edits: 1, referenceLength: 2.5, score: 40 })
  })

  test('is 100 for words where the reference has none, and 0 where neither has any', () => {
    expect(sentenceTer('a b', ['']).score).toBe(100)
    expect(sentenceTer('', ['']).score).toBe(0)
    expect(sentenceTer('', ['a b'])).toMatchObject({ score: 100, edits: 2 })
  })

  test('searches a band around the diagonal, as Tercom does, that grows with the ratio of the lengths', () => {
    const long = Array.from({ length: 300 }, (_, i) => `w${i}`).join(' ')
    expect(sentenceTer('w120 w250', [long]).edits).toBe(299)
    expect(sentenceTer('w7 w250', [long]).edits).toBe(300)
    expect(sentenceTer(long, ['w7 w250']).edits).toBe(298)
  })

  test('rejects streams of other lengths', () => {
    expect(() => ter(['a'], [['a', 'b']])).toThrow(DataError)
  })
})
