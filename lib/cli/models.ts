import { CheckpointError, ConfigError } from '../errors.js'
import { Transformer } from '../models/transformer.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { loadModel } from '../hub/modelDirectory.js'
import { resolveModel } from '../hub/resolveModel.js'

/** A model directory that can translate. @throws CheckpointError, ConfigError with what is missing */
export async function translationModel(directory: string): Promise<{ model: Transformer, tokenizer: Tokenizer }> {
  const { model, tokenizer } = await loadModel(directory)
  if (!(model instanceof Transformer)) {
    throw new ConfigError(`${directory} holds a ${model.constructor.name}, which does not translate; expected a Transformer, as \`warpweft train\` writes it.`)
  }
  if (!tokenizer) throw new CheckpointError(`${directory} has no tokenizer.json. Put the one that the model was trained with beside its config.json.`)
  return { model, tokenizer }
}

/** A model that can generate text: of a directory, or of the Hub by its id. @throws CheckpointError, ConfigError with what is missing */
export async function generativeModel(name: string): Promise<{ model: GenerativeModel, tokenizer: Tokenizer }> {
  const directory = await resolveModel(name), { model, tokenizer } = await loadModel(directory)
  if (!('prepare' in model && 'decode' in model)) {
    throw new ConfigError(`${directory} holds a ${model.constructor.name}, which does not generate text; expected a causal language model, or one with encoder and decoder.`)
  }
  if (!tokenizer) throw new CheckpointError(`${directory} has no tokenizer.json. Put the one that the model was trained with beside its config.json.`)
  return { model: model as unknown as GenerativeModel, tokenizer }
}
