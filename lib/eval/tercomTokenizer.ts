import { separateDotsAndHyphens, separateMarks } from './westernPunctuation.js'
import { splitWords } from './whitespace.js'

export interface TercomOptions {
  /** Undo SGML escapes and split punctuation off. Default false: words are what lies between white space. */
  normalized?: boolean
  /** Remove punctuation. Default false. */
  noPunct?: boolean
  /** With `normalized`, CJK characters stand alone; with `noPunct`, CJK and full-width punctuation goes, too. Default false. */
  asianSupport?: boolean
  /** Default false: everything is lower-cased. */
  caseSensitive?: boolean
}

/**
 * The words that Tercom compares (Normalizer.java of Snover's Tercom 0.7.25, in sacreBLEU's reading of it).
 */
export function tercomWords(text: string, options: TercomOptions): string[] {
  let line = options.caseSensitive ? text : text.toLowerCase()
  if (options.normalized) {
    line = normalize(line)
    if (options.asianSupport) line = separateAsian(line)
  }
  if (options.noPunct) {
    line = line.replace(/[.,?:;!"()]/g, '')
    if (options.asianSupport) line = line.replace(asianPunctuation, '').replace(fullWidthPunctuation, '')
  }
  return splitWords(line)
}

function normalize(text: string): string {
  // Tercom takes the hyphen for the start of the next line, where mteval takes it for the end of this one.
  const plain = text.replaceAll('\n-', '').replaceAll('\n', ' ')
    .replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>')
  // The possessive before the dots: the one in `John's.` stays.
  return separateDotsAndHyphens(separateMarks(` ${plain} `).replaceAll('\'s ', ' \'s '))
}

const asianPunctuation = /[\u3001\u3002\u3008-\u3011\u3014-\u301f\uff61-\uff65\u30fb]/g
const fullWidthPunctuation = /[\uff0e\uff0c\uff1f\uff1a\uff1b\uff01\uff02\uff08\uff09]/g

/**
 * Ideographs with extension A, strokes, radicals, compatibility forms. U+3F22 is the source's slip for U+32FF; what it adds is there
 * already.
 */
const asianCharacter = /[\u4e00-\u9fff\u3400-\u4dbf\u31c0-\u31ef\u2e80-\u2eff\u3300-\u33ff\uf900-\ufaff\ufe30-\ufe4f\u3200-\u3f22]/g

/** The source has rules for kana as well, but they only match a text of nothing but kana, and normalisation has put spaces around it. */
function separateAsian(text: string): string {
  return text.replace(asianCharacter, ' $& ').replace(asianPunctuation, ' $& ').replace(fullWidthPunctuation, ' $& ')
}
