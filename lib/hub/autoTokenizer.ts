import type { SpecialTokenNames } from '../text/specialTokens.js'
import { Tokenizer } from '../text/tokenizer.js'
import { type ResolveOptions, resolveModel } from './resolveModel.js'

/**
 * The tokenizer of a directory, or of a model of the Hub: tokenizer.json, or vocab.txt, or vocab.json with merges.txt.
 * @param options overrides of special tokens, and where to look
 * @throws CheckpointError if there is no such model; TokenizerError if it has no tokenizer that is known
 */
async function fromPretrained(nameOrDirectory: string, options: SpecialTokenNames & ResolveOptions = {}): Promise<Tokenizer> {
  const { padToken, bosToken, eosToken, unkToken, maskToken, ...resolve } = options
  const names = Object.entries({ padToken, bosToken, eosToken, unkToken, maskToken }).filter(([, token]) => token !== undefined)
  return Tokenizer.fromFile(await resolveModel(nameOrDirectory, resolve), Object.fromEntries(names))
}

/** Loads tokenizers of any family. */
export const AutoTokenizer = { fromPretrained, from_pretrained: fromPretrained }
