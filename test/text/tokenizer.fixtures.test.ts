import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { AlignedText } from '#lib/text/alignedText.js'
import { Tokenizer } from '#lib/text/index.js'
import { normalizer } from '#lib/text/normalizers.js'
import { PrefixTree } from '#lib/text/prefixTree.js'
import { preTokenizer } from '#lib/text/preTokenizers.js'
import { bestPath, unknownPenalty } from '#lib/text/unigramModel.js'
import { shared } from '../shared.js'

interface Reference { text: string, ids: number[], tokens: string[], offsets: [number, number][], decoded: string }
interface Json { normalizer: unknown, pre_tokenizer: unknown, model: { vocab: Record<string, number> & [string, number][], merges: [string, string][] } }

const directory = shared('fixtures', 'tokenizers')
const given = directory === undefined ? test.skip : test
const path = (name: string): string => `${directory as string}/${name}`
const read = <T>(name: string): T => JSON.parse(readFileSync(path(name), 'utf8')) as T

/** Milliseconds; training takes one or two seconds on a machine that is not busy. */
const patience = 60_000

/** Where each code point begins in UTF-16 units, and the end. */
function unitsOf(text: string): number[] {
  const starts: number[] = []
  let unit = 0
  for (const character of text) {
    starts.push(unit)
    unit += character.length
  }
  return [...starts, unit]
}

describe('files that the reference trained', () => {
  for (const name of ['bpe_bytelevel', 'bpe_metaspace', 'bpe_whitespace', 'unigram_metaspace', 'wordpiece_bert']) {
    given(`${name} encodes and decodes as the reference does`, async () => {
      const tokenizer = await Tokenizer.fromFile(path(`${name}.json`))
      const { encodings } = read<{ encodings: Reference[] }>(`${name}.encodings.json`)
      expect(encodings.length).toBeGreaterThan(60)
      for (const { text, ids, tokens, offsets, decoded } of encodings) {
        const encoding = tokenizer.encode(text)
        const units = unitsOf(text)
        expect({ text, ids: encoding.ids, tokens: encoding.tokens, offsets: encoding.offsets })
          .toEqual({ text, ids, tokens, offsets: offsets.map(([start, end]) => [units[start], units[end]]) })
        expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(decoded)
      }
    })
  }
})

describe('training on the corpus of the reference', () => {
  const options = { vocabSize: 2000, minFrequency: 2 }

  for (const [kind, name] of [['bytelevel', 'bpe_bytelevel'], ['bpe', 'bpe_metaspace']] as const) {
    given(`${kind} learns the same vocabulary and the same merges in the same order`, async () => {
      const tokenizer = await Tokenizer.train(kind, path('corpus.txt'), options)
      expect(tokenizer.toJSON()).toEqual(read(`${name}.json`))
    }, patience)
  }

  for (const [kind, name] of [['bpe-whitespace', 'bpe_whitespace'], ['wordpiece', 'wordpiece_bert']] as const) {
    given(`${kind} learns at least 99 % of the same entries`, async () => {
      const ours = (await Tokenizer.train(kind, path('corpus.txt'), options)).toJSON() as unknown as Json
      const theirs = read<Json>(`${name}.json`)
      const common = Object.keys(theirs.model.vocab).filter(token => token in ours.model.vocab).length
      expect(Object.keys(ours.model.vocab)).toHaveLength(2000)
      expect(common).toBeGreaterThanOrEqual(1980)
    }, patience)
  }

  given('unigram reaches the likelihood of the reference, and orders and counts its pieces', async () => {
    const ours = (await Tokenizer.train('unigram', path('corpus.txt'), { vocabSize: 2000 })).toJSON() as unknown as Json
    const theirs = read<Json>('unigram_metaspace.json')
    const corpus = readFileSync(path('corpus.txt'), 'utf8').split('\n')
    const [a, b] = [logLikelihood(ours, corpus), logLikelihood(theirs, corpus)]
    expect(Math.abs(a / b - 1)).toBeLessThan(0.005)
    const scores = ours.model.vocab.slice(4).map(([, score]) => score)
    expect(ours.model.vocab).toHaveLength(2000)
    expect(scores).toEqual([...scores].sort((x, y) => y - x))
  }, patience)
})

/** Sum over the words of the corpus of the log probability of the best segmentation. */
function logLikelihood(json: Json, corpus: string[]): number {
  const normalize = normalizer(json.normalizer), split = preTokenizer(json.pre_tokenizer)
  const tree = new PrefixTree()
  const scores = json.model.vocab.map(([, score]) => score)
  json.model.vocab.forEach(([piece], id) => tree.insert(piece, id))
  const path = bestPath(tree, scores, Math.min(...scores) - unknownPenalty)
  const known = new Map<string, number>()
  let sum = 0
  for (const line of corpus) {
    for (const { text } of split(normalize(AlignedText.of(line)))) {
      if (!known.has(text)) known.set(text, path(text).score)
      sum += known.get(text) as number
    }
  }
  return sum
}
