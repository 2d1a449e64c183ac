import { describe, expect, test } from '@jest/globals'
import { AlignedText } from '#lib/text/alignedText.js'
import { decoder } from '#lib/text/decoders.js'
import { normalizer } from '#lib/text/normalizers.js'
import { preTokenizer } from '#lib/text/preTokenizers.js'
import { Tokenizer } from '#lib/text/index.js'

// Expected values are those of Hugging Face `tokenizers` 0.23.3.

const normalized = (config: unknown, text: string): [string, string][] => {
  const result = normalizer(config)(AlignedText.of(text))
  let unit = 0
  return [...result.text].map(character => {
    const span = result.span(unit, unit += character.length)
    return [character, text.slice(...span)]
  })
}
const split = (config: unknown, text: string): string[] => preTokenizer(config)(AlignedText.of(text)).map(piece => piece.text)

describe('normalisation keeps track of characters', () => {
  test('a composed character stands where its base stood, marks in canonical order keep theirs', () => {
    expect(normalized({ type: 'NFC' }, 'e\u0301x')).toEqual([['é', 'e'], ['x', 'x']])
    expect(normalized({ type: 'NFD' }, 'éx')).toEqual([['e', 'é'], ['\u0301', 'é'], ['x', 'x']])
    expect(normalized({ type: 'NFD' }, 'a\u0301\u0323').map(([character]) => character)).toEqual(['a', '\u0323', '\u0301'])
    expect(normalized({ type: 'NFKC' }, 'ﬁ½')).toEqual([['f', 'ﬁ'], ['i', 'ﬁ'], ['1', '½'], ['⁄', '½'], ['2', '½']])
    expect(normalized({ type: 'NFC' }, '\u1100\u1161\u11a8')).toEqual([['각', '\u1100']])
  })

  test('gives the text that the engine gives', () => {
    for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD'] as const) {
      for (const text of ['a\u0315\u0300\u05ae\u0301b', 'e\u0323\u0302e\u0302\u0323', '\u0345\u0301', 'ẛ̣', '𝅗𝅥', '각\u11a8', '\u0958', 'Å\u2126', 'ﷺ', '오늘é']) {
        expect(normalizer({ type: form })(AlignedText.of(text)).text).toBe(text.normalize(form))
      }
    }
  })

  test('lowering is without context, and İ becomes two characters at one place', () => {
    expect(normalized({ type: 'Lowercase' }, 'ΑΣİ')).toEqual([['α', 'Α'], ['σ', 'Σ'], ['i', 'İ'], ['\u0307', 'İ']])
  })

  test('BERT cleans, spaces out Chinese characters, strips accents and lowers', () => {
    expect(normalizer({ type: 'BertNormalizer' })(AlignedText.of('É\u200b\u0000\t漢x')).text).toBe('e  漢 x')
  })

  test('replacement, stripping and prefix', () => {
    const steps = [{ type: 'Strip', strip_left: true, strip_right: true }, { type: 'Replace', pattern: { Regex: '\\s+' }, content: '_' }, { type: 'Prepend', prepend: '>' }]
    expect(normalized({ type: 'Sequence', normalizers: steps }, '  a \n b ')).toEqual([['>', 'a'], ['a', 'a'], ['_', ' '], ['b', 'b']])
  })
})

describe('pre-tokenizers', () => {
  test.each([
    ['Removed', ['ab', 'cd']], ['Isolated', ['ab', '-', '-', 'cd', '-']], ['MergedWithPrevious', ['ab-', '-', 'cd-']],
    ['MergedWithNext', ['ab', '-', '-cd', '-']], ['Contiguous', ['ab', '--', 'cd', '-']],
  ])('Split, %s', (behavior, pieces) => {
    expect(split({ type: 'Split', pattern: { String: '-' }, behavior, invert: false }, 'ab--cd-')).toEqual(pieces)
  })

  test('Metaspace marks words by the space before them', () => {
    const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }
    expect(split(metaspace, 'two  words')).toEqual(['▁two', '▁', '▁words'])
    expect(split({ ...metaspace, prepend_scheme: 'never' }, 'two words')).toEqual(['two', '▁words'])
    expect(split({ ...metaspace, split: false }, 'two words')).toEqual(['▁two▁words'])
  })

  test('Whitespace, Digits, Punctuation and FixedLength know Unicode', () => {
    expect(split({ type: 'Whitespace' }, 'naïve—오늘 x_1!?')).toEqual(['naïve', '—', '오늘', 'x_1', '!?'])
    expect(split({ type: 'Digits', individual_digits: true }, 'a12٣')).toEqual(['a', '1', '2', '٣'])
    expect(split({ type: 'Digits', individual_digits: false }, 'a12٣b')).toEqual(['a', '12٣', 'b'])
    expect(split({ type: 'Punctuation' }, 'a$。b')).toEqual(['a', '$', '。', 'b'])
    expect(split({ type: 'FixedLength', length: 2 }, '👍ab')).toEqual(['👍a', 'b'])
  })

  test('byte-level words of GPT-2, and expressions of Oniguruma', () => {
    expect(split({ type: 'ByteLevel', add_prefix_space: true }, 'don\'t  é')).toEqual(['Ġdon', '\'t', 'Ġ', 'ĠÃ©'])
    expect(split({ type: 'Split', pattern: { Regex: '(?i:\'s)|\\p{L}+|\\p{N}{1,3}' }, behavior: 'Removed', invert: true }, 'it\'S 1234')).toEqual(['it', '\'S', '123', '4'])
  })
})

