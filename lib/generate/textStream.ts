import { DataError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import { generateStream } from './generateStream.js'
import { generationDefaults } from './generationConfig.js'
import type { GenerationOptions } from './options.js'
import type { TextDecoder } from './stoppingCriteria.js'

/** What generating text needs of a tokenizer. */
export interface TextTokenizer extends TextDecoder {
  encode(text: string, options?: { addSpecialTokens?: boolean }): { ids: number[] }
  readonly bosId: number | undefined
  readonly eosId: number | undefined
  readonly padId: number | undefined
}

/**
 * Generates text that follows `prompt` (or, with an encoder, answers it), and yields it as it becomes certain: pieces that join to the whole and never split a
 * character. Stopping early, or the option `signal`, ends the generation.
 * @param prompt a text, or ids
 * @throws DataError for a prompt without tokens, and as `generate` does
 */
export async function* textStream(
  model: GenerativeModel, tokenizer: TextTokenizer, prompt: string | readonly number[], options: GenerationOptions = {},
): AsyncGenerator<string, void, undefined> {
  for await (const { text } of generateStream(model, promptIds(tokenizer, prompt), { ...specialTokens(model, tokenizer), ...options, tokenizer })) if (text) yield text
}

/** The tokens that a prompt begins with. An empty one is the tokenizer's bos. @throws DataError if there is none */
export function promptIds(tokenizer: TextTokenizer, prompt: string | readonly number[]): number[] {
  const ids = typeof prompt === 'string' ? tokenizer.encode(prompt).ids : [...prompt], begin = tokenizer.bosId ?? tokenizer.eosId
  if (ids.length > 0) return ids
  if (begin === undefined) throw new DataError('the prompt is empty, and the tokenizer has no token that begins a text. Give some text.')
  return [begin]
}

/** The tokenizer's special tokens, where the model's defaults name none. */
export function specialTokens(model: GenerativeModel, { bosId, eosId, padId }: TextTokenizer): GenerationOptions {
  const known = generationDefaults(model)
  return {
    ...(known.bosTokenId === undefined && bosId !== undefined ? { bosTokenId: bosId } : {}), ...(known.eosTokenId === undefined && eosId !== undefined ? { eosTokenId: eosId } : {}),
    ...(known.padTokenId === undefined && padId !== undefined ? { padTokenId: padId } : {}),
  }
}
