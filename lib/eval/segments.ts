import { ConfigError, DataError } from '../errors.js'

/**
 * References as sacreBLEU takes them: a list of streams, each as long as the hypotheses; `references[r][i]` is the r-th reference of
 * hypothesis `i`. A `null` says that this hypothesis has fewer references than others; an empty string is a reference that is empty.
 */
export type ReferenceStreams = readonly (readonly (string | null)[])[]

/** A hypothesis with the references that it has. */
export interface Segment { readonly hypothesis: string; readonly references: readonly string[] }

/**
 * Brings hypotheses and reference streams together, segment by segment.
 * @param metric the metric's name, for messages
 * @throws DataError if there are no hypotheses or references, a stream has another length, something is no string, or a segment has no
 * reference
 */
export function segmentsOf(metric: string, hypotheses: readonly string[], references: ReferenceStreams): Segment[] {
  checkTexts(metric, 'hypotheses', hypotheses)
  if (!Array.isArray(references) || references.length === 0) {
    throw new DataError(`${metric}: expected a list of reference streams, each with ${hypotheses.length} texts, got ` +
      `${Array.isArray(references) ? 'an empty list' : typeof references}`)
  }
  references.forEach((stream: unknown, r) => {
    if (!Array.isArray(stream)) {
      throw new DataError(`${metric}: references[${r}] is ${typeof stream}, expected a stream of ${hypotheses.length} texts; ` +
        'a single list of references is passed as [references]')
    }
    if (stream.length !== hypotheses.length) {
      throw new DataError(`${metric}: references[${r}] has ${stream.length} texts, expected ${hypotheses.length}, one for each hypothesis`)
    }
  })
  return hypotheses.map((hypothesis, i) => {
    const own: string[] = []
    references.forEach((stream, r) => {
      const text = (stream as readonly unknown[])[i]
      if (typeof text === 'string') own.push(text)
      else if (text !== null) throw new DataError(`${metric}: references[${r}][${i}] is ${typeof text}, expected a string or null`)
    })
    if (own.length === 0) throw new DataError(`${metric}: hypothesis ${i} has no reference, expected at least one that is not null`)
    return { hypothesis, references: own }
  })
}

/**
 * Checks a list of texts.
 * @throws DataError if it is empty or holds anything but strings
 */
export function checkTexts(metric: string, name: string, texts: readonly string[]): void {
  if (!Array.isArray(texts)) throw new DataError(`${metric}: ${name} is ${typeof texts}, expected a list of strings`)
  if (texts.length === 0) throw new DataError(`${metric}: ${name} is empty, expected at least one text`)
  texts.forEach((text: unknown, i) => {
    if (typeof text === 'string') return
    throw new DataError(`${metric}: ${name}[${i}] is ${text === null ? 'null' : typeof text}, expected a string`)
  })
}

/**
 * Checks two lists that belong together, element by element.
 * @throws DataError if they are empty or differ in length
 */
export function checkPairs(metric: string, aName: string, a: ArrayLike<unknown>, bName: string, b: ArrayLike<unknown>): void {
  if (a.length !== b.length) {
    throw new DataError(`${metric}: ${a.length} ${aName} and ${b.length} ${bName}, expected as many of one as of the other`)
  }
  if (a.length === 0) throw new DataError(`${metric}: ${aName} and ${bName} are empty, expected at least one pair`)
}

/**
 * Checks a count among a metric's options.
 * @throws ConfigError if `value` is no integer, or is below `least`
 */
export function checkCount(metric: string, name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return
  throw new ConfigError(`${metric}: ${name} is ${value}, expected an integer of at least ${least}`)
}

/**
 * A signature in sacreBLEU's format (Post 2018, https://arxiv.org/abs/1804.08771): all that one must know to compute the same score again.
 * The version is that of the sacreBLEU release whose scores these are.
 */
export function signatureOf(segments: readonly Segment[], settings: Readonly<Record<string, string | number>>): string {
  const counts = new Set(segments.map((segment) => segment.references.length))
  const references = counts.size === 1 ? [...counts][0]! : 'var'
  const all = { nrefs: references, ...settings, version: '2.6.0' }
  return Object.entries(all).map(([name, value]) => `${name}:${value}`).join('|')
}
