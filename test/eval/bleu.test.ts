import { describe, expect, test } from '@jest/globals'
import { bleu, formatBleu, formatMultiBleu, multiBleu, sentenceBleu, type BleuSmoothing, type BleuTokenizer } from '#lib/eval/index.js'
import { bleuTokenizers } from '#lib/eval/bleuTokenizers.js'
import { ConfigError, DataError } from '#lib/errors.js'
import { hypotheses, references, secondReferences } from './corpus.js'

// Expected scores: sacreBLEU 2.6.0.
describe('BLEU of a corpus', () => {
  test.each([
    ['13a', 28.115753210070373, [21, 10, 6, 2], [30, 26, 22, 18]],
    ['intl', 34.557836449283755, [26, 15, 8, 3], [34, 30, 26, 22]],
    ['char', 67.44010754042354, [89, 77, 66, 56], [95, 91, 87, 83]],
    ['none', 11.85534942179009, [12, 4, 1, 0], [23, 19, 15, 11]],
    ['zh', 43.03527770447213, [33, 21, 13, 6], [40, 36, 32, 28]],
  ] as [BleuTokenizer, number, number[], number[]][])('with tokenizer %s', (tokenize, score, counts, totals) => {
    const result = bleu(hypotheses, [references], { tokenize })
    expect(result.score).toBeCloseTo(score, 9)
    expect(result.counts).toEqual(counts)
    expect(result.totals).toEqual(totals)
    expect(result.signature).toBe(`nrefs:1|case:mixed|eff:no|tok:${tokenize}|smooth:exp|version:2.6.0`)
  })

  test('takes the best count of several references and the closest length, and says that their number varies', () => {
    const result = bleu(hypotheses, [references, secondReferences])
    expect(result.score).toBeCloseTo(31.13878808075065, 9)
    expect([result.hypothesisLength, result.referenceLength]).toEqual([30, 28])
    expect(formatBleu(result)).toBe('BLEU|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0 = ' +
      '31.14 73.3/42.3/27.3/11.1 (BP = 1.000 ratio = 1.071 hyp_len = 30 ref_len = 28)')
  })

  test('prefers the shorter of two references that are equally close in length', () => {
    expect(bleu(['a b c d'], [['a b c d e'], ['a b c']], { tokenize: 'none' }).referenceLength).toBe(3)
    expect(bleu(['a b c d'], [['a b c'], ['a b c d e']], { tokenize: 'none' }).referenceLength).toBe(3)
  })

  test.each([
    ['exp', undefined, 23.643540225079384, 'exp'], ['floor', undefined, 12.574334296829349, 'floor[0.10]'],
    ['floor', 0.01, 3.9763536438352522, 'floor[0.01]'], ['add-k', undefined, 37.60603093086395, 'add-k[1.00]'],
    ['add-k', 0.5, 27.4941620352113, 'add-k[0.50]'], ['none', undefined, 0, 'none'],
  ] as [BleuSmoothing, number | undefined, number, string][])('smooths with %s %s', (smoothMethod, smoothValue, score, signature) => {
    const options = smoothValue === undefined ? { smoothMethod } : { smoothMethod, smoothValue }
    const result = bleu(['the cat of my aunt'], [['the dog of my uncle']], options)
    expect(result.score).toBeCloseTo(score, 9)
    expect(result.signature).toContain(`|smooth:${signature}|`)
  })

  test('is zero for a text that is shorter than the n-grams, unless the order is effective', () => {
    expect(bleu(['my cat'], [['my cat']]).score).toBe(0)
    expect(bleu(['my cat'], [['my cat']], { effectiveOrder: true }).score).toBeCloseTo(100, 9)
    expect(sentenceBleu('my cat', ['my cat']).score).toBeCloseTo(100, 9)
  })

  test('is zero without a match, and for nothing but empty hypotheses', () => {
    for (const smoothMethod of ['exp', 'floor', 'add-k', 'none'] as const) {
      expect(bleu(['a b c d e'], [['f g h i j']], { smoothMethod }).score).toBe(0)
      expect(bleu(['', ' '], [['f g', 'h']], { smoothMethod })).toMatchObject({ score: 0, brevityPenalty: 0, hypothesisLength: 0 })
    }
  })

  test('punishes brevity by the exponential of the missing length', () => {
    expect(bleu(['a b c d'], [['a b c d e f']], { tokenize: 'none' }).brevityPenalty).toBeCloseTo(Math.exp(1 - 6 / 4), 12)
  })

  test('ignores case only where told', () => {
    expect(bleu(['THE OLD CAT SAT'], [['the old cat sat']]).score).toBe(0)
    expect(bleu(['THE OLD CAT SAT'], [['the old cat sat']], { lowercase: true }).score).toBeCloseTo(100, 9)
  })

  test('prints halves rounded to the even digit, as sacreBLEU does', () => {
    const words = Array.from({ length: 16 }, (_, i) => `w${i}`)
    const hypothesis = words.map((word, i) => i < 9 ? word : `x${i}`).join(' ')
    expect(formatBleu(bleu([hypothesis], [[words.join(' ')]], { maxNgramOrder: 1 }))).toContain(' = 56.25 56.2 (BP')
  })
})

