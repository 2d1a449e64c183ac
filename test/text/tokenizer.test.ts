import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { TokenizerError } from '#lib/errors.js'
import { Tokenizer } from '#lib/text/index.js'

const corpus = ['the cat sat on the mat', 'the dog sat on the log', 'naïve café 오늘 날씨가 👍🏽 ok', 'Ein Mann steht auf einer Leiter.']
const anyText = fc.string({ unit: fc.oneof(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }), fc.constantFrom(' ', '\n', 'e\u0301', 'the', 'İ', 'ﬁ', '<s>', '👨‍👩‍👧')) })

let bytelevel: Tokenizer, bpe: Tokenizer, wordpiece: Tokenizer, unigram: Tokenizer
beforeAll(async () => {
  bytelevel = await Tokenizer.train('bytelevel', corpus, { vocabSize: 320 })
  bpe = await Tokenizer.train('bpe', corpus, { vocabSize: 90, addEos: true })
  wordpiece = await Tokenizer.train('wordpiece', corpus, { vocabSize: 120 })
  unigram = await Tokenizer.train('unigram', corpus, { vocabSize: 90 })
})

describe('properties', () => {
  test('byte-level decoding undoes encoding, whatever the text', () => {
    fc.assert(fc.property(anyText, text => {
      expect(bytelevel.decode(bytelevel.encode(text).ids, { skipSpecialTokens: false })).toBe(text)
    }), { numRuns: 300 })
  })

  test('offsets are in order, on character boundaries, and inside the text', () => {
    fc.assert(fc.property(anyText, text => {
      for (const tokenizer of [bytelevel, bpe, wordpiece, unigram]) {
        const { offsets, specialTokensMask } = tokenizer.encode(text)
        let last = 0
        offsets.forEach(([start, end], i) => {
          if (specialTokensMask[i]) return
          expect(start).toBeGreaterThanOrEqual(last)
          expect(end).toBeGreaterThanOrEqual(start)
          expect(end).toBeLessThanOrEqual(text.length)
          expect(text.slice(start, end)).not.toMatch(/\p{Surrogate}/u)
          last = start
        })
      }
    }), { numRuns: 200 })
  })

  test('the slices of byte-level tokens, each character once, are the text', () => {
    fc.assert(fc.property(anyText, text => {
      let done = 0, rebuilt = ''
      for (const [start, end] of bytelevel.encode(text).offsets) {
        rebuilt += text.slice(Math.max(start, done), end)
        done = Math.max(done, end)
      }
      expect(rebuilt).toBe(text)
    }), { numRuns: 200 })
  })

  test('streaming gives what decoding at once gives, and never half a character', () => {
    fc.assert(fc.property(anyText, text => {
      for (const tokenizer of [bytelevel, bpe, unigram]) {
        const { ids } = tokenizer.encode(text)
        const stream = tokenizer.streamingDecoder()
        const parts = ids.map(id => stream.push(id))
        for (const part of parts) if (!text.includes('\ufffd')) expect(part).not.toContain('\ufffd')
        expect(parts.join('') + stream.flush()).toBe(tokenizer.decode(ids))
      }
    }), { numRuns: 200 })
  })
})

describe('offsets', () => {
  test('count UTF-16 units, so that slice gives the text of a token', () => {
    const text = '👍🏽 the cat'
    const { tokens, offsets } = bytelevel.encode(text)
    expect(text.slice(...(offsets[tokens.indexOf('Ġthe')] as [number, number]))).toBe(' the')
  })

  test('point into the text before normalisation', () => {
    const text = 'Cafe\u0301 NAÏVE'
    const { tokens, offsets } = wordpiece.encode(text, { addSpecialTokens: false })
    expect(text.slice(offsets[0]?.[0], offsets.at(-1)?.[1])).toBe(text)
    expect(tokens.map(token => token.replace('##', '')).join('')).toBe('cafenaive')
  })

  test('tokens of the template have none', () => {
    expect(wordpiece.encode('cat').offsets[0]).toEqual([0, 0])
  })
})

