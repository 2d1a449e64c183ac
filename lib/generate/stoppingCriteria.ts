import { ConfigError } from '../errors.js'
import { requireOption } from './processors/logitsProcessor.js'

/** What a criterion may know beside the tokens. */
export interface StoppingContext {
  /** Number of the sequence: that of the input times `numReturnSequences`, plus that of the sample; for beams that of the input. */
  readonly sequence: number
  /** How many of the tokens were given, not generated. */
  readonly promptLength: number
}

/** Says whether a text ends with its last token. @param tokens the prompt and what follows it */
export type StoppingCriterion = (tokens: readonly number[], context: StoppingContext) => boolean

/** What generation needs of a tokenizer. */
export interface TextDecoder { decode(ids: number[], options?: { skipSpecialTokens?: boolean }): string }

/**
 * Ends a text with the token that completes one of `strings`, wherever in that token it ends; tokens of the prompt may be part of it, as in transformers.
 * @throws ConfigError without a tokenizer, or for an empty string
 */
export function stopStringCriterion(strings: string | readonly string[], tokenizer: TextDecoder | undefined): StoppingCriterion {
  if (!tokenizer) throw new ConfigError('stopStrings needs the option tokenizer, to know which text the tokens are.')
  const stops = typeof strings === 'string' ? [strings] : strings
  requireOption(Array.isArray(stops) && stops.every(text => typeof text === 'string' && text !== ''), 'stopStrings', 'a text or a list of texts that are not empty', strings)
  // Each token but a special one has a byte at least, each UTF-16 unit three bytes at most.
  const reach = 3 * Math.max(...stops.map(text => text.length)) + 16
  return tokens => {
    const last = tokens.slice(-reach), text = tokenizer.decode(last, { skipSpecialTokens: false })
    if (!stops.some(stop => text.includes(stop))) return false
    // What stood before the last token was looked at when it came, or is the prompt's: only what reaches into that token counts.
    const known = commonLength(text, tokenizer.decode(last.slice(0, -1), { skipSpecialTokens: false }))
    return stops.some(stop => text.lastIndexOf(stop) + stop.length > Math.max(known, stop.length - 1))
  }
}

/** Ends a text when `seconds` have gone by since now. */
export function maxTimeCriterion(seconds: number): StoppingCriterion {
  const end = performance.now() + 1000 * seconds
  return () => performance.now() >= end
}

function commonLength(a: string, b: string): number {
  let n = 0
  while (n < a.length && n < b.length && a[n] === b[n]) n++
  return n
}
