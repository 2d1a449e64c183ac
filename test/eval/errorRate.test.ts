import { describe, expect, test } from '@jest/globals'
import { characterErrorRate, wordErrorRate } from '#lib/eval/index.js'
import { DataError } from '#lib/errors.js'

describe('word and character error rate', () => {
  test('sum edits over the corpus, with the kinds that jiwer counts', () => {
    const h = ['the cat sat on mat', 'a b c d', '  hello   world '], r = ['the cat sits on the mat', 'd a b c', 'hello world']
    expect(wordErrorRate(h, r)).toEqual({ rate: 4 / 12, substitutions: 1, deletions: 2, insertions: 1, hits: 9, referenceLength: 12 })
    expect(characterErrorRate(h, r).rate).toBeCloseTo(0.2926829268292683, 12)
  })

  test('count code points and the spaces between words', () => {
    expect(characterErrorRate(['😀x'], ['😁x'])).toMatchObject({ rate: 0.5, substitutions: 1 })
    expect(characterErrorRate(['ab'], [' a b '])).toMatchObject({ deletions: 1, referenceLength: 3 })
  })

  test('can exceed 1, and count insertions where the reference is empty', () => {
    expect(wordErrorRate(['a b c'], ['d']).rate).toBe(3)
    expect(wordErrorRate(['a b', 'c'], ['', 'c'])).toMatchObject({ rate: 2, insertions: 2 })
    expect(wordErrorRate(['a b'], ['']).rate).toBe(2)
    expect(wordErrorRate([''], ['']).rate).toBe(0)
  })

  test('need one reference for each hypothesis', () => {
    expect(() => wordErrorRate(['a'], ['a', 'b'])).toThrow(DataError)
    expect(() => wordErrorRate([], [])).toThrow(/hypotheses is empty/)
    expect(() => wordErrorRate(['a'], [['a']] as unknown as string[])).toThrow(/takes one reference/)
  })
})
