import type { AlignedText } from './alignedText.js'
import { SplitPreTokenizer } from './huggingFaceLibrary.js'
import type { Fields } from './jsonFields.js'

export type SplitBehavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous'

const behaviors: readonly string[] = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']

/**
 * The global expression for a `pattern` field, `{ String }` or `{ Regex }`. The latter is in Oniguruma's syntax; the library translates it.
 * @throws TokenizerError if the expression cannot be translated
 */
export function readPattern(fields: Fields): RegExp {
  const pattern = fields.object('pattern')
  if (typeof pattern['String'] === 'string') return literal(pattern['String'])
  if (typeof pattern['Regex'] !== 'string') throw fields.error('pattern has neither "String" nor "Regex". Is the file complete?')
  try {
    const split = new SplitPreTokenizer({ type: 'Split', pattern: { Regex: pattern['Regex'] }, behavior: 'Isolated', invert: false })
    return split.pattern
  } catch (cause) {
    throw fields.error(`the expression ${JSON.stringify(pattern['Regex'])} cannot be translated to JavaScript `
      + `(${(cause as Error).message}). `
      + 'Replace it by an equivalent one without the construct that the message names.', { cause })
  }
}

/** A global expression that matches `text` itself. */
export function literal(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'gu')
}

/** @throws TokenizerError for an unknown behaviour */
export function readBehavior(fields: Fields, fallback?: SplitBehavior): SplitBehavior {
  // Older files write "merged_with_previous" and the like.
  const name = fields.string('behavior', fallback).replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())
  if (!behaviors.includes(name)) throw fields.error(`unknown behavior ${JSON.stringify(name)}, expected one of ${behaviors.join(', ')}.`)
  return name as SplitBehavior
}

/** Cuts a text at the matches of a global expression. `invert` exchanges matches and the rest. Empty pieces are dropped. */
export function splitAt(aligned: AlignedText, pattern: RegExp, behavior: SplitBehavior, invert = false): AlignedText[] {
  const { text } = aligned
  // Cuts as [start, end, delimiter?], then merged by behaviour.
  const cuts: [number, number, boolean][] = []
  let last = 0
  for (const match of text.matchAll(pattern)) {
    const end = match.index + match[0].length
    if (end === match.index) continue
    if (match.index > last) cuts.push([last, match.index, invert])
    cuts.push([match.index, end, !invert])
    last = end
  }
  if (last < text.length) cuts.push([last, text.length, invert])
  return merge(cuts, behavior).map(([start, end]) => aligned.slice(start, end))
}

/** The pieces that a global expression matches, without the rest. */
export function matchesOf(aligned: AlignedText, pattern: RegExp): AlignedText[] {
  const pieces: AlignedText[] = []
  for (const match of aligned.text.matchAll(pattern)) pieces.push(aligned.slice(match.index, match.index + match[0].length))
  return pieces
}

function merge(cuts: [number, number, boolean][], behavior: SplitBehavior): [number, number, boolean][] {
  if (behavior === 'Isolated') return cuts
  if (behavior === 'Removed') return cuts.filter(([, , delimiter]) => !delimiter)
  const merged: [number, number, boolean][] = []
  let previous = false
  if (behavior === 'MergedWithNext') {
    for (const [start, end, delimiter] of cuts.reverse()) {
      const next = merged.at(-1)
      if (delimiter && !previous && next) next[0] = start
      else merged.push([start, end, delimiter])
      previous = delimiter
    }
    return merged.reverse()
  }
  for (const [start, end, delimiter] of cuts) {
    const last = merged.at(-1)
    const joins = behavior === 'Contiguous' ? delimiter === previous : delimiter && !previous
    if (joins && last) last[1] = end
    else merged.push([start, end, delimiter])
    previous = delimiter
  }
  return merged
}

