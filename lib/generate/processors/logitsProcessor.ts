import { ConfigError } from '../../errors.js'

/** What a processor may know beside the logits. */
export interface LogitsContext {
  readonly rows: number
  readonly vocabulary: number
  /** How many of a row's previous tokens were given and not generated: one number for all rows, or `[rows]`. */
  readonly promptLength: number | ArrayLike<number>
  /** The encoder's input of each row, `[rows]` lists, with the padding that the caller gave; encoder-decoder models only. */
  readonly sources?: readonly ArrayLike<number>[]
  /** Which sample of the batch each row continues, `[rows]`; the rows of one sample are its beams. Without it each row is a sample. */
  readonly samples?: ArrayLike<number>
  /** Group beam search: what earlier groups of the row's sample have chosen in this very step, `[rows]` lists. */
  readonly chosen?: readonly ArrayLike<number>[]
}

/**
 * Changes next-token logits in place.
 *
 * @param previous the tokens of each row so far, prompt first, without padding: `[rows]` lists, which may differ in length
 * @param logits `[rows * vocabulary]`; minus infinity excludes a token
 */
export type LogitsProcessor = (previous: readonly ArrayLike<number>[], logits: Float32Array, context: LogitsContext) => void

/** The context as one row sees it. */
export interface RowContext {
  readonly row: number, readonly promptLength: number, readonly source: ArrayLike<number> | undefined, readonly chosen: ArrayLike<number>
}

/** A processor of which each row is a matter of its own. `logits` is `[vocabulary]`. */
export function perRow(process: (logits: Float32Array, previous: ArrayLike<number>, context: RowContext) => void): LogitsProcessor {
  return (previous, logits, context) => {
    for (let row = 0; row < context.rows; row++) {
      process(logits.subarray(row * context.vocabulary, (row + 1) * context.vocabulary), previous[row]!, {
        row,
        promptLength: typeof context.promptLength === 'number' ? context.promptLength : context.promptLength[row]!,
        source: context.sources?.[row],
        chosen: context.chosen?.[row] ?? [],
      })
    }
  }
}

/** The different tokens of `ids` that the vocabulary has. Ids from elsewhere must not reach into another row. */
export function tokensOf(ids: ArrayLike<number>, vocabulary: number): Set<number> {
  const tokens = new Set<number>()
  for (let i = 0; i < ids.length; i++) if (ids[i]! >= 0 && ids[i]! < vocabulary) tokens.add(ids[i]!)
  return tokens
}

/** Sets the given tokens to minus infinity. @throws ConfigError for a token that the vocabulary lacks */
export function exclude(logits: Float32Array, tokens: readonly number[], option: string): void {
  for (const token of tokens) {
    requireInVocabulary(token, logits.length, option)
    logits[token] = -Infinity
  }
}

/** Leaves nothing but the given tokens, all equally likely. @throws ConfigError for a token that the vocabulary lacks */
export function force(logits: Float32Array, tokens: readonly number[], option: string): void {
  logits.fill(-Infinity)
  for (const token of tokens) {
    requireInVocabulary(token, logits.length, option)
    logits[token] = 0
  }
}

export function requireInVocabulary(token: number, vocabulary: number, option: string): void {
  if (token >= vocabulary) throw new ConfigError(`${option}: token ${token} is not in the vocabulary of ${vocabulary}. Is it of another tokenizer?`)
}

/** @throws ConfigError that names the option, what it accepts and what came */
export function requireOption(holds: boolean, option: string, accepts: string, value: unknown): void {
  if (!holds) throw new ConfigError(`${option} must be ${accepts}, not ${typeof value === 'number' ? value : JSON.stringify(value) ?? String(value)}.`)
}

export const isToken = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
export const isCount = (value: unknown): value is number => isToken(value)

/** A token or several, checked. @throws ConfigError */
export function tokenList(tokens: number | readonly number[], option: string): readonly number[] {
  const list = typeof tokens === 'number' ? [tokens] : tokens
  requireOption(Array.isArray(list) && list.every(isToken), option, 'a token id or a list of token ids', tokens)
  return list
}
