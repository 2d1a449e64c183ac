import { expect, test } from '@jest/globals'
import { ConfigError, DataError } from '#lib/errors.js'
import { translate, translations, type TranslationTokenizer } from '#lib/generate/translate.js'
import { memory } from '#lib/tensor/device.js'
import { arbitraryLogits, TableModel } from './tableModel.js'

const letters = 'abcdefgh', V = 3 + letters.length
const tokenizer: TranslationTokenizer = {
  bosId: 2, eosId: 1, padId: 0,
  encode: text => ({ ids: [...text].filter(c => letters.includes(c)).map(c => 3 + letters.indexOf(c)) }),
  decode: ids => ids.filter(id => id > 2).map(id => letters[id - 3]).join(''),
}

/** Says the source backwards in capitals of the table: likely, but not certain. */
const reverse = () => new TableModel(V, (tokens, source) => {
  const body = source.filter(id => id > 2).reverse(), wanted = body[tokens.length - 1] ?? 1
  return Array.from({ length: V }, (_, id) => id === wanted ? 4 : id === 3 ? 2 : 0)
}, { encoder: true, maxPositions: 20 })

const texts = ['abc', 'h', '', 'gfedcba', 'ab', '  ', 'hgh', 'abcdefgh']

test('texts of all lengths come back in their order, however they are batched', async () => {
  for (const batchTokens of [1, 8, 2048]) {
    for (const numBeams of [1, 4]) {
      const model = reverse(), progress: number[] = []
      const found = await translate(model, tokenizer, texts, { numBeams, batchTokens, onProgress: ({ done }) => progress.push(done) })
      expect(found).toEqual(texts.map(text => [...text.trim()].reverse().join('')))
      expect(progress.at(-1)).toBe(texts.length)
      expect(Math.max(...model.rowsOfSteps)).toBe(numBeams * (batchTokens === 1 ? 1 : batchTokens === 8 ? 2 : 6))
    }
  }
})

test('n-best translations have scores, the best first', async () => {
  const found = await translations(reverse(), tokenizer, ['abc', 'ba'], { nBest: 3, lengthPenalty: 0.6 })
  for (const list of found) {
    expect(list).toHaveLength(3)
    expect(list.map(({ score }) => score)).toEqual(list.map(({ score }) => score).sort((a, b) => b - a))
  }
  expect(found[0]![0]!.text).toBe('cba')
  const [[greedy]] = await translations(reverse(), tokenizer, ['abc'], { numBeams: 1, lengthPenalty: 0.6 }) as [[{ text: string, score: number }]]
  expect(greedy.text).toBe('cba')
  expect(greedy.score).toBeCloseTo(found[0]![0]!.score, 5)
})

test('a text that is too long is refused by its number, or cut', async () => {
  const long = 'ab'.repeat(15)
  await expect(translate(reverse(), tokenizer, ['a', long])).rejects.toThrow(DataError)
  await expect(translate(reverse(), tokenizer, ['a', long])).rejects.toThrow(/text 2 has 30 tokens/)
  expect(await translate(reverse(), tokenizer, ['a', long], { policy: 'truncate' })).toEqual(['a', [...long.slice(0, 19)].reverse().join('')])
})

test('what cannot be translated says why, and nothing is left in memory', async () => {
  const before = memory()
  await expect(translate(new TableModel(V, arbitraryLogits(V, 1)), tokenizer, ['a'])).rejects.toThrow(/encoder/)
  await expect(translate(reverse(), { ...tokenizer, eosId: undefined }, ['a'])).rejects.toThrow(ConfigError)
  await expect(translate(reverse(), tokenizer, ['a'], { nBest: 9 })).rejects.toThrow(/only 4 beams/)
  await translate(reverse(), tokenizer, texts)
  expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
})
