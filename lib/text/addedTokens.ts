import { TokenizerError } from '../errors.js'
import { AlignedText } from './alignedText.js'
import { describe, isObject, type Json } from './jsonFields.js'
import type { Normalizer } from './normalizers.js'
import { PrefixTree } from './prefixTree.js'
import { wordCharacters } from './preTokenizers.js'

/** A token that is found in the text before the model sees it. Field names as in tokenizer.json. */
export interface AddedToken {
  id: number
  content: string
  /** Only where no word character touches it. */
  single_word: boolean
  /** Takes the white space to its left (right) along. */
  lstrip: boolean
  rstrip: boolean
  /** Is looked for in the normalised text. */
  normalized: boolean
  /** `decode` leaves it out on demand. */
  special: boolean
}

/** @throws TokenizerError if the entry is not an added token */
export function readAddedToken(entry: unknown, index: number): AddedToken {
  const { id, content } = isObject(entry) ? entry : {} as Json
  if (typeof content !== 'string' || typeof id !== 'number' || !Number.isInteger(id) || id < 0) {
    throw new TokenizerError(`tokenizer.json: entry ${index} of added_tokens is ${describe(entry)} with id ${describe(id)} and `
      + `content ${describe(content)}, `
      + 'expected a whole number from 0 and a string. Is the file complete? Save it again from the tokenizer that made it.')
  }
  const flag = (name: string, fallback: boolean): boolean => {
    const value = (entry as Json)[name]
    return typeof value === 'boolean' ? value : fallback
  }
  const special = flag('special', false)
  return {
    id, content, single_word: flag('single_word', false), lstrip: flag('lstrip', false), rstrip: flag('rstrip', false),
    normalized: flag('normalized', !special), special,
  }
}

/** A piece of text, and the added token that it is, if it is one. */
export interface Section { text: AlignedText, added: AddedToken | undefined }

/**
 * Finds added tokens, the longest at the leftmost place, first those of the raw text, then in the normalised rest those of normalised text.
 * @returns sections that are normalised unless they are added tokens
 */
export function sectionizer(tokens: readonly AddedToken[], normalize: Normalizer): (text: AlignedText) => Section[] {
  const used = tokens.filter(token => token.content !== '')
  const raw = finder(used.filter(token => !token.normalized).map(token => [token.content, token]))
  const normalized = finder(used.filter(token => token.normalized).map(token => [normalize(AlignedText.of(token.content)).text, token]))
  return text => raw(text).flatMap(section => section.added ? [section] : normalized(normalize(section.text)))
}

const endsWithWord = new RegExp(`[${wordCharacters}]$`, 'u')
const startsWithWord = new RegExp(`^[${wordCharacters}]`, 'u')

function finder(patterns: [string, AddedToken][]): (text: AlignedText) => Section[] {
  const tree = new PrefixTree()
  const firstUnits = new Set<number>()
  patterns.forEach(([pattern], i) => {
    if (pattern === '') return
    tree.insert(pattern, i)
    firstUnits.add(pattern.charCodeAt(0))
  })
  return aligned => {
    const { text } = aligned
    const sections: Section[] = []
    let done = 0
    for (let i = 0; i < text.length;) {
      let stop = -1, found = -1
      if (firstUnits.has(text.charCodeAt(i))) tree.prefixes(text, i, (value, end) => { found = value; stop = end })
      if (found < 0) {
        i++
        continue
      }
      const token = (patterns[found] as [string, AddedToken])[1]
      let start = i
      i = stop
      const insideWord = endsWithWord.test(text.slice(Math.max(0, start - 2), start)) || startsWithWord.test(text.slice(stop, stop + 2))
      if (token.single_word && insideWord) continue
      if (token.lstrip) while (start > done && isSpace(text, start - 1)) start--
      if (token.rstrip) while (stop < text.length && isSpace(text, stop)) stop++
      if (start > done) sections.push({ text: aligned.slice(done, start), added: undefined })
      sections.push({ text: aligned.slice(start, stop), added: token })
      done = stop
      i = Math.max(i, stop)
    }
    if (done === 0) return text === '' ? [] : [{ text: aligned, added: undefined }]
    if (done < text.length) sections.push({ text: aligned.slice(done, text.length), added: undefined })
    return sections
  }
}

function isSpace(text: string, at: number): boolean {
  return /\p{White_Space}/u.test(text.charAt(at))
}
