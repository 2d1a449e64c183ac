import { separateDotsAndHyphens, separateMarks } from './westernPunctuation.js'
import { joinWords, trim } from './whitespace.js'

/** sacreBLEU's tokenizers that need no model: `13a` (mteval-v13a, the default of WMT), `intl` (mteval-v14), `zh`, `char`, and `none`. */
export type BleuTokenizer = '13a' | 'intl' | 'zh' | 'char' | 'none'

/** Each tokenizer gives the text with white space between its tokens. */
export const bleuTokenizers: Readonly<Record<BleuTokenizer, (text: string) => string>> = {
  '13a': mteval13a, intl: mteval14, zh: chinese, char: (text) => Array.from(text).join(' '), none: (text) => text,
}

/** NIST's mteval-v13a.pl: undoes SGML escapes and splits punctuation off. */
function mteval13a(text: string): string {
  const plain = text.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ')
    .replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>')
  // The spaces let the patterns that need a neighbour match at both ends.
  return splitWesternPunctuation(` ${plain} `)
}

function splitWesternPunctuation(text: string): string {
  return joinWords(separateDotsAndHyphens(separateMarks(text)))
}

/**
 * mteval-v14.pl with --international-tokenization: Unicode punctuation beside anything that is no number, and every symbol.
 * A dot that ends the text after a number stays with it, as it does there.
 */
function mteval14(text: string): string {
  return joinWords(text
    .replace(/(\P{N})(\p{P})/gu, '$1 $2 ')
    .replace(/(\p{P})(\P{N})/gu, ' $1 $2')
    .replace(/\p{S}/gu, ' $& '))
}

/**
 * The characters that the `zh` tokenizer sets apart. Its source means to have CJK extension B and the compatibility supplement, too, but
 * writes them as four digits and a fifth character. By its comparison of strings that became U+2001 to U+2A6D, general punctuation and
 * symbols among them; scores are only comparable with the same set.
 */
const chineseCharacter = new RegExp('[' + [
  '\\u3400-\\u4db5', '\\u4e00-\\u9fbb', // unified ideographs with extension A
  '\\uf900-\\ufa2d\\ufa30-\\ufa6a\\ufa70-\\ufad9', // compatibility ideographs
  '\\u2001-\\u2a6d', // see above
  '\\uff00-\\uffef', '\\u2e80-\\u2eff', '\\u3000-\\u303f', '\\u31c0-\\u31ef', // full-width forms, radicals, punctuation, strokes
  '\\u2f00-\\u2fdf', '\\u2ff0-\\u2fff', '\\u3100-\\u312f', '\\u31a0-\\u31bf', // Kangxi radicals, descriptions, bopomofo
  '\\ufe10-\\ufe1f', '\\ufe30-\\ufe4f', '\\u3200-\\u33ff', // vertical and compatibility forms, enclosed and squared
].join('') + ']', 'g')

function chinese(text: string): string {
  return splitWesternPunctuation(trim(text).replace(chineseCharacter, ' $& '))
}
