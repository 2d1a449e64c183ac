import { describe, expect, test } from '@jest/globals'
import { porterStem, rouge, type RougeType } from '#lib/eval/index.js'
import { ConfigError, DataError } from '#lib/errors.js'

const prediction = 'The runner was running happily.\nShe relied on relational databases.'
const reference = 'She relies on a relational database.\nA runner runs happily in the rain.'

describe('ROUGE', () => {
  // Expected scores: rouge_score 0.1.2, as precision, recall, F1.
  test.each([
    [false, 'rouge1', 0.6, 6 / 13, 0.5217391304347826], [false, 'rouge2', 0, 0, 0],
    [false, 'rougeL', 0.3, 3 / 13, 0.2608695652173913], [false, 'rougeLsum', 0.5, 5 / 13, 0.4347826086956522],
    [true, 'rouge1', 0.9, 9 / 13, 0.7826086956521738], [true, 'rouge2', 4 / 9, 1 / 3, 0.380952380952381],
    [true, 'rougeL', 0.5, 5 / 13, 0.4347826086956522], [true, 'rougeLsum', 0.8, 8 / 13, 0.6956521739130435],
  ] as [boolean, RougeType, number, number, number][])('stemmer %s, %s', (useStemmer, type, precision, recall, f1) => {
    const score = rouge([prediction], [[reference]], { types: [type], useStemmer }).pairs[0]![type]
    expect(score.precision).toBeCloseTo(precision, 12)
    expect(score.recall).toBeCloseTo(recall, 12)
    expect(score.f1).toBeCloseTo(f1, 12)
  })

  test('averages over the predictions', () => {
    const { pairs, mean } = rouge(['a b', 'c'], [['a b c d', 'c']])
    expect(pairs.map(({ rouge1 }) => rouge1.recall)).toEqual([0.5, 1])
    expect(mean.rouge1.recall).toBe(0.75)
    expect(mean.rouge2.f1).toBeCloseTo((2 * 1 * (1 / 3) / (4 / 3) + 0) / 2, 12)
  })

  test('takes the best of several references for each type', () => {
    const { pairs } = rouge(['a b c'], [['c b a'], ['a b x y z']], { types: ['rouge1', 'rougeL'] })
    expect(pairs[0]!.rouge1.f1).toBe(1)
    expect(pairs[0]!.rougeL.f1).toBe(0.5)
  })

  test('counts no word more often than both texts have it, over all sentences of a summary', () => {
    expect(rouge(['a b'], [['a\na\nb']], { types: ['rougeLsum'] }).pairs[0]!.rougeLsum).toEqual({ precision: 1, recall: 2 / 3, f1: 0.8 })
  })

  test('is zero for empty texts and for scripts other than Latin', () => {
    expect(rouge(['', '오늘'], [['a', '오늘']]).mean.rougeL.f1).toBe(0)
  })

  test('rejects unknown types and texts that do not pair', () => {
    expect(() => rouge(['a'], [['a']], { types: ['rouge0' as 'rouge1'] })).toThrow(ConfigError)
    expect(() => rouge(['a'], [['a']], { types: [] })).toThrow(/expected some of/)
    expect(() => rouge(['a', 'b'], [['a']])).toThrow(DataError)
  })
})

describe('the Porter stemmer', () => {
  // Pairs of the paper and of NLTK's extensions.
  test.each(Object.entries({
    caresses: 'caress', ponies: 'poni', dies: 'die', cats: 'cat', feed: 'feed', agreed: 'agre', plastered: 'plaster', bled: 'bled',
    motoring: 'motor', sing: 'sing', conflated: 'conflat', troubled: 'troubl', hopping: 'hop', falling: 'fall',
    hissing: 'hiss', filing: 'file', happy: 'happi',
    enjoy: 'enjoy', sky: 'sky', relational: 'relat', conditional: 'condit', rational: 'ration', digitizer: 'digit', radically: 'radic',
    vietnamization: 'vietnam', operator: 'oper', hopefulness: 'hope', sensibility: 'sensibl', triplicate: 'triplic', formative: 'form',
    electrical: 'electr', goodness: 'good', revival: 'reviv', adjustable: 'adjust', replacement: 'replac',
    adoption: 'adopt', effective: 'effect', rate: 'rate', cease: 'ceas', controlling: 'control', rolling: 'roll',
    geology: 'geolog', theology: 'theolog',
    dying: 'die', proceed: 'proceed',
    tied: 'tie', cried: 'cri', by: 'by', yy: 'yy', owed: 'owe',
  }))('%s becomes %s', (word, stem) => {
    expect(porterStem(word)).toBe(stem)
  })
})
