import { Linear } from '../nn/layers.js'
import type { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import { embeddingOf } from './softPrompt.js'

// The output layer of a tied language model is no module: the embedding's weight is used twice. Where an adapter trains either as a copy, the two part.

interface TiedModel extends Module { lm_head: Linear | undefined, readonly config: { tie_word_embeddings: boolean }, readonly decoder: Module }

const isTied = (model: Module): model is TiedModel => 'lm_head' in model && model.lm_head === undefined && (model as TiedModel).config.tie_word_embeddings

/** Gives a tied model an output layer, which has the weight of the embedding. @returns what takes it away again; undefined for models that have their own, or none */
export function installOutput(model: Module): (() => void) | undefined {
  if (!isTied(model)) return undefined
  const { count, width, weight } = embeddingOf(model.decoder)
  model.lm_head = new Linear(width, count, { bias: false, weight })
  return () => { model.lm_head = undefined }
}

/** Lets output and embedding of a tied model go apart: the output keeps the values. @returns whether the model is of a kind that can */
export function untieOutput(model: Module): boolean {
  if (!isTied(model)) return false
  const { count, width, weight } = embeddingOf(model.decoder)
  model.lm_head = new Linear(width, count, { bias: false, weight: new Parameter([count, width], (weight.dataSync() as Float32Array).slice()) })
  sayUntied(model)
  return true
}

/** config.json says so from now on. */
export const sayUntied = (model: Module): void => { (model as TiedModel).config.tie_word_embeddings = false }
