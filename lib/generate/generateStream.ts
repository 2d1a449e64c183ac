import { ConfigError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import { context, withContext } from '../tensor/scope.js'
import { StreamingDecoder } from '../text/streamingDecoder.js'
import { generatedTokens, prepareGeneration } from './generate.js'
import { GrowingTexts, type GeneratedToken } from './growingTexts.js'
import type { GenerationInputs, TokenRows } from './inputs.js'
import type { GenerationOptions } from './options.js'
import type { TextDecoder } from './stoppingCriteria.js'

export interface StreamedToken extends GeneratedToken {
  /** With `tokenizer`: the text that this token makes certain, often ''. Joined, they are what follows the prompt's text. */
  readonly text?: string
}

/**
 * Generates as `generate` does, and yields each token as soon as it is chosen. Stopping early (`break`, `return()`) ends the generation
 * and frees its caches.
 * @throws ConfigError for beams, which are not certain before their end, and as `generate` does
 */
export function generateStream(
  model: GenerativeModel, inputs: GenerationInputs | TokenRows, options: GenerationOptions = {},
): AsyncGenerator<StreamedToken, void, undefined> {
  if ((options.numBeams ?? 1) > 1) throw new ConfigError('generateStream: beams are not certain before their end. Use generate, or numBeams: 1.')
  // A generator runs in the context of whoever takes its values; the precision is that of the call.
  const { precision } = context()
  return stream(model, () => withContext({ precision }, () => prepareGeneration(model, inputs, options)), options.tokenizer)
}

async function* stream(
  model: GenerativeModel, prepare: () => ReturnType<typeof prepareGeneration>, tokenizer: TextDecoder | undefined,
): AsyncGenerator<StreamedToken, void, undefined> {
  const { prompt, plan } = await prepare()
  const texts = new GrowingTexts(prompt, plan)
  const decoders = tokenizer && texts.tokens.map(text => {
    const decoder = new StreamingDecoder(ids => tokenizer.decode(ids))
    if (!model.isEncoderDecoder) decoder.push(...text)   // spacing may depend on the tokens before
    return decoder
  })
  for await (const tokens of generatedTokens(model, prompt, plan, texts)) {
    for (const token of tokens) {
      const decoder = decoders?.[token.sequence]
      yield decoder ? { ...token, text: decoder.push(token.token) + (token.last ? decoder.flush() : '') } : token
    }
  }
}
