import type { AlignedText } from './alignedText.js'

export type NormalizationForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

/**
 * Unicode normalisation that keeps track of characters. The engine's `normalize` gives the same text but not the places, so the algorithm
 * (Unicode Standard Annex #15: decompose, order marks by combining class, compose) runs here, with the engine as its table of characters.
 */
export function normalizeUnicode(aligned: AlignedText, form: NormalizationForm): AlignedText {
  const { text } = aligned
  if (isAscii(text) || text.normalize(form) === text) return aligned
  const decomposed = decompose(text, form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD')
  const { characters, changes } = form === 'NFC' || form === 'NFKC' ? compose(decomposed) : decomposed
  return aligned.rewritten(characters, changes)
}

export function isAscii(text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(text)
}

/** Characters, and for each how it came about (see AlignedText.rewritten). */
interface Rewrite { characters: string[], changes: number[] }

function decompose(text: string, form: 'NFD' | 'NFKD'): Rewrite {
  const characters: string[] = [], changes: number[] = []
  for (const source of text) {
    if (source < '\u00a0') {   // most text: decomposes to itself, and is a starter
      characters.push(source)
      changes.push(0)
      continue
    }
    let change = 0
    for (const character of source.normalize(form)) {
      let at = characters.length
      if (!isStarter(character)) {
        while (at > 0 && !isStarter(characters[at - 1] as string) && classAbove(characters[at - 1] as string, character)) at--
      }
      characters.splice(at, 0, character)
      changes.splice(at, 0, change)
      change = 1
    }
  }
  return { characters, changes }
}

function compose(input: Rewrite): Rewrite {
  const characters: string[] = [], changes: number[] = []
  let base = -1
  let marksFrom = -1   // where the marks that did not combine with the base begin
  input.characters.forEach((character, i) => {
    const change = input.changes[i] as number
    const starter = isStarter(character)
    const last = marksFrom >= 0 ? characters.at(-1) as string : undefined
    const blocked = last !== undefined && (starter || !classAbove(character, last))
    if (base >= 0 && !blocked) {
      const composite = composed(characters[base] as string, character)
      if (composite !== undefined) {
        characters[base] = composite
        changes[base] = (changes[base] as number) + change - 1
        return
      }
    }
    if (starter) {
      base = characters.length
      marksFrom = -1
    } else if (base >= 0 && marksFrom < 0) marksFrom = characters.length
    characters.push(character)
    changes.push(change)
  })
  return { characters, changes }
}

const starters = new Map<string, boolean>()

/** Has combining class 0. Every other class but 240 (U+0345, its only member) is ordered before U+0345. */
function isStarter(character: string): boolean {
  if (character < '\u0300') return true
  let known = starters.get(character)
  if (known === undefined) {
    const probe = 'a\u0345' + character
    known = character !== '\u0345' && (!/^\p{M}$/u.test(character) || probe.normalize('NFD') === probe)
    starters.set(character, known)
  }
  return known
}

const classOrder = new Map<string, boolean>()

/** Whether the combining class of mark `a` is above that of mark `b`: canonical ordering then exchanges them. */
function classAbove(a: string, b: string): boolean {
  if (a === b) return false
  const key = a + b
  let known = classOrder.get(key)
  if (known === undefined) classOrder.set(key, known = ('a' + key).normalize('NFD') === 'a' + b + a)
  return known
}

const composites = new Map<string, string | undefined>()
const pairLimit = 100_000

function composed(a: string, b: string): string | undefined {
  const key = a + b
  if (composites.has(key)) return composites.get(key)
  const result = key.normalize('NFC')
  const single = String.fromCodePoint(result.codePointAt(0) as number).length === result.length ? result : undefined
  if (composites.size >= pairLimit) composites.clear()
  composites.set(key, single)
  return single
}
