import { AlignedText } from './alignedText.js'
import type { Fields } from './jsonFields.js'

/**
 * SentencePiece's compiled normalisation rules: a double-array trie (darts-clone) from UTF-8 sequences to places in a block of NUL-terminated
 * UTF-8 strings, in base64: `uint32 trieBytes, trie, strings`. As in the reference, a grapheme of up to five bytes is looked up whole, and
 * then character by character.
 * @throws TokenizerError if the rules are cut short
 */
export function precompiledNormalizer(fields: Fields): (text: AlignedText) => AlignedText {
  const bytes = Buffer.from(fields.string('precompiled_charsmap', ''), 'base64')
  if (bytes.length === 0) return text => text
  const trieBytes = bytes.length >= 4 ? bytes.readUInt32LE(0) : Infinity
  if (trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length) {
    throw fields.error('precompiled_charsmap is cut short. Convert the SentencePiece model again.')
  }
  const trie = new Uint32Array(trieBytes / 4)
  for (let i = 0; i < trie.length; i++) trie[i] = bytes.readUInt32LE(4 + 4 * i)
  const strings = bytes.subarray(4 + trieBytes)
  const known = new Map<string, string | undefined>()

  const replacement = (text: string): string | undefined => {
    if (known.has(text)) return known.get(text)
    const place = shortestPrefix(trie, Buffer.from(text))
    const value = place === undefined ? undefined : strings.toString('utf8', place, strings.indexOf(0, place) >>> 0)
    known.set(text, value)
    return value
  }

  return aligned => {
    const characters: string[] = [], changes: number[] = []
    const replace = (old: string, text: string): void => {
      const next = [...text], difference = next.length - [...old].length
      next.forEach((character, i) => {
        characters.push(character)
        changes.push(i >= next.length - difference ? 1 : 0)
      })
      if (difference < 0 && changes.length > 0) changes[changes.length - 1] = (changes.at(-1) as number) + difference
    }
    for (const grapheme of graphemes(aligned.text)) {
      const whole = Buffer.byteLength(grapheme) < 6 ? replacement(grapheme) : undefined
      if (whole !== undefined) {
        replace(grapheme, whole)
        continue
      }
      for (const character of grapheme) {
        const single = replacement(character)
        if (single !== undefined) replace(character, single)
        else {
          characters.push(character)
          changes.push(0)
        }
      }
    }
    return aligned.rewritten(characters, changes)
  }
}

const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' })

function* graphemes(text: string): Iterable<string> {
  // Printable ASCII followed by ASCII is its own grapheme; the segmenter is slow.
  if (/^[\x20-\x7e]*$/.test(text)) yield* text
  else for (const { segment } of segmenter.segment(text)) yield segment
}

/** Value of the shortest key that is a prefix of `key`. Unit layout: darts-clone, `DoubleArrayUnit`. */
function shortestPrefix(trie: Uint32Array, key: Uint8Array): number | undefined {
  const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6)
  let node = offset(trie[0] ?? 0)
  for (const byte of key) {
    if (byte === 0) return undefined
    node ^= byte
    const unit = trie[node]
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined
    node ^= offset(unit)
    if (unit & 0x100) return (trie[node] ?? 0) & 0x7fffffff
  }
  return undefined
}
