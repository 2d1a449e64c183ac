import { describe, expect, test } from '@jest/globals'
import { normalizeAnswer, squad } from '#lib/eval/index.js'
import { DataError } from '#lib/errors.js'

describe('SQuAD', () => {
  test('ignores case, punctuation and articles, but no letters that look like an article', () => {
    expect(normalizeAnswer('The  Cat\'s, an "AÉ" a-b a.')).toBe('cats aé ab')
    expect(normalizeAnswer('aé')).toBe('aé')
  })

  test('takes the best answer of each question', () => {
    expect(squad(['the big cat', 'Paris'], [['a cat', 'big cat'], ['London', 'Paris, France']])).toEqual({
      exactMatch: 50, f1: 100 * (1 + 2 / 3) / 2,
    })
  })

  test('counts repeated words as often as both have them', () => {
    expect(squad(['x x y'], [['x y y']]).f1).toBeCloseTo(100 * 2 / 3, 12)
  })

  test('an empty prediction is right only where there is no answer', () => {
    expect(squad(['', '', 'x'], [[''], ['x'], ['']])).toEqual({ exactMatch: 100 / 3, f1: 100 / 3 })
  })

  test('needs a list of answers for each question', () => {
    expect(() => squad(['a'], ['a'] as unknown as string[][])).toThrow(/expected the list of answers to question 0/)
    expect(() => squad(['a'], [[]])).toThrow(/answers\[0\] is empty/)
    expect(() => squad(['a', 'b'], [['a']])).toThrow(DataError)
  })
})
