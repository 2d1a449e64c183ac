import { TokenizerError } from '../errors.js'
import type { AlignedText } from './alignedText.js'
import { toByteLevel } from './byteLevel.js'
import { Fields } from './jsonFields.js'
import { literal, matchesOf, readBehavior, readPattern, splitAt } from './patterns.js'

/** Cuts one piece into smaller ones; a model never joins across a cut. */
export type PreTokenizer = (text: AlignedText) => AlignedText[]

/**
 * The `pre_tokenizer` of a tokenizer.json as a function.
 * @throws TokenizerError for an unknown type or a field that is not what it must be
 */
export function preTokenizer(config: unknown): PreTokenizer {
  if (config === null || config === undefined) return text => [text]
  const fields = new Fields(config, 'pre_tokenizer')
  switch (fields.type) {
    case 'Sequence': return chain(fields.list('pretokenizers').map(preTokenizer))
    case 'ByteLevel': return byteLevel(fields.boolean('add_prefix_space', true), fields.boolean('use_regex', true))
    case 'Metaspace': return metaspace(fields)
    case 'Whitespace': return text => matchesOf(text, wordsAndSymbols)
    case 'WhitespaceSplit': return text => matchesOf(text, /\P{White_Space}+/gu)
    case 'BertPreTokenizer': return text => matchesOf(text, bertWords)
    case 'Punctuation': {
      const behavior = readBehavior(fields, 'Isolated')
      return text => splitAt(text, punctuation, behavior)
    }
    case 'Digits': {
      const behavior = fields.boolean('individual_digits', false) ? 'Isolated' : 'Contiguous'
      return text => splitAt(text, /\p{N}/gu, behavior)
    }
    case 'CharDelimiterSplit': {
      const pattern = literal(fields.string('delimiter'))
      return text => splitAt(text, pattern, 'Removed')
    }
    case 'Split': {
      const pattern = readPattern(fields), behavior = readBehavior(fields), invert = fields.boolean('invert', false)
      return text => splitAt(text, pattern, behavior, invert)
    }
    case 'FixedLength': {
      const length = fields.number('length')
      if (!Number.isInteger(length) || length < 1) throw fields.error(`length is ${length}, expected a whole number above 0.`)
      const pattern = new RegExp(`[^]{1,${length}}`, 'gu')
      return text => matchesOf(text, pattern)
    }
    default: throw new TokenizerError(`tokenizer.json: unknown pre_tokenizer ${JSON.stringify(fields.type)}. Known are Sequence, `
      + 'ByteLevel, Metaspace, '
      + 'Whitespace, WhitespaceSplit, BertPreTokenizer, Punctuation, Digits, CharDelimiterSplit, Split, FixedLength.')
  }
}

function chain(steps: PreTokenizer[]): PreTokenizer {
  return text => steps.reduce((pieces, step) => pieces.flatMap(step).filter(piece => piece.text !== ''), [text])
}

/** \w of Unicode Technical Standard #18, annex C, as the reference's engine has it. */
export const wordCharacters = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}'
const wordsAndSymbols = new RegExp(`[${wordCharacters}]+|[^${wordCharacters}\\p{White_Space}]+`, 'gu')

/** Unicode punctuation and the ASCII symbols that BERT counts as such. */
const punctuation = /[\p{P}$+<=>^`|~]/gu
const bertWords = /[\p{P}$+<=>^`|~]|[^\p{P}$+<=>^`|~\p{White_Space}]+/gu

/** The expression of GPT-2 (Radford et al. 2019), with the reference's notion of white space. */
const gpt2Words = new RegExp('\'s|\'t|\'re|\'ve|\'m|\'ll|\'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+'
  + '|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+', 'gu')

function byteLevel(addPrefixSpace: boolean, useRegex: boolean): PreTokenizer {
  return aligned => {
    const text = addPrefixSpace && !aligned.text.startsWith(' ') ? aligned.prepended(' ') : aligned
    return (useRegex ? matchesOf(text, gpt2Words) : [text]).map(toByteLevel)
  }
}

/** Spaces become ▁, which opens the word that follows (Kudo and Richardson 2018). */
function metaspace(fields: Fields): PreTokenizer {
  const replacement = fields.string('replacement', '▁')
  const legacyPrefix = fields.boolean('add_prefix_space', true)
  const scheme = fields.string('prepend_scheme', legacyPrefix ? 'always' : 'never')
  if (!['always', 'first', 'never'].includes(scheme)) {
    throw fields.error(`prepend_scheme is ${JSON.stringify(scheme)}, expected "always", "first" or "never".`)
  }
  const split = fields.boolean('split', true)
  const boundary = literal(replacement)
  return aligned => {
    let text = aligned.replaced(/ /g, replacement)
    const prepends = scheme === 'always' || (scheme === 'first' && aligned.origin === 0)
    if (prepends && !text.text.startsWith(replacement)) text = text.prepended(replacement)
    return split ? splitAt(text, boundary, 'MergedWithNext') : [text]
  }
}
