import { exclude, force, isCount, perRow, requireInVocabulary, requireOption, tokenList, type LogitsProcessor } from './logitsProcessor.js'

/** When a text may end, must end, and how it begins. All equal transformers 5.23. */

/** No end token before the row, prompt included, has `least` tokens. */
export function minLength(least: number, endTokens: number | readonly number[]): LogitsProcessor {
  requireOption(isCount(least), 'minLength', 'a whole number >= 0', least)
  const ends = tokenList(endTokens, 'eosTokenId')
  return perRow((logits, previous) => {
    if (previous.length < least) exclude(logits, ends, 'eosTokenId')
  })
}

/** No end token before `least` tokens are generated. */
export function minNewTokens(least: number, endTokens: number | readonly number[]): LogitsProcessor {
  requireOption(isCount(least), 'minNewTokens', 'a whole number >= 0', least)
  const ends = tokenList(endTokens, 'eosTokenId')
  return perRow((logits, previous, { promptLength }) => {
    if (previous.length - promptLength < least) exclude(logits, ends, 'eosTokenId')
  })
}

/** The given token follows the decoder's start token (multilingual translation: the target language). */
export function forcedBos(token: number): LogitsProcessor {
  const tokens = tokenList(token, 'forcedBosTokenId')
  return perRow((logits, previous) => {
    if (previous.length === 1) force(logits, tokens, 'forcedBosTokenId')
  })
}

/** The last token that fits is an end token: the row has `maxLength` tokens then, prompt included, or `maxNewTokens` beside the prompt. */
export function forcedEos(endTokens: number | readonly number[], limit: { maxLength: number } | { maxNewTokens: number }): LogitsProcessor {
  const ends = tokenList(endTokens, 'forcedEosTokenId')
  const [option, most] = Object.entries(limit)[0] as [string, number]
  requireOption(isCount(most) && most > 0, option, 'a whole number > 0', most)
  return perRow((logits, previous, { promptLength }) => {
    if (previous.length === most - 1 + ('maxLength' in limit ? 0 : promptLength)) force(logits, ends, 'forcedEosTokenId')
  })
}

/** From `start` generated tokens on, the end tokens gain `|logit| * (factor^n - 1)` with n the tokens since. */
export function exponentialDecayLengthPenalty(penalty: readonly [start: number, factor: number], endTokens: number | readonly number[]): LogitsProcessor {
  const [start, factor] = penalty
  const holds = isCount(start) && Number.isFinite(factor) && factor > 0
  requireOption(holds, 'exponentialDecayLengthPenalty', '[a whole number >= 0, a number > 0]', penalty)
  const ends = tokenList(endTokens, 'eosTokenId')
  return perRow((logits, previous, { promptLength }) => {
    const since = previous.length - promptLength - start
    if (since <= 0) return
    for (const token of ends) {
      requireInVocabulary(token, logits.length, 'eosTokenId')
      const logit = logits[token]!
      if (Number.isFinite(logit)) logits[token] = logit + Math.abs(logit) * (factor ** since - 1)
    }
  })
}
