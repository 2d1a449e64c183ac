import type { Span } from './alignedText.js'

/** What `encode` returns: parallel lists, one entry a token. */
export interface Encoding {
  ids: number[]
  tokens: string[]
  /** Where the token stands in its text, in UTF-16 units, fit for `text.slice(start, end)`. [0, 0] for what a template or padding added. */
  offsets: Span[]
  /** 0 for padding, else 1. */
  attentionMask: number[]
  /** 0 for the first text, 1 for its pair, unless the template says otherwise. */
  typeIds: number[]
  /** 1 for tokens that a template or padding added. */
  specialTokensMask: number[]
}

/** The encoding of one text, with the text that its offsets point into. */
export interface TextEncoding extends Encoding { text: string }

/** `count` times one token that is not in the text. */
export function insertedTokens(id: number, token: string, typeId: number, attention: 0 | 1, count = 1): TextEncoding {
  const list = <T>(value: T): T[] => new Array<T>(count).fill(value)
  return {
    ids: list(id), tokens: list(token), offsets: Array.from({ length: count }, (): Span => [0, 0]),
    attentionMask: list(attention), typeIds: list(typeId), specialTokensMask: list(1), text: '',
  }
}

export function joined(parts: readonly Encoding[]): Encoding {
  if (parts.length === 1) {
    const { ids, tokens, offsets, attentionMask, typeIds, specialTokensMask } = parts[0] as Encoding
    return { ids, tokens, offsets, attentionMask, typeIds, specialTokensMask }
  }
  const gather = <T>(list: (part: Encoding) => T[]): T[] => ([] as T[]).concat(...parts.map(list))
  return {
    ids: gather(part => part.ids), tokens: gather(part => part.tokens), offsets: gather(part => part.offsets),
    attentionMask: gather(part => part.attentionMask), typeIds: gather(part => part.typeIds),
    specialTokensMask: gather(part => part.specialTokensMask),
  }
}

export function sliceEncoding(encoding: TextEncoding, from: number, to: number): TextEncoding {
  return {
    ids: encoding.ids.slice(from, to), tokens: encoding.tokens.slice(from, to), offsets: encoding.offsets.slice(from, to),
    attentionMask: encoding.attentionMask.slice(from, to), typeIds: encoding.typeIds.slice(from, to),
    specialTokensMask: encoding.specialTokensMask.slice(from, to), text: encoding.text,
  }
}
