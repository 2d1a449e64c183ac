import type { BartModel } from '#lib/models/bart.js'
import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { EncoderDecoder, ReadingOptions, Seq2SeqLanguageModel, Seq2SeqMasks } from '#lib/models/encoderDecoder.js'
import type { Task } from '#lib/models/pretrained.js'
import { pretrainedClasses } from '#lib/models/registry.js'
import type { SourceClassifier, SourceQuestionAnswering } from '#lib/models/sourceClassifier.js'
import type { T5EncoderModel, T5ForTokenClassification } from '#lib/models/t5.js'
import type { Transformer } from '#lib/models/transformer.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { tensor } from '#lib/tensor/create.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { ids, type Run } from './adapter.js'
import type { Case } from './case.js'

const torchTransformer: Run<Transformer> = (c, model) => {
  const sourceMask = c.inputs.has('src_mask') ? ids(c, 'src_mask') : undefined
  const memory = model.encode(ids(c, 'src'), sourceMask)
  const logits = model.forward(ids(c, 'src'), ids(c, 'tgt'), { sourceMask })
  return { memory, logits, loss: crossEntropy(logits, ids(c, 'labels'), { labelSmoothing: c.config['label_smoothing'] as number ?? 0 }) }
}

const optional = (c: Case, name: string): Tensor | undefined => c.inputs.has(name) ? ids(c, name) : undefined
const masksOf = (c: Case): Seq2SeqMasks => ({ sourceMask: optional(c, 'attention_mask'), targetMask: optional(c, 'decoder_attention_mask') })
const readingOf = (c: Case): ReadingOptions => ({
  attentionMask: optional(c, 'attention_mask'), decoderInput: optional(c, 'decoder_input_ids'), decoderAttentionMask: optional(c, 'decoder_attention_mask'),
})
const memory = (c: Case, model: EncoderDecoder): Record<string, Tensor> => ({ encoder_last_hidden_state: model.encode(ids(c, 'input_ids'), optional(c, 'attention_mask')) })
/** `make` where the case has the labels that it needs. */
const given = (c: Case, name: string, make: () => Tensor): Record<string, Tensor> => c.inputs.has(name) ? { loss: make() } : {}

const layers: Run<BartModel> = (c, model) => ({ ...memory(c, model), last_hidden_state: model.forward(ids(c, 'input_ids'), readingOf(c)) })

const seq2seq: Run<Seq2SeqLanguageModel> = (c, model) => {
  const target = optional(c, 'decoder_input_ids') ?? model.shiftRight(ids(c, c.inputs.has('labels') ? 'labels' : 'input_ids'))
  const logits = model.forward(ids(c, 'input_ids'), target, masksOf(c))
  return { ...memory(c, model), logits, ...given(c, 'labels', () => crossEntropy(logits, ids(c, 'labels'))) }
}

const classifier: Run<SourceClassifier> = (c, model) => {
  const options = readingOf(c)
  const labels = (): Tensor => {
    const { shape, data, dtype } = c.inputs.get('labels')!
    return dtype.startsWith('F') ? tensor(Float32Array.from(data), shape) : ids(c, 'labels')
  }
  return {
    ...memory(c, model), logits: model.forward(ids(c, 'input_ids'), options),
    ...given(c, 'labels', () => model.loss({ ids: ids(c, 'input_ids'), labels: labels(), ...options })),
  }
}

const answering: Run<SourceQuestionAnswering> = (c, model) => {
  const options = readingOf(c), { startLogits, endLogits } = model.forward(ids(c, 'input_ids'), options)
  return {
    ...memory(c, model), start_logits: startLogits, end_logits: endLogits, ...given(c, 'start_positions', () => model.loss({
      ids: ids(c, 'input_ids'), startPositions: ids(c, 'start_positions'), endPositions: ids(c, 'end_positions'), ...options,
    })),
  }
}

/** These causal models of transformers do not shift labels. */
const causal: Run<CausalLanguageModel> = (c, model) => {
  const logits = model.forward(ids(c, 'input_ids'), { attentionMask: optional(c, 'attention_mask') })
  return { logits, ...given(c, 'labels', () => crossEntropy(logits, ids(c, 'labels'))) }
}

const encoder: Run<T5EncoderModel> = (c, model) => ({ last_hidden_state: model.forward(ids(c, 'input_ids'), { attentionMask: optional(c, 'attention_mask') }) })

const tokens: Run<T5ForTokenClassification> = (c, model) => {
  const logits = model.forward(ids(c, 'input_ids'), { attentionMask: optional(c, 'attention_mask') })
  return { logits, ...given(c, 'labels', () => crossEntropy(logits, ids(c, 'labels'))) }
}

const families = ['bart', 'mbart', 'marian', 'pegasus', 't5', 'mt5']
const runs: Partial<Record<Task, Run<never>>> = {
  'base': layers, 'seq2seq-lm': seq2seq, 'sequence-classification': classifier, 'question-answering': answering, 'causal-lm': causal,
  'token-classification': tokens,
}

export const encoderDecoderModels: Readonly<Record<string, Run<never>>> = {
  'torch.nn.Transformer': torchTransformer,
  ...Object.fromEntries(pretrainedClasses.filter(({ modelType, task }) => families.includes(modelType) && runs[task]).map(({ architecture, task }) => [architecture, runs[task]!])),
  T5EncoderModel: encoder, MT5EncoderModel: encoder,
}
