import { ConfigError, DataError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import { generate } from './generate.js'
import { defined } from './generationConfig.js'
import type { GenerationOptions } from './options.js'
import { requireOption } from './processors/logitsProcessor.js'
import type { TextDecoder } from './stoppingCriteria.js'

/** What translating needs of a tokenizer. */
export interface TranslationTokenizer extends TextDecoder {
  encode(text: string): { ids: number[] }
  readonly bosId: number | undefined
  readonly eosId: number | undefined
  readonly padId: number | undefined
}

/** Options of `generate`, and: */
export interface TranslationOptions extends Omit<GenerationOptions, 'numReturnSequences' | 'tokenizer' | 'onStep' | 'onToken' | 'logprobs' | 'outputScores' | 'outputLogits'> {
  /** Default 4. */
  numBeams?: number | undefined
  /** Most tokens of a translation, start token included. Default: 50 more than the longest source of its batch (Vaswani et al. 2017, section 6.1). */
  maxLength?: number | undefined
  /** How many translations `translations` returns of each text, the best first; at most numBeams. Default 1. */
  nBest?: number | undefined
  /** Most source tokens of a batch, padding included. Default 2048. */
  batchTokens?: number | undefined
  /** Whether sources end with the end token, as in training. Default true. */
  sourceEos?: boolean | undefined
  /** A text longer than the model has positions: 'error' (default), or 'truncate', which drops what is behind. */
  policy?: 'error' | 'truncate' | undefined
  /** Called after each batch. */
  onProgress?: ((progress: { done: number, total: number }) => void) | undefined
  /** What messages call a text, by its index. Default `text 1`, `text 2`, … */
  nameOf?: ((index: number) => string) | undefined
}

export interface Translation {
  text: string
  /** Sum of the log-probabilities of its tokens / length ^ lengthPenalty. */
  score: number
}

/**
 * Translates texts, in batches of similar length. An empty text has an empty translation.
 * @returns the best translation of each, in the order of `texts`
 * @throws DataError for a text that is too long   @throws ConfigError, AbortedError as `generate`
 */
export async function translate(
  model: GenerativeModel, tokenizer: TranslationTokenizer, texts: readonly string[], options: TranslationOptions = {},
): Promise<string[]> {
  return (await translations(model, tokenizer, texts, options)).map(([best]) => best!.text)
}

/** As `translate`. @returns the `nBest` translations of each text with their scores, best first, in the order of `texts` */
export async function translations(
  model: GenerativeModel, tokenizer: TranslationTokenizer, texts: readonly string[], options: TranslationOptions = {},
): Promise<Translation[][]> {
  if (!model.isEncoderDecoder) throw new ConfigError('translate is for models with an encoder; this one has none. Use generate with a prompt.')
  const { nBest = 1, batchTokens = 2048, sourceEos = true, policy = 'error', onProgress, nameOf = i => `text ${i + 1}`, ...generation } = options
  requireOption(Number.isInteger(nBest) && nBest > 0, 'nBest', 'a whole number > 0', nBest)
  requireOption(batchTokens > 0, 'batchTokens', 'a number > 0', batchTokens)
  requireOption(['error', 'truncate'].includes(policy), 'policy', "'error' or 'truncate'", policy)
  const { bosId, eosId, padId } = tokenizer
  const settings = {
    numBeams: 4, bosTokenId: bosId, eosTokenId: eosId, padTokenId: padId, ...defined(generation),
    numReturnSequences: nBest, logprobs: true, tokenizer,
  } satisfies GenerationOptions
  const end = sourceEos ? eosId : undefined
  if (sourceEos && end === undefined) {
    throw new ConfigError('translate: the tokenizer has no end token. Name one when loading it, or say sourceEos: false if sources end without.')
  }

  const results = texts.map((): Translation[] => Array.from({ length: nBest }, () => ({ text: '', score: 0 })))
  const sources = texts.map((text, i) => text.trim() === '' ? [] : encoded(tokenizer, text, () => nameOf(i), end, model.maxPositions, policy))
  // The longest first: what does not fit into memory shows at once.
  const order = [...sources.keys()].filter(i => sources[i]!.length > 0).sort((a, b) => sources[b]!.length - sources[a]!.length || a - b)
  let done = texts.length - order.length
  for (let at = 0; at < order.length;) {
    const width = sources[order[at]!]!.length, batch = order.slice(at, at + Math.max(1, Math.floor(batchTokens / width)))
    at += batch.length
    const found = await generate(model, batch.map(i => sources[i]!), { ...settings, ...lengthLimit(settings, width, model.maxPositions) })
    batch.forEach((i, row) => {
      results[i] = Array.from({ length: nBest }, (_, n) => {
        const tokens = found.newTokens[row * nBest + n]!
        const score = found.sequencesScores?.[row * nBest + n] ?? scoreOf(found.logprobs![row * nBest + n]!, settings)
        return { text: tokenizer.decode(tokens), score }
      })
    })
    done += batch.length
    onProgress?.({ done, total: texts.length })
  }
  return results
}

function encoded(
  tokenizer: TranslationTokenizer, text: string, name: () => string, end: number | undefined, most: number, policy: 'error' | 'truncate',
): number[] {
  const { ids } = tokenizer.encode(text)
  const body = end !== undefined && ids.at(-1) === end ? ids.slice(0, -1) : ids
  const room = most - (end === undefined ? 0 : 1)
  if (body.length > room && policy === 'error') {
    throw new DataError(`${name()} has ${body.length} tokens, the model has positions for ${room}. `
      + "Split it into sentences, or cut it with policy: 'truncate'.")
  }
  return [...body.slice(0, room), ...(end === undefined ? [] : [end])]
}

function lengthLimit({ maxLength, maxNewTokens }: GenerationOptions, width: number, maxPositions: number): GenerationOptions {
  return maxLength === undefined && maxNewTokens === undefined ? { maxLength: Math.min(width + 50, maxPositions) } : {}
}

function scoreOf(logprobs: readonly number[], { lengthPenalty = 1 }: GenerationOptions): number {
  return logprobs.reduce((sum, value) => sum + value, 0) / logprobs.length ** lengthPenalty
}
