import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { Encoder, EncoderInputs } from '#lib/models/encoder.js'
import type { EncoderClassifier, EncoderModel, ExtractiveAnswering } from '#lib/models/encoderModel.js'
import { pretrainedClasses } from '#lib/models/registry.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { tensor } from '#lib/tensor/create.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { ids, type Run, shifted } from './adapter.js'
import type { Case } from './case.js'

/** An input of the case in its own dtype. */
function input(c: Case, name: string): Tensor {
  const { shape, data, dtype } = c.inputs.get(name)!
  return dtype.startsWith('F') ? tensor(Float32Array.from(data), shape) : ids(c, name)
}

const optional = (c: Case, name: string): Tensor | undefined => c.inputs.has(name) ? input(c, name) : undefined
const inputsOf = (c: Case): EncoderInputs => ({ attentionMask: optional(c, 'attention_mask'), tokenTypeIds: optional(c, 'token_type_ids'), positionIds: optional(c, 'position_ids') })

/** `make` where the case has the labels that it needs. */
const given = (c: Case, names: readonly string[], make: () => Tensor): Record<string, Tensor> => names.every(name => c.inputs.has(name)) ? { loss: make() } : {}

const layers: Run<Encoder & { pooler?: unknown, pool?(x: Tensor): Tensor }> = (c, model) => {
  const last_hidden_state = model.forward(ids(c, 'input_ids'), inputsOf(c))
  return { last_hidden_state, ...(model.pooler ? { pooler_output: model.pool!(last_hidden_state) } : {}) }
}

const classifier: Run<EncoderClassifier> = (c, model) => ({
  logits: model.forward(ids(c, 'input_ids'), inputsOf(c)),
  ...given(c, ['labels'], () => model.loss({ ids: ids(c, 'input_ids'), labels: input(c, 'labels'), ...inputsOf(c) })),
})

const causal: Run<CausalLanguageModel> = (c, model) => {
  const logits = model.forward(ids(c, 'input_ids'), inputsOf(c))
  return { logits, ...given(c, ['labels'], () => crossEntropy(logits, shifted(c))) }
}

const answering: Run<ExtractiveAnswering> = (c, model) => {
  const { startLogits, endLogits } = model.forward(ids(c, 'input_ids'), inputsOf(c)), positions = ['start_positions', 'end_positions']
  return {
    start_logits: startLogits, end_logits: endLogits,
    ...given(c, positions, () => model.loss({ ids: ids(c, 'input_ids'), startPositions: ids(c, 'start_positions'), endPositions: ids(c, 'end_positions'), ...inputsOf(c) })),
  }
}

interface Pretraining extends EncoderModel {
  forward(ids: Tensor, inputs: EncoderInputs): Record<string, Tensor>
  loss(batch: object): Tensor
}

/** Words and sentences: `second` is the label of the latter, and logits are named in snake case. */
const pretraining = (second: string): Run<Pretraining> => (c, model) => ({
  ...Object.fromEntries(Object.entries(model.forward(ids(c, 'input_ids'), inputsOf(c))).map(([name, logits]) => [name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`), logits])),
  ...given(c, ['labels', second], () => model.loss({
    ids: ids(c, 'input_ids'), labels: ids(c, 'labels'), [second.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())]: ids(c, second), ...inputsOf(c),
  })),
})

const families = ['bert', 'roberta', 'xlm-roberta', 'distilbert', 'albert', 'electra']
const runs: Readonly<Record<string, Run<never>>> = {
  'base': layers, 'causal-lm': causal, 'question-answering': answering, 'masked-lm': classifier, 'sequence-classification': classifier, 'token-classification': classifier,
  'multiple-choice': classifier, 'next-sentence-prediction': classifier,
}

export const encoderModels: Readonly<Record<string, Run<never>>> = {
  ...Object.fromEntries(pretrainedClasses.filter(({ modelType, task }) => families.includes(modelType) && runs[task]).map(({ architecture, task }) => [architecture, runs[task]!])),
  BertForPreTraining: pretraining('next_sentence_label'), AlbertForPreTraining: pretraining('sentence_order_label'), ElectraForPreTraining: classifier,
}
