import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { Tokenizer } from '#lib/text/tokenizer.js'

/** Sets of the data: of each a file of English and one of German, as joint BPE of 10,000 merges, which is how they were published. */
export const testSets = { test2016: ['test.2016', 'test_2016_flickr'], test2017: ['test.2017', 'test_2017_flickr'], mscoco: ['test.coco', 'test_2017_mscoco'] } as const
export type TestSet = keyof typeof testSets

function lines(path: string): string[] {
  const text = gunzipSync(readFileSync(path)).toString('utf8')
  return text.replace(/\n$/, '').split('\n')
}

/** English and German lines of `train`, `valid` or a test set, in BPE. */
export function readPairs(directory: string, name: string): { source: string, target: string }[] {
  const [source, target] = ['en', 'de'].map(language => lines(join(directory, 'bpe10k-en-de', `${name}.${language}.gz`))) as [string[], string[]]
  if (source.length !== target.length) throw new Error(`${name}: ${source.length} English and ${target.length} German lines`)
  return source.map((text, i) => ({ source: text, target: target[i]! }))
}

/** The German of a test set as people wrote it: cased, with spaces where they belong. */
export const readRaw = (directory: string, set: TestSet): string[] => lines(join(directory, 'raw', `${testSets[set][1]}.de.gz`))

export const hasMulti30k = (directory: string): boolean => existsSync(join(directory, 'bpe10k-en-de/train.en.gz')) && existsSync(join(directory, 'raw'))

/** One token for each piece of the published BPE that training text has. */
export function pieceTokenizer(texts: Iterable<string>): Tokenizer {
  const special = ['<pad>', '<s>', '</s>', '<unk>'], pieces = new Set<string>()
  for (const text of texts) for (const piece of text.split(' ')) pieces.add(piece)
  const names = { padToken: '<pad>', bosToken: '<s>', eosToken: '</s>', unkToken: '<unk>' }
  return Tokenizer.fromJSON({
    version: '1.0', truncation: null, padding: null, normalizer: null, pre_tokenizer: { type: 'WhitespaceSplit' }, post_processor: null, decoder: null,
    added_tokens: special.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    model: { type: 'WordLevel', unk_token: '<unk>', vocab: Object.fromEntries([...special, ...[...pieces].sort()].map((piece, id) => [piece, id])) },
  }, names)
}

/** Words of BPE pieces. */
export const joined = (text: string): string => `${text} `.replaceAll('@@ ', '').trimEnd()

/** Spaces where they belong in text that Moses' tokenizer took apart, after the rules of its detokenizer for German. */
export function detokenized(text: string): string {
  const plain = text.replaceAll('&quot;', '"').replaceAll('&apos;', "'").replaceAll('&#124;', '|').replaceAll('&lt;', '<').replaceAll('&gt;', '>')
    .replaceAll('&#91;', '[').replaceAll('&#93;', ']').replaceAll('&amp;', '&').replaceAll(' @-@ ', '-')
  let out = '', glued = true, quotes = 0
  for (const token of plain.split(' ')) {
    const quote = token === '"', opens = /^[([{¿¡]+$/.test(token) || (quote && quotes % 2 === 0)
    const closes = /^[,.?!:;\\%}\])]+$/.test(token) || (quote && quotes % 2 === 1)
    if (quote) quotes++
    out += (glued || closes ? '' : ' ') + token
    glued = opens
  }
  return out
}
