/**
 * White space as the reference implementations of the text metrics see it (Unicode bidirectional classes WS, B, S and category Zs).
 * JavaScript's own `\s` differs in both directions: it lacks the separators U+001C to U+001F and U+0085, and takes the byte order mark
 * U+FEFF for a space.
 */
const space = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const runs = new RegExp(`[${space}]+`)
const longRuns = new RegExp(`[${space}]{2,}`, 'g')
const isSpace = new RegExp(`[${space}]`)

/** The words of a text: what lies between runs of white space; none for an empty or blank text. */
export function splitWords(text: string): string[] {
  return text.split(runs).filter((word) => word !== '')
}

/** The text with single spaces between its words and none around them. */
export function joinWords(text: string): string {
  return splitWords(text).join(' ')
}

/** The text with every run of two or more white space characters made one space; single ones stay what they are. */
export function collapseRuns(text: string): string {
  return text.replace(longRuns, ' ')
}

/** The text without white space at its end. A scan, not a pattern: `\s+$` takes quadratic time on a long run of spaces inside the text. */
export function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && isSpace.test(text[end - 1]!)) end--
  return text.slice(0, end)
}

/** The text without white space at either end. */
export function trim(text: string): string {
  const trimmed = trimEnd(text)
  let start = 0
  while (start < trimmed.length && isSpace.test(trimmed[start]!)) start++
  return trimmed.slice(start)
}
