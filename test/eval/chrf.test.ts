import { describe, expect, test } from '@jest/globals'
import { chrf, sentenceChrf, type ChrfOptions } from '#lib/eval/index.js'
import { ConfigError, DataError } from '#lib/errors.js'
import { hypotheses, references, secondReferences } from './corpus.js'

describe('chrF', () => {
  // Expected scores: sacreBLEU 2.6.0.
  test.each([
    [{}, 63.22009623598818, 'chrF2', 'case:mixed|eff:yes|nc:6|nw:0|space:no'],
    [{ wordOrder: 2 }, 59.32864840182197, 'chrF2++', 'case:mixed|eff:yes|nc:6|nw:2|space:no'],
    [{ charOrder: 4, wordOrder: 1, beta: 3, lowercase: true, whitespace: true, epsSmoothing: true }, 82.42961474319154, 'chrF3+',
      'case:lc|eff:no|nc:4|nw:1|space:yes'],
  ] as [ChrfOptions, number, string, string][])('with %j', (options, score, name, signature) => {
    const result = chrf(hypotheses, [references, secondReferences], options)
    expect(result.score).toBeCloseTo(score, 9)
    expect(result.name).toBe(name)
    expect(result.signature).toBe(`nrefs:var|${signature}|version:2.6.0`)
  })

  test('counts code points, so that half of an emoji is no match', () => {
    // U+1F600 and U+1F601 share their first UTF-16 unit
    expect(sentenceChrf('😀', ['😁']).score).toBe(0)
    expect(sentenceChrf('😀', ['😀']).score).toBeCloseTo(100, 12)
  })

  test('is zero where either side is empty', () => {
    expect(sentenceChrf('', ['a']).score).toBe(0)
    expect(sentenceChrf('a', ['']).score).toBe(0)
    expect(sentenceChrf('', ['']).score).toBe(0)
  })

  test('rejects what it cannot compute', () => {
    expect(() => chrf(['a'], [['a']], { charOrder: 0 })).toThrow(ConfigError)
    expect(() => chrf(['a'], [['a']], { beta: 0 })).toThrow(/beta is 0/)
    expect(() => chrf(['a'], [['a']], { wordOrder: 1.5 })).toThrow(/wordOrder is 1.5/)
    expect(() => chrf(['a'], [['a', 'b']])).toThrow(DataError)
  })
})