describe('decoders', () => {
  test('WordPiece tidies up, Metaspace drops the space it put, bytes join to characters', () => {
    expect(decoder({ type: 'WordPiece', prefix: '##', cleanup: true })(['he', '##llo', ',', 'wor', '##ld', '!']).join('')).toBe('hello, world!')
    expect(decoder({ type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' })(['▁a', '▁b']).join('')).toBe('a b')
    expect(decoder({ type: 'Metaspace', replacement: '▁', prepend_scheme: 'never' })(['▁a', '▁b']).join('')).toBe(' a b')
    expect(decoder({ type: 'ByteFallback' })(['<0xC3>', '<0xA9>', 'x', '<0xC3>'])).toEqual(['é', 'x', '\ufffd'])
    expect(decoder({ type: 'BPEDecoder', suffix: '</w>' })(['a</w>', 'b</w>']).join('')).toBe('a b')
    expect(decoder({ type: 'CTC', pad_token: '_', word_delimiter_token: '|', cleanup: true })(['a', 'a', '_', 'a', '|', 'b']).join('')).toBe('aa b')
    expect(decoder(null)(['a', 'b']).join('')).toBe('a b')
  })
})

describe('added tokens', () => {
  const added = (content: string, id: number, flags: object): object => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...flags })
  const tokenizer = Tokenizer.fromJSON({
    added_tokens: [added('<mask>', 4, { lstrip: true }), added('ing', 5, { single_word: true }), added('hell', 6, { normalized: true, special: false }), added('hello', 7, { normalized: true, special: false })],
    normalizer: { type: 'Lowercase' }, pre_tokenizer: { type: 'Whitespace' }, post_processor: null, decoder: null,
    model: { type: 'WordLevel', vocab: { '<unk>': 0, a: 1, sing: 2, b: 3 }, unk_token: '<unk>' },
  })

  test('are found before the model, the longest at the leftmost place, with the space they take along', () => {
    const { tokens, offsets, ids } = tokenizer.encode('a <mask> HELLO b')
    expect(ids).toEqual([1, 4, 7, 3])
    expect(tokens).toEqual(['a', ' <mask>', 'hello', 'b'])
    expect(offsets).toEqual([[0, 1], [1, 8], [9, 14], [15, 16]])
  })

  test('that are single words are not found inside others', () => {
    expect(tokenizer.encode('sing ing').ids).toEqual([2, 5])
  })
})

describe('models', () => {
  const wrapped = (model: object, extra: object = {}): Tokenizer => Tokenizer.fromJSON({ added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, model, ...extra })

  test('BPE merges by rank from the left, fuses unknown characters and falls back to bytes', () => {
    const vocab = { '<unk>': 0, a: 1, b: 2, ab: 3, ba: 4, aba: 5 }
    const bpe = { type: 'BPE', vocab, merges: ['b a', ['a', 'b'], ['ab', 'a']], unk_token: '<unk>' }
    expect(wrapped(bpe).encode('abab').tokens).toEqual(['a', 'ba', 'b'])
    expect(wrapped(bpe).encode('aézb').ids).toEqual([1, 0, 0, 2])
    expect(wrapped({ ...bpe, fuse_unk: true }).encode('aézb').offsets).toEqual([[0, 1], [1, 3], [3, 4]])
    const bytes = { ...vocab, '<0xC3>': 6, '<0xA9>': 7 }
    expect(wrapped({ ...bpe, vocab: bytes, byte_fallback: true }).encode('aéb').offsets).toEqual([[0, 1], [1, 2], [1, 2], [2, 3]])
    expect(wrapped({ ...bpe, ignore_merges: true }).encode('aba').tokens).toEqual(['aba'])
  })

  test('a long text without a pre-tokenizer takes time in proportion', () => {
    const tokenizer = wrapped({ type: 'BPE', vocab: { a: 0, aa: 1, aaaa: 2 }, merges: [['a', 'a'], ['aa', 'aa']] })
    const { ids } = tokenizer.encode('a'.repeat(200_000))
    expect(ids).toHaveLength(50_000)
  })

  test('unigram takes the most probable segmentation and joins unknown characters', () => {
    const tokenizer = wrapped({ type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ['a', -1], ['b', -1], ['ab', -1.5], ['abb', -3.2]] })
    expect(tokenizer.encode('abb').tokens).toEqual(['ab', 'b'])
    const { ids, tokens } = tokenizer.encode('aéèb')
    expect([ids, tokens]).toEqual([[1, 0, 2], ['a', 'éè', 'b']])
  })

  test('WordPiece takes the longest piece, and a word with a rest is unknown', () => {
    const tokenizer = wrapped({ type: 'WordPiece', unk_token: '[UNK]', vocab: { '[UNK]': 0, un: 1, '##aff': 2, '##able': 3 }, max_input_chars_per_word: 10 }, { pre_tokenizer: { type: 'WhitespaceSplit' } })
    expect(tokenizer.encode('unaffable unaffx unaffaffaffaff').ids).toEqual([1, 2, 3, 0, 0])
  })

  test('words without a place, where there is no unknown token, are an error', () => {
    expect(() => wrapped({ type: 'WordLevel', vocab: { a: 0 } }).encode('b')).toThrow(/not in the vocabulary/)
    expect(() => wrapped({ type: 'Unigram', vocab: [['a', -1]] }).encode('b')).toThrow(/unk_id is null/)
  })
})