describe('multi-bleu', () => {
  test('is zero where an order has no match, and prints fairseq\'s line', () => {
    const h = 'a man is playing a guitar on the big stage'.split(' ')
    const result = multiBleu([h.join(' ')], [['a man is playing the guitar on the big stage today']])
    // 9 of 10, 7 of 9, 5 of 8, 3 of 7 n-grams; one word short
    const expected = Math.exp(1 - 11 / 10) * 100 * ((9 / 10) * (7 / 9) * (5 / 8) * (3 / 7)) ** 0.25
    expect(result.score).toBeCloseTo(expected, 9)
    expect(formatMultiBleu(result)).toBe(`BLEU4 = ${expected.toFixed(2)}, 90.0/77.8/62.5/42.9 ` +
      '(BP=0.905, ratio=0.909, syslen=10, reflen=11)')
    expect(multiBleu(['a b c d'], [['a b d c']]).score).toBe(0)
  })

  test('splits nothing but white space', () => {
    expect(multiBleu(['it &apos;s 1,000 .'], [['it &apos;s 1,000 .']]).totals).toEqual([4, 3, 2, 1])
    expect(multiBleu(['IT IS SO NICE'], [['it is so nice']], { lowercase: true }).score).toBeCloseTo(100, 9)
  })
})

describe('tokenizers', () => {
  test.each([
    ['13a', ' It\'s $1,000.5 (a-b), 5-6 &quot;x&amp;y&lt; end.', 'It\'s $ 1,000.5 ( a-b ) , 5 - 6 " x & y < end .'],
    ['13a', 'line-\nbreak\nand <skipped>more', 'linebreak and more'],
    ['intl', '“Hi” 3,5€ — a.b 2019.', '“ Hi ” 3,5 € — a . b 2019.'],
    ['zh', '他说“AI”…ok', '他 说 “ AI ” … ok'],
    ['char', 'a 😀é', 'a   😀 é'],
    ['none', ' a  b. ', ' a  b. '],
  ] as [BleuTokenizer, string, string][])('%s: %s', (name, text, expected) => {
    expect(bleuTokenizers[name](text)).toBe(expected)
  })

  test('does not take quadratic time on a long run of spaces', () => {
    expect(bleu([`a${' '.repeat(200_000)}b c d`], [['a b c d']]).score).toBeCloseTo(100, 9)
  })
})

describe('bad input says what was expected', () => {
  test.each([
    ['no hypotheses', () => bleu([], [[]]), DataError, 'hypotheses is empty'],
    ['no references', () => bleu(['a'], []), DataError, 'expected a list of reference streams, each with 1 texts'],
    ['a list in place of streams', () => bleu(['a'], ['a'] as unknown as string[][]), DataError, 'passed as [references]'],
    ['other lengths', () => bleu(['a', 'b'], [['a', 'b'], ['a']]), DataError, 'references[1] has 1 texts, expected 2'],
    ['a segment without references', () => bleu(['a', 'b'], [['a', null]]), DataError, 'hypothesis 1 has no reference'],
    ['a number in place of a text', () => bleu([1 as unknown as string], [['a']]), DataError, 'hypotheses[0] is number'],
    ['undefined among the references', () => bleu(['a'], [[undefined as unknown as string]]), DataError, 'references[0][0] is undefined'],
    ['a sentence without references', () => sentenceBleu('a', []), DataError, 'an empty list'],
    ['an unknown tokenizer', () => bleu(['a'], [['a']], { tokenize: 'toString' as 'none' }), ConfigError, '13a, intl, zh, char, none'],
    ['an unknown smoothing', () => bleu(['a'], [['a']], { smoothMethod: 'add' as 'none' }), ConfigError, 'exp, floor, add-k, none'],
    ['a negative value', () => bleu(['a'], [['a']], { smoothMethod: 'floor', smoothValue: -1 }), ConfigError, 'smoothValue is -1'],
    ['order 0', () => bleu(['a'], [['a']], { maxNgramOrder: 0 }), ConfigError, 'maxNgramOrder is 0'],
  ])('%s', (_, call, type, message) => {
    expect(call).toThrow(type)
    expect(call).toThrow(message)
  })
})
