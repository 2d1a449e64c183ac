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
 * Ends a text as soon as it holds one of `strings` outside of the prompt.
 * @throws ConfigError without a tokenizer, or for an empty string
 */
export function stopStringCriterion(strings: readonly string[], tokenizer: TextDecoder | undefined): StoppingCriterion {
  if (!tokenizer) throw new ConfigError('stopStrings needs the option tokenizer, to know which text the tokens are.')
  requireOption(strings.every(text => typeof text === 'string' && text !== ''), 'stopStrings', 'a list of texts that are not empty', strings)
  // Earlier tokens were looked at when they came. Each token but a special one has a byte at least, each UTF-16 unit three bytes at most.
  const reach = 3 * Math.max(...strings.map(text => text.length)) + 16
  return (tokens, { promptLength }) => {
    const text = tokenizer.decode(tokens.slice(Math.max(promptLength, tokens.length - reach)), { skipSpecialTokens: false })
    return strings.some(stop => text.includes(stop))
  }
}
