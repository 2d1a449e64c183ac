import { ConfigError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import { context, withContext } from '../tensor/scope.js'
import { prepareGeneration, streamedTokens } from './generate.js'
import { GrowingTexts } from './growingTexts.js'
import type { GenerationInputs, TokenRows } from './inputs.js'
import type { GenerationOptions } from './options.js'
import type { StreamedToken } from './streamedTokens.js'

/**
 * Generates as `generate` does, and yields each token as soon as it is chosen. Stopping early (`break`, `return()`) ends the generation
 * and frees its caches.
 * @throws ConfigError for beams, which are not certain before their end, and as `generate` does
 */
export function generateStream(
  model: GenerativeModel, inputs: GenerationInputs | TokenRows, options: GenerationOptions = {},
): AsyncGenerator<StreamedToken, void, undefined> {
  // A generator runs in the context of whoever takes its values; the precision is that of the call.
  const { precision } = context()
  return stream(model, () => withContext({ precision }, () => prepareGeneration(model, inputs, options)))
}

async function* stream(model: GenerativeModel, prepare: () => ReturnType<typeof prepareGeneration>): AsyncGenerator<StreamedToken, void, undefined> {
  const { prompt, plan } = await prepare()
  if (plan.numBeams > 1) throw new ConfigError('generateStream: beams are not certain before their end. Use generate, or numBeams: 1.')
  yield* streamedTokens(model, prompt, plan, new GrowingTexts(prompt, plan))
}