describe('encode', () => {
  test('joins a pair as the template says', () => {
    const { tokens, typeIds, specialTokensMask } = wordpiece.encode('cat', { pair: 'dog' })
    const second = tokens.indexOf('[SEP]') + 1
    expect(tokens.filter(token => token === '[SEP]')).toHaveLength(2)
    expect(typeIds).toEqual(tokens.map((_, i) => i < second ? 0 : 1))
    expect(specialTokensMask.reduce((sum, flag) => sum + flag, 0)).toBe(3)
  })

  test('keeps room for special tokens when it truncates, on either side', () => {
    const text = 'the cat sat on the mat'
    const full = bpe.encode(text).tokens
    expect(full.at(-1)).toBe('</s>')
    expect(bpe.encode(text, { maxLength: 4 }).tokens).toEqual([...full.slice(0, 3), '</s>'])
    expect(bpe.encode(text, { maxLength: 4, truncationSide: 'left' }).tokens).toEqual(full.slice(-4))
    expect(() => bpe.encode(text, { maxLength: 4, truncation: false })).toThrow(/truncation is off/)
    expect(() => bpe.encode(text, { maxLength: 0 })).toThrow(/at least 1/)
    expect(() => bpe.encode(text, { truncation: true })).toThrow(/needs a maxLength/)
  })

  test('takes from the longer of a pair first, or from the one that is named', () => {
    const [a, b] = ['the cat sat on the mat', 'the dog']
    const longer = bytelevel.encode(a).ids, shorter = bytelevel.encode(b).ids
    const kept = longer.slice(0, shorter.length + 1), maxLength = kept.length + shorter.length
    expect(longer.length).toBeGreaterThan(kept.length)
    expect(bytelevel.encode(a, { pair: b, maxLength }).ids).toEqual([...kept, ...shorter])
    expect(bytelevel.encode(b, { pair: a, maxLength, truncation: 'only_second' }).ids).toEqual([...shorter, ...kept])
    expect(() => bytelevel.encode(a, { pair: b, maxLength: 1, truncation: 'only_first' })).toThrow(/longest_first/)
    expect(bytelevel.encode(a, { pair: a, maxLength: 5 }).ids).toEqual([...longer.slice(0, 2), ...longer.slice(0, 3)])
  })

  test('batches are padded to one length, on the side and to the multiple asked for', () => {
    const texts = ['the cat', 'the cat sat on the mat']
    const [short, long] = bytelevel.encodeBatch(texts, { padding: true })
    expect(short?.ids).toHaveLength(long?.ids.length as number)
    const plain = bytelevel.encode(texts[0] as string)
    expect(short?.attentionMask).toEqual(short?.ids.map((_, i) => i < plain.ids.length ? 1 : 0))
    expect(short?.ids.at(-1)).toBe(bytelevel.padId)
    const [left] = bytelevel.encodeBatch(texts, { padding: true, paddingSide: 'left', padToMultipleOf: 8 })
    expect((left?.ids.length as number) % 8).toBe(0)
    expect(left?.ids.slice(-plain.ids.length)).toEqual(plain.ids)
    expect(left?.offsets[0]).toEqual([0, 0])
    expect(bytelevel.encodeBatch(texts, { padding: 'max_length', maxLength: 20 }).map(({ ids }) => ids.length)).toEqual([20, 20])
    expect(bytelevel.encodeBatch(texts).map(({ ids }) => ids.length)).toEqual(texts.map(text => bytelevel.encode(text).ids.length))
  })

  test('padding without a padding token says how to get one', async () => {
    const bare = await Tokenizer.train('bytelevel', corpus, { vocabSize: 300, specialTokens: [] })
    expect(() => bare.encodeBatch(['a', 'a b c'], { padding: true })).toThrow(/addSpecialTokens/)
    expect(bare.addSpecialTokens(['<pad>'])).toBe(1)
    expect(bare.padId).toBe(bare.vocabSize - 1)
    expect(bare.encodeBatch(['a', 'a b c'], { padding: true })[0]?.ids.at(-1)).toBe(bare.padId)
  })

  test('a text that is not a string is an error', () => {
    expect(() => bpe.encode(undefined as unknown as string)).toThrow(TokenizerError)
  })

  test('half a surrogate pair becomes U+FFFD in place', () => {
    expect(bytelevel.decode(bytelevel.encode('a\ud800b').ids)).toBe('a\ufffdb')
  })
})

