/** Sets of code points: ranges in their order, both ends included, that do not touch. */
export type CodePoints = readonly (readonly [from: number, to: number])[]

/** What texts there may be, as a tree: one character out of a set, one part after the other, one of several, or repeated. */
export type Language =
  | { readonly kind: 'character', readonly of: CodePoints }
  | { readonly kind: 'sequence', readonly parts: readonly Language[] }
  | { readonly kind: 'choice', readonly options: readonly Language[] }
  | { readonly kind: 'repetition', readonly of: Language, readonly least: number, readonly most: number }

export const lastCodePoint = 0x10FFFF
/** Every character; halves of surrogate pairs are none. */
export const everyCharacter: CodePoints = [[0, 0xD7FF], [0xE000, lastCodePoint]]

export const character = (of: CodePoints): Language => ({ kind: 'character', of: intersection(of, everyCharacter) })
export const sequence = (...parts: readonly Language[]): Language => parts.length === 1 ? parts[0]! : { kind: 'sequence', parts }
export const choice = (...options: readonly Language[]): Language => options.length === 1 ? options[0]! : { kind: 'choice', options }
export const repetition = (of: Language, least: number, most = Infinity): Language => ({ kind: 'repetition', of, least, most })
export const optional = (of: Language): Language => repetition(of, 0, 1)
export const literal = (text: string): Language => sequence(...Array.from(text, c => character([[c.codePointAt(0)!, c.codePointAt(0)!]])))
/** The empty text, and no text at all. */
export const emptyText: Language = { kind: 'sequence', parts: [] }
export const noText: Language = { kind: 'choice', options: [] }

export function union(...sets: readonly CodePoints[]): CodePoints {
  const joined: [number, number][] = []
  for (const [from, to] of sets.flat().sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1)
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else joined.push([from, to])
  }
  return joined
}

export function complement(set: CodePoints): CodePoints {
  const rest: [number, number][] = []
  let next = 0
  for (const [from, to] of set) {
    if (from > next) rest.push([next, from - 1])
    next = to + 1
  }
  if (next <= lastCodePoint) rest.push([next, lastCodePoint])
  return rest
}

export const intersection = (a: CodePoints, b: CodePoints): CodePoints => complement(union(complement(a), complement(b)))
export const difference = (a: CodePoints, b: CodePoints): CodePoints => intersection(a, complement(b))
