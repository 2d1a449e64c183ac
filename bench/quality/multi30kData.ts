import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** Test sets of the data and the names of their files. */
export const testSets = { test2016: 'test_2016_flickr', test2017: 'test_2017_flickr', mscoco: 'test_2017_mscoco' } as const
export type TestSet = keyof typeof testSets

function lines(path: string): string[] {
  const text = gunzipSync(readFileSync(path)).toString('utf8')
  return text.replace(/\n$/, '').split('\n')
}

/** English and German lines of 'train', 'val' or a test set: lower-cased, and taken apart by Moses' tokenizer. */
export function readPairs(directory: string, name: string): { source: string, target: string }[] {
  const [source, target] = ['en', 'de'].map(language => lines(join(directory, 'tok', `${name}.lc.norm.tok.${language}.gz`))) as [string[], string[]]
  if (source.length !== target.length) throw new Error(`${name}: ${source.length} English and ${target.length} German lines`)
  return source.map((text, i) => ({ source: text, target: target[i]! }))
}

/** The German of a test set as people wrote it: cased, with spaces where they belong. */
export const readRaw = (directory: string, set: TestSet): string[] => lines(join(directory, 'raw', `${testSets[set]}.de.gz`))

export const hasMulti30k = (directory: string): boolean => existsSync(join(directory, 'tok/train.lc.norm.tok.en.gz')) && existsSync(join(directory, 'raw'))

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
