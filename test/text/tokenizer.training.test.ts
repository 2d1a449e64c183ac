import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { ConfigError, TokenizerError } from '#lib/errors.js'
import { Tokenizer, type TokenizerKind } from '#lib/text/index.js'
import { trainBpe } from '#lib/text/trainBpe.js'

const kinds: TokenizerKind[] = ['bytelevel', 'bpe', 'bpe-whitespace', 'wordpiece', 'unigram', 'word', 'char']
const texts = ['the cat sat on the mat', 'the dog sat on the log', 'Ein Mann steht auf einer Leiter, ein Mann.', 'A man is standing on a ladder.', 'naïve café']
const model = (tokenizer: Tokenizer): { vocab: Record<string, number>, merges: [string, string][] } => tokenizer.toJSON()['model'] as never

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'warpweft-tokenizer-'))
  try {
    await use(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

describe('every kind', () => {
  for (const kind of kinds) {
    test(`${kind}: trains to the size asked for at most, and says its texts back`, async () => {
      const tokenizer = await Tokenizer.train(kind, texts, { vocabSize: 300, minFrequency: 1 })
      expect(tokenizer.vocabSize).toBeLessThanOrEqual(300)
      const text = 'the cat sat on the log'
      expect(tokenizer.encode(text).ids).not.toContain(tokenizer.unkId)
      expect(tokenizer.decode(tokenizer.encode(text).ids)).toBe(text)
    })

    test(`${kind}: the same texts give the same file`, async () => {
      const [first, second] = [await Tokenizer.train(kind, texts, { vocabSize: 300 }), await Tokenizer.train(kind, texts, { vocabSize: 300 })]
      expect(JSON.stringify(first)).toBe(JSON.stringify(second))
    })

    test(`${kind}: a saved tokenizer is read back the same`, () => withDirectory(async directory => {
      const tokenizer = await Tokenizer.train(kind, texts, { vocabSize: 300, padToken: '<fill>', addEos: true })
      await tokenizer.save(join(directory, 'model'))
      const read = await Tokenizer.fromFile(join(directory, 'model'))
      expect(read.toJSON()).toEqual(tokenizer.toJSON())
      expect(read.padToken).toBe('<fill>')
      expect(read.encode('the dog')).toEqual(tokenizer.encode('the dog'))
    }))

    test(`${kind}: texts without a word are an error that says so`, async () => {
      await expect(Tokenizer.train(kind, [])).rejects.toThrow(TokenizerError)
      await expect(Tokenizer.train(kind, ['', ''])).rejects.toThrow(/empty/)
    })

    test(`${kind}: a vocabulary too small for its alphabet is an error that names the size`, async () => {
      await expect(Tokenizer.train(kind, texts, { vocabSize: 4 })).rejects.toThrow(/Raise vocabSize to at least \d+/)
    })
  }
})

describe('special tokens', () => {
  test('are <pad> <s> </s> <unk> from id 0, and [PAD] [UNK] [CLS] [SEP] [MASK] for wordpiece', async () => {
    const bpe = await Tokenizer.train('bpe', texts)
    expect([bpe.padId, bpe.bosId, bpe.eosId, bpe.unkId]).toEqual([0, 1, 2, 3])
    const wordpiece = await Tokenizer.train('wordpiece', texts)
    expect([wordpiece.padId, wordpiece.unkId, wordpiece.bosId, wordpiece.eosId, wordpiece.maskId]).toEqual([0, 1, 2, 3, 4])
    expect(wordpiece.encode('the cat').tokens.at(-1)).toBe('[SEP]')
  })

  test('can be chosen, ordered and put around the text', async () => {
    const tokenizer = await Tokenizer.train('bytelevel', texts, {
      specialTokens: ['<unk>', '<end>', '<begin>', '<none>'], padToken: '<none>', bosToken: '<begin>', eosToken: '<end>', addBos: true, addEos: true })
    expect([tokenizer.unkId, tokenizer.eosId, tokenizer.bosId, tokenizer.padId]).toEqual([0, 1, 2, 3])
    const { ids, specialTokensMask, offsets } = tokenizer.encode('the cat')
    expect([ids[0], ids.at(-1)]).toEqual([2, 1])
    expect([specialTokensMask[0], specialTokensMask[1], specialTokensMask.at(-1)]).toEqual([1, 0, 1])
    expect(offsets[0]).toEqual([0, 0])
    expect(tokenizer.encode('the cat', { addSpecialTokens: false }).ids).toEqual(ids.slice(1, -1))
    expect(tokenizer.decode(ids)).toBe('the cat')
  })

  test('that repeat, or parts that name none of them, are errors', async () => {
    await expect(Tokenizer.train('bpe', texts, { specialTokens: ['<a>', '<a>'] })).rejects.toThrow(/Remove the repetition/)
    await expect(Tokenizer.train('bpe', texts, { specialTokens: ['<a>'], padToken: '<b>' })).rejects.toThrow(/not among specialTokens/)
    await expect(Tokenizer.train('bpe', texts, { specialTokens: ['<a>'], addEos: true })).rejects.toThrow(/needs a eosToken/)
    await expect(Tokenizer.train('wordpiece', texts, { specialTokens: ['<a>'] })).rejects.toThrow(/unknown words/)
  })
})

describe('sources of texts', () => {
  test('an iterable, an async iterable and a file give the same tokenizer', () => withDirectory(async directory => {
    async function* later(): AsyncIterable<string> { yield* texts }
    const expected = (await Tokenizer.train('bpe', texts)).toJSON()
    expect((await Tokenizer.train('bpe', later())).toJSON()).toEqual(expected)
    for (const [name, content] of [
      ['plain.txt', texts.join('\n')], ['ends.txt', texts.join('\r\n') + '\r\n'], ['fields.tsv', `${texts.slice(0, 2).join('\t')}\n${texts.slice(2).join('\t')}\n`],
      ['packed.txt.gz', gzipSync(texts.join('\n'))]] as const) {
      await writeFile(join(directory, name), content)
      expect((await Tokenizer.train('bpe', join(directory, name))).toJSON()).toEqual(expected)
    }
  }))

  test('a missing file, bytes that are not UTF-8 and samples that are not strings are named', () => withDirectory(async directory => {
    await expect(Tokenizer.train('bpe', join(directory, 'none.txt'))).rejects.toThrow(/no such file/)
    await expect(Tokenizer.train('bpe', join(directory, 'none.txt.gz'))).rejects.toThrow(/no such file/)
    await writeFile(join(directory, 'latin.txt'), Buffer.from('ok\ncaf\xe9 ole\n', 'latin1'))
    await expect(Tokenizer.train('bpe', join(directory, 'latin.txt'))).rejects.toThrow(/line \d+: not valid UTF-8/)
    await expect(Tokenizer.train('bpe', ['a', 3 as unknown as string])).rejects.toThrow(/sample 1 .* number/)
    await expect(Tokenizer.train('bpe', 7 as unknown as string)).rejects.toThrow(/neither a path nor iterable/)
  }))
})

test('an unknown kind or option names those that are known', async () => {
  await expect(Tokenizer.train('bp' as TokenizerKind, texts)).rejects.toThrow(/unknown kind of tokenizer "bp".*bytelevel, bpe/)
  await expect(Tokenizer.train('bpe', texts, { vocabsize: 3 } as object)).rejects.toThrow(ConfigError)
  await expect(Tokenizer.train('bpe', texts, { vocabSize: 2.5 })).rejects.toThrow(/vocabSize is 2.5/)
})

test('minFrequency stops merging, limitAlphabet keeps the most frequent characters', async () => {
  const rare = await Tokenizer.train('bpe', ['ab ab ab cd'], { vocabSize: 50, minFrequency: 3 })
  expect(model(rare).merges).toEqual([['a', 'b'], ['▁', 'ab']])
  const limited = await Tokenizer.train('bpe', ['aaaa bbb cc d'], { vocabSize: 50, limitAlphabet: 3 })
  expect(limited.encode('d').ids).toContain(limited.unkId)
  expect(limited.encode('b').ids).not.toContain(limited.unkId)
})

test.each(['bpe', 'unigram'] as const)('%s: the event loop gets its turns, so that a signal is heard', async kind => {
  let state = 1, turns = 0, training = true
  const random = (below: number): number => (state = state * 48271 % 2147483647) % below
  const texts = Array.from({ length: 4000 }, () => Array.from({ length: 3 + random(9) }, () => 'abcdefghij'[random(10)]).join(''))
  const turn = (): void => { turns++; if (training) setImmediate(turn) }
  setImmediate(turn)
  await Tokenizer.train(kind, texts, { vocabSize: 1500 })
  training = false
  expect(turns).toBeGreaterThan(1)
})

test('merging is that of the slow algorithm that counts all pairs anew at every step', async () => {
  // Deterministic words over a small alphabet, so that pairs overlap and tokens arise in several ways.
  let state = 1
  const random = (below: number): number => (state = state * 48271 % 2147483647) % below
  for (let round = 0; round < 30; round++) {
    const words = new Map<string, number>()
    for (let i = 0; i < 25; i++) words.set(Array.from({ length: 2 + random(8) }, () => 'abc'[random(3)]).join(''), 1 + random(5))
    const { merges } = await trainBpe(words, { vocabSize: 20, minFrequency: 1, specialTokens: [], initialAlphabet: [], limitAlphabet: Infinity, prefix: '', suffix: '' })
    let spelled = [...words].map(([word, count]): [string[], number] => [[...word], count])
    for (const [left, right] of merges.slice(0, 6)) {
      const counts = new Map<string, number>()
      for (const [symbols, count] of spelled) {
        for (let i = 0; i + 1 < symbols.length; i++) counts.set(`${symbols[i]} ${symbols[i + 1]}`, (counts.get(`${symbols[i]} ${symbols[i + 1]}`) ?? 0) + count)
      }
      // Overlapping occurrences (aaa) are counted by the trainer as by the reference until the pair itself is merged: compare where there are none.
      if (left !== right) expect(counts.get(`${left} ${right}`)).toBe(Math.max(...[...counts].filter(([pair]) => pair.split(' ')[0] !== pair.split(' ')[1]).map(([, n]) => n)))
      spelled = spelled.map(([symbols, count]) => {
        const merged: string[] = []
        for (let i = 0; i < symbols.length; i++) merged.push(symbols[i] === left && symbols[i + 1] === right ? left + (symbols[++i] as string) : symbols[i] as string)
        return [merged, count]
      })
    }
  }
})

test('a file appears whole, and a place that cannot be written is named', () => withDirectory(async directory => {
  const tokenizer = await Tokenizer.train('char', texts)
  await tokenizer.save(join(directory, 'deep', 'tokenizer.json'))
  expect(JSON.parse(await readFile(join(directory, 'deep', 'tokenizer.json'), 'utf8'))).toEqual(tokenizer.toJSON())
  await writeFile(join(directory, 'file'), '')
  await expect(tokenizer.save(join(directory, 'file', 'tokenizer.json'))).rejects.toThrow(/cannot be saved/)
}))
