import { pretrainedClasses } from '#lib/models/registry.js'
import { Transformer } from '#lib/models/transformer.js'
import type { Module } from '#lib/nn/module.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import type { Run } from './adapter.js'
import type { Case } from './case.js'
import { causalModels } from './causalModels.js'
import { encoderDecoderModels } from './encoderDecoderModels.js'
import { encoderModels } from './encoderModels.js'

const runs: Readonly<Record<string, Run<never>>> = { ...causalModels, ...encoderDecoderModels, ...encoderModels }

/** A model with a case's weights. */
export interface Subject {
  model: Module
  /** The outputs by name, and `loss`. */
  run(): Record<string, Tensor>
  /** The model's name of a weight that the case names. */
  nameOf(name: string): string
}

/** @throws Error for a class that no model here stands for */
export function subjectOf(c: Case): Subject {
  const run = runs[c.class]
  if (!run) throw new Error(`class ${c.class} is not known; known are ${Object.keys(runs).join(', ')}`)
  const { model, nameOf } = created(c)
  model.loadStateDict(new Map([...c.weights].flatMap(([name, values]) => nameOf(name) === undefined ? [] : [[nameOf(name)!, values]])))
  return { model, run: () => run(c, model as never), nameOf: name => nameOf(name) ?? name }
}

function created(c: Case): { model: Module, nameOf: (name: string) => string | undefined } {
  if (c.class === 'torch.nn.Transformer') return { model: torchTransformer(c.config as Record<string, never>), nameOf: name => name }
  const known = pretrainedClasses.find(({ architecture }) => architecture === c.class)
  if (!known) throw new Error(`class ${c.class} is not in the registry`)
  const { architectures, model_type, ...config } = c.config
  const model = known.create(config)
  return { model, nameOf: name => known.nameOf(name, model) }
}

/** The paper's model as torch.nn has it, described by keys of the cases' own. */
const torchTransformer = (k: Record<string, never>): Transformer => new Transformer({
  vocabSize: k['vocab_size'], dModel: k['d_model'], heads: k['nhead'], encoderLayers: k['num_encoder_layers'], decoderLayers: k['num_decoder_layers'],
  feedForward: k['dim_feedforward'], dropout: 0, activation: k['activation'], normFirst: k['norm_first'], finalNorm: true, tied: k['tied'], padId: k['pad_token_id'],
  bosId: k['bos_token_id'],
})