describe('decode', () => {
  test('leaves special tokens out unless told otherwise', () => {
    const { ids } = bpe.encode('the cat')
    expect(bpe.decode(ids)).toBe('the cat')
    expect(bpe.decode(ids, { skipSpecialTokens: false })).toBe('the cat</s>')
    expect(bpe.decodeBatch([ids, []])).toEqual(['the cat', ''])
  })

  test('what is not an id is an error, an id without a token is no text', () => {
    expect(() => bpe.decode([-1])).toThrow(/not a token id/)
    expect(() => bpe.decode([1.5])).toThrow(TokenizerError)
    expect(bpe.decode([bpe.vocabSize + 5])).toBe('')
  })

  test('a character cut off at the end of a stream comes out as U+FFFD', () => {
    const stream = bytelevel.streamingDecoder()
    const [first] = bytelevel.encode('日').ids
    expect(stream.push(first as number)).toBe('')
    expect(stream.flush()).toBe('\ufffd')
  })
})

describe('files that are not tokenizers', () => {
  const good = (): Record<string, unknown> => structuredClone(bpe.toJSON())
  const model = (json: Record<string, unknown>): Record<string, unknown> => json['model'] as Record<string, unknown>

  test.each<[string, (json: Record<string, unknown>) => unknown, RegExp]>([
    ['text that is not JSON', () => '{"model": ', /not JSON.*complete/s],
    ['a list', () => [], /"model"/],
    ['no model', json => ({ ...json, model: undefined }), /without one/],
    ['an unknown model', json => ({ ...json, model: { type: 'Markov', vocab: {} } }), /unknown model "Markov"/],
    ['an unknown normalizer', json => ({ ...json, normalizer: { type: 'Rot13' } }), /unknown normalizer "Rot13"/],
    ['an unknown pre_tokenizer', json => ({ ...json, pre_tokenizer: { type: 'X' } }), /unknown pre_tokenizer "X"/],
    ['an unknown post_processor', json => ({ ...json, post_processor: { type: 'X' } }), /unknown post_processor "X"/],
    ['an unknown decoder', json => ({ ...json, decoder: { type: 'X' } }), /decoder "X" cannot be used/],
    ['a vocabulary that is missing', json => ({ ...json, model: { ...model(json), vocab: null } }), /vocab is missing/],
    ['an id that is not a number', json => ({ ...json, model: { ...model(json), vocab: { a: 'x' } } }), /the id of "a" in vocab is "x"/],
    ['an id given twice', json => ({ ...json, model: { ...model(json), vocab: { a: 0, b: 0 } } }), /id 0 to both "a" and "b"/],
    ['merges cut short', json => ({ ...json, model: { ...model(json), merges: [['a']] } }), /merge 0/],
    ['a merge of unknown tokens', json => ({ ...json, model: { ...model(json), merges: [['q', 'zz']] } }), /not in vocab/],
    ['an added token without an id', json => ({ ...json, added_tokens: [{ content: '<x>' }] }), /entry 0 of added_tokens/],
    ['an expression that cannot be read', json => ({ ...json, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' } }), /cannot be translated/],
    ['unigram pieces without scores', json => ({ ...json, model: { type: 'Unigram', unk_id: 0, vocab: ['a'] } }), /entry 0 of vocab/],
    ['an unk_id out of range', json => ({ ...json, model: { type: 'Unigram', unk_id: 9, vocab: [['a', -1]] } }), /unk_id is 9/],
  ])('%s: a TokenizerError that says what is wrong', (_, broken, message) => {
    expect(() => Tokenizer.fromJSON(broken(good()))).toThrow(TokenizerError)
    expect(() => Tokenizer.fromJSON(broken(good()))).toThrow(message)
  })

  test('a file or directory without one is named', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'warpweft-tokenizer-'))
    try {
      await expect(Tokenizer.fromFile(directory)).rejects.toThrow(/tokenizer.json cannot be read: there is no such file/)
      await writeFile(join(directory, 'tokenizer.json'), '{}')
      await expect(Tokenizer.fromFile(directory)).rejects.toThrow(TokenizerError)
      await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(bpe))
      await writeFile(join(directory, 'tokenizer_config.json'), JSON.stringify({ pad_token: { content: '<unk>' }, eos_token: '<s>' }))
      const read = await Tokenizer.fromFile(directory)
      expect([read.padId, read.eosId]).toEqual([3, 1])
      expect((await Tokenizer.fromFile(directory, { padToken: '<s>' })).padId).toBe(1)
      await expect(Tokenizer.fromFile(directory, { padToken: '<nope>' })).rejects.toThrow(/padToken is "<nope>"/)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
