import { ConfigError } from '../../errors.js'
import {
  exclude, isToken, perRow, requireInVocabulary, requireOption, tokenList, type LogitsProcessor, type RowContext,
} from './logitsProcessor.js'

/** Which tokens and sequences are wanted, not wanted, or alone allowed. All equal transformers 5.23. */

/** A sequence of tokens, and what is added to its last one's logit where the others stand before it. */
export type SequenceBias = readonly [sequence: readonly number[], bias: number]

/** Adds a bias to the token that would complete a sequence; a sequence of one token always gets it. Of a sequence given twice the last counts. */
export function sequenceBias(biases: readonly SequenceBias[]): LogitsProcessor {
  requireOption(Array.isArray(biases) && biases.every(isBias), 'sequenceBias', 'a list of [list of token ids, number]', biases)
  const bySequence = [...new Map(biases.map(entry => [entry[0].join(' '), entry])).values()]
  return perRow((logits, previous) => {
    for (const [sequence, bias] of bySequence) {
      for (const token of sequence) requireInVocabulary(token, logits.length, 'sequenceBias')
      if (completes(previous, sequence)) logits[sequence.at(-1)!] = logits[sequence.at(-1)!]! + bias
    }
  })
}

/** Excludes the token that would complete one of the words. A word that is nothing but an end token is passed over. */
export function badWords(words: readonly (readonly number[])[], endTokens: readonly number[] = []): LogitsProcessor {
  requireOption(Array.isArray(words) && words.every(isSequence), 'badWordsIds', 'a list of lists of token ids', words)
  const forbidden = words.filter(word => word.length > 1 || !endTokens.includes(word[0]!))
  return perRow((logits, previous) => {
    for (const word of forbidden) {
      for (const token of word) requireInVocabulary(token, logits.length, 'badWordsIds')
      if (completes(previous, word)) logits[word.at(-1)!] = -Infinity
    }
  })
}

/** Excludes tokens. */
export function suppressTokens(tokens: readonly number[]): LogitsProcessor {
  const suppressed = tokenList(tokens, 'suppressTokens')
  return perRow(logits => exclude(logits, suppressed, 'suppressTokens'))
}

/** Excludes tokens from the first place after the prompt; after the forced one where the first token is forced. */
export function suppressTokensAtBegin(tokens: readonly number[], firstIsForced = false): LogitsProcessor {
  const suppressed = tokenList(tokens, 'beginSuppressTokens')
  return perRow((logits, previous, { promptLength }) => {
    const begin = firstIsForced && promptLength <= 1 ? promptLength + 1 : promptLength
    if (previous.length === begin) exclude(logits, suppressed, 'beginSuppressTokens')
  })
}

/** The tokens that may follow: `sample` is the number of the sample in the batch, `previous` the row's tokens so far. */
export type AllowedTokens = (sample: number, previous: ArrayLike<number>) => Iterable<number>

/**
 * Leaves the allowed tokens alone. Where the other processors have excluded all that is allowed to each beam of a sample, the constraint
 * wins over them: the allowed tokens of that sample become equally likely.
 */
export function prefixConstrained(allowedTokens: AllowedTokens): LogitsProcessor {
  requireOption(typeof allowedTokens === 'function', 'prefixAllowedTokens', 'a function', typeof allowedTokens)
  return (previous, logits, context) => {
    const sampleOf = (row: number) => context.samples?.[row] ?? row
    const allowedOf: ReadonlySet<number>[] = []
    const satisfiable = new Set<number>()
    perRow((row, ids, { row: at }: RowContext) => {
      const allowed = new Set(allowedTokens(sampleOf(at), ids))
      if (allowed.size === 0) {
        throw new ConfigError(`prefixAllowedTokens allowed no token for sample ${sampleOf(at)}. Return at least one, an end token where all is said.`)
      }
      for (const token of allowed) {
        requireOption(isToken(token), 'what prefixAllowedTokens returns', 'token ids', token)
        requireInVocabulary(token, row.length, 'prefixAllowedTokens')
        if (row[token] !== -Infinity) satisfiable.add(sampleOf(at))
      }
      allowedOf.push(allowed)
    })(previous, logits, context)
    perRow((row, _, { row: at }: RowContext) => {
      const wins = !satisfiable.has(sampleOf(at))
      for (let token = 0; token < row.length; token++) {
        if (!allowedOf[at]!.has(token)) row[token] = -Infinity
        else if (wins) row[token] = 0
      }
    })(previous, logits, context)
  }
}

function completes(previous: ArrayLike<number>, sequence: readonly number[]): boolean {
  const from = previous.length - (sequence.length - 1)
  if (from < 0) return false
  for (let i = 0; i < sequence.length - 1; i++) if (previous[from + i] !== sequence[i]) return false
  return true
}

const isSequence = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isToken)
const isBias = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 2 && isSequence(value[0]) && typeof value[1] === 'number' && !Number.isNaN(value[1])
