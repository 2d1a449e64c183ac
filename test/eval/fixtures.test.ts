import { describe, expect, test } from '@jest/globals'
import { readFileSync } from 'node:fs'
import {
  accuracy, bleu, characterErrorRate, chrf, confusionMatrix, f1, matthewsCorrelation, meanAbsoluteError, meanSquaredError, pearson,
  precisionRecall, r2, rouge, sentenceBleu, spearman, ter, wordErrorRate, type BleuTokenizer, type RougeType,
} from '#lib/eval/index.js'
import { shared } from '../shared.js'

interface Score { score: number; signature: string; counts?: number[]; totals?: number[]; bp?: number; sys_len?: number; ref_len?: number }
interface RougeLists { p: number[]; r: number[]; f: number[] }
interface TextCase { name: string; hypotheses: string[]; references: string[]; references2: string[]; scores: Record<string, unknown> }
interface ClassificationCase {
  labels: number[]
  predictions: number[]
  confusion: number[][]
  [metric: string]: number | number[] | number[][]
}
interface Fixture {
  text: TextCase[]
  classification: ClassificationCase[]
  regression: { labels: number[], predictions: number[], [metric: string]: number | number[] }
}

const path = shared('fixtures', 'metrics.json')
if (path === undefined) test.skip('scores equal those of the reference libraries', () => { /* the data is not here */ })
else describe('scores equal those of the reference libraries', () => { compareWith(JSON.parse(readFileSync(path, 'utf8')) as Fixture) })

function expectClose(actual: number | readonly number[], expected: unknown): void {
  const actuals = [actual].flat(), expecteds = [expected as number | number[]].flat()
  expect(actuals).toHaveLength(expecteds.length)
  actuals.forEach((value, i) => { expect(Math.abs(value - expecteds[i]!)).toBeLessThanOrEqual(1e-6 * Math.abs(expecteds[i]!)) })
}

/** Without the version, which says who computed the score rather than how. */
function settings(signature: string): string {
  return signature.replace(/\|version:.*/, '')
}

function compareWith(fixture: Fixture): void {
  test('a known list of metrics is in the file', () => {
    const known = /^(bleu\.(13a|intl|char|none|zh)(\.2refs|\.lc)?|sentence_bleu|chrf(\+\+)?|ter|rouge([12L]|Lsum)(\.stem)?|wer|cer)$/
    for (const { scores } of fixture.text) expect(Object.keys(scores).filter((key) => !known.test(key))).toEqual([])
  })

  describe.each(fixture.text)('$name', ({ hypotheses, references, references2, scores }) => {
    const keys = Object.keys(scores)

    test.each(keys.filter((key) => key.startsWith('bleu.')))('%s', (key) => {
      const [, tokenize, variant] = key.split('.')
      const streams = variant === '2refs' ? [references, references2] : [references]
      const result = bleu(hypotheses, streams, { tokenize: tokenize as BleuTokenizer, lowercase: variant === 'lc' })
      const expected = scores[key] as Score
      expectClose(result.score, expected.score)
      expect(settings(result.signature)).toBe(settings(expected.signature))
      if (expected.counts === undefined) return
      expect([result.counts, result.totals]).toEqual([expected.counts, expected.totals])
      expect([result.hypothesisLength, result.referenceLength]).toEqual([expected.sys_len, expected.ref_len])
      expectClose(result.brevityPenalty, expected.bp)
    })

    test('BLEU of single sentences', () => {
      const expected = scores['sentence_bleu'] as number[]
      expectClose(expected.map((_, i) => sentenceBleu(hypotheses[i]!, [references[i]!]).score), expected)
    })

    test.each([['chrf', 0], ['chrf++', 2]] as const)('%s', (key, wordOrder) => {
      const result = chrf(hypotheses, [references], { wordOrder }), expected = scores[key] as Score
      expectClose(result.score, expected.score)
      expect(settings(result.signature)).toBe(settings(expected.signature))
    })

    test('TER', () => {
      const result = ter(hypotheses, [references]), expected = scores['ter'] as Score
      expectClose(result.score, expected.score)
      expect(settings(result.signature)).toBe(settings(expected.signature))
    })

    test.each(keys.filter((key) => key.startsWith('rouge')))('%s', (key) => {
      const [type, stem] = key.split('.') as [RougeType, string | undefined]
      const { pairs } = rouge(hypotheses, [references], { types: [type], useStemmer: stem === 'stem' })
      const expected = scores[key] as RougeLists
      expectClose(pairs.map((pair) => pair[type].precision), expected.p)
      expectClose(pairs.map((pair) => pair[type].recall), expected.r)
      expectClose(pairs.map((pair) => pair[type].f1), expected.f)
    })

    test('word and character error rates', () => {
      const kept = references.flatMap((reference, i) => reference.trim() === '' ? [] : [i])
      const h = kept.map((i) => hypotheses[i]!), r = kept.map((i) => references[i]!)
      expectClose(wordErrorRate(h, r).rate, scores['wer'])
      expectClose(characterErrorRate(h, r).rate, scores['cer'])
    })
  })

  test.each(fixture.classification.map((own, i) => [i, own] as const))('classification %i', (_, own) => {
    const { labels, predictions, confusion, ...rest } = own
    expect(confusionMatrix(predictions, labels).counts).toEqual(confusion)
    for (const [key, expected] of Object.entries(rest)) {
      const [metric, average = 'binary'] = key.split('_') as [string, ('binary' | 'micro' | 'macro' | 'weighted')?]
      const actual = metric === 'accuracy' ? accuracy(predictions, labels)
        : metric === 'matthews' ? matthewsCorrelation(predictions, labels)
        : metric === 'f1' ? f1(predictions, labels, { average })
        : precisionRecall(predictions, labels, { average })[metric as 'precision' | 'recall']
      expectClose(actual, expected)
    }
  })

  test('regression', () => {
    const metrics = { pearson, spearman, mse: meanSquaredError, mae: meanAbsoluteError, r2 }
    const { labels, predictions, ...rest } = fixture.regression
    expect(Object.keys(rest).sort()).toEqual(Object.keys(metrics).sort())
    for (const [name, metric] of Object.entries(metrics)) expectClose(metric(predictions, labels), rest[name])
  })
}
