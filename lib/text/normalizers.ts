import { TokenizerError } from '../errors.js'
import type { AlignedText } from './alignedText.js'
import { toByteLevel } from './byteLevel.js'
import { Fields } from './jsonFields.js'
import { readPattern } from './patterns.js'
import { precompiledNormalizer } from './precompiledNormalizer.js'
import { isAscii, normalizeUnicode } from './unicodeNormalization.js'

export type Normalizer = (text: AlignedText) => AlignedText

/**
 * The `normalizer` of a tokenizer.json as a function.
 * @throws TokenizerError for an unknown type or a field that is not what it must be
 */
export function normalizer(config: unknown): Normalizer {
  if (config === null || config === undefined) return text => text
  const fields = new Fields(config, 'normalizer')
  switch (fields.type) {
    case 'Sequence': return chain(fields.list('normalizers').map(normalizer))
    case 'NFC': case 'NFD': case 'NFKC': case 'NFKD': {
      const form = fields.type
      return text => normalizeUnicode(text, form)
    }
    case 'Lowercase': return lowercased
    case 'StripAccents': return text => isAscii(text.text) ? text : text.filtered(character => !/\p{M}/u.test(character))
    case 'Strip': return strip(fields.boolean('strip_left', true), fields.boolean('strip_right', true))
    case 'Replace': {
      const pattern = readPattern(fields), content = fields.string('content')
      return text => text.replaced(pattern, content)
    }
    case 'Prepend': {
      const content = fields.string('prepend')
      return text => text.prepended(content)
    }
    case 'BertNormalizer': return bert(fields)
    case 'ByteLevel': return toByteLevel
    case 'Nmt': return nmt
    case 'Precompiled': return precompiledNormalizer(fields)
    default: throw new TokenizerError(`tokenizer.json: unknown normalizer ${JSON.stringify(fields.type)}. Known are Sequence, NFC, `
      + 'NFD, NFKC, NFKD, '
      + 'Lowercase, StripAccents, Strip, Replace, Prepend, BertNormalizer, ByteLevel, Nmt, Precompiled.')
  }
}

function chain(steps: Normalizer[]): Normalizer {
  return text => steps.reduce((current, step) => step(current), text)
}

function strip(left: boolean, right: boolean): Normalizer {
  return aligned => {
    const { text } = aligned
    const from = left ? (/^\p{White_Space}*/u.exec(text)?.[0].length ?? 0) : 0
    const to = right ? text.length - (/\p{White_Space}*$/u.exec(text)?.[0].length ?? 0) : text.length
    return aligned.slice(from, Math.max(from, to))
  }
}

/** Lowers character by character, without context (the final sigma of a word becomes σ), as the reference does. */
function lowercased(aligned: AlignedText): AlignedText {
  const { text } = aligned
  if (isAscii(text)) return aligned.relabelled(text.toLowerCase())
  if (!changesCase.test(text)) return aligned
  // Without İ (which becomes two characters) and the like, every character keeps its length.
  const whole = text.toLowerCase()
  if (whole.length === text.length && !text.includes('\u03a3')) return aligned.relabelled(whole)
  const characters: string[] = [], changes: number[] = []
  for (const source of text) {
    let change = 0
    for (const character of source.toLowerCase()) {
      characters.push(character)
      changes.push(change)
      change = 1
    }
  }
  return aligned.rewritten(characters, changes)
}

const changesCase = /\p{Changes_When_Lowercased}/u

/** BERT's basic tokenizer (Devlin et al. 2018): clean, space out Chinese characters, strip accents, lower. */
function bert(fields: Fields): Normalizer {
  const lower = fields.boolean('lowercase', true)
  const steps: Normalizer[] = []
  if (fields.boolean('clean_text', true)) steps.push(cleaned)
  if (fields.boolean('handle_chinese_chars', true)) steps.push(spacedChinese)
  if (fields.boolean('strip_accents', lower)) steps.push(accentsStripped)
  if (lower) steps.push(lowercased)
  return chain(steps)
}

const removedByCleaning = /[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/u

function cleaned(aligned: AlignedText): AlignedText {
  const kept = !removedByCleaning.test(aligned.text) ? aligned : aligned.filtered(character => !removedByCleaning.test(character))
  return kept.relabelled(kept.text.replace(/\p{White_Space}/gu, ' '))
}

/** The blocks that BERT's own code names, with its gap before U+2B920. */
const chinese = /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/u

function spacedChinese(aligned: AlignedText): AlignedText {
  if (!chinese.test(aligned.text)) return aligned
  const characters: string[] = [], changes: number[] = []
  for (const character of aligned.text) {
    if (chinese.test(character)) {
      characters.push(' ', character, ' ')
      changes.push(0, 1, 1)
    } else {
      characters.push(character)
      changes.push(0)
    }
  }
  return aligned.rewritten(characters, changes)
}

const accent = /\p{Mn}/u

function accentsStripped(aligned: AlignedText): AlignedText {
  if (isAscii(aligned.text)) return aligned
  const decomposed = normalizeUnicode(aligned, 'NFD')
  return accent.test(decomposed.text) ? decomposed.filtered(character => character < '\u0300' || !accent.test(character)) : decomposed
}

/** SentencePiece's `nmt` rules: control characters go, odd spaces become spaces. */
function nmt(aligned: AlignedText): AlignedText {
  // eslint-disable-next-line no-control-regex
  const kept = aligned.filtered(character => !/[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/.test(character))
  // eslint-disable-next-line no-control-regex
  return kept.relabelled(kept.text.replace(/[\u0009\u000a\u000c\u000d\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, ' '))
}
