// Adds the ops to Tensor as methods.
import './ops/methods.js'

export * as nn from './nn/index.js'
export * as optim from './optim/index.js'
export * as ops from './ops/index.js'
export * as data from './data/index.js'
export * as metrics from './eval/index.js'

export * from './errors.js'
export { arange, full, ones, tensor, type TensorData, type TensorOptions, zeros } from './tensor/create.js'
export { cpu, Device, device, memory, type MemoryStatistics, threads } from './tensor/device.js'
export { type DType, dtypes, type TypedArray } from './tensor/dtype.js'
export { manualSeed } from './tensor/random.js'
export { autocast, enableGrad, noGrad, scope } from './tensor/scope.js'
export { empty, emptyLike, Tensor } from './tensor/tensor.js'
export { backward } from './autograd/backward.js'
export { checkpoint } from './autograd/checkpoint.js'
export { type CustomOp, customOp } from './autograd/customOp.js'
export { gradcheck, type GradcheckOptions } from './autograd/gradcheck.js'
export {
  AlbertForMaskedLM, AlbertForMultipleChoice, AlbertForPreTraining, AlbertForQuestionAnswering, AlbertForSequenceClassification, AlbertForTokenClassification, type AlbertConfig,
  AlbertModel, type AlbertPreTrainingOutput,
} from './models/albert.js'
export {
  type BertConfig, BertForMaskedLM, BertForMultipleChoice, BertForNextSentencePrediction, BertForPreTraining, BertForQuestionAnswering, BertForSequenceClassification,
  BertForTokenClassification, BertLMHeadModel, BertModel, type BertPreTrainingOutput,
} from './models/bert.js'
export {
  type DistilBertConfig, DistilBertForMaskedLM, DistilBertForMultipleChoice, DistilBertForQuestionAnswering, DistilBertForSequenceClassification,
  DistilBertForTokenClassification, DistilBertModel,
} from './models/distilbert.js'
export {
  type ElectraConfig, ElectraForCausalLM, ElectraForMaskedLM, ElectraForMultipleChoice, ElectraForPreTraining, ElectraForQuestionAnswering,
  ElectraForSequenceClassification, ElectraForTokenClassification, ElectraModel,
} from './models/electra.js'
export type { EncoderInputs } from './models/encoder.js'
export type { EncoderLossOptions, LabelledBatch, QuestionAnsweringBatch, QuestionAnsweringOutput } from './models/encoderModel.js'
export { DecoderForQuestionAnswering, DecoderForSequenceClassification, DecoderForTokenClassification } from './models/decoderHeads.js'
export { Gemma, type GemmaConfig, GemmaModel, type GemmaType } from './models/gemma.js'
export { GPT2, type GPT2Config, GPT2Model } from './models/gpt2.js'
export { Llama, type LlamaConfig, LlamaModel, type LlamaType } from './models/llama.js'
export { Mixtral, type MixtralConfig, MixtralModel } from './models/mixtral.js'
export { Phi3, type Phi3Config, Phi3Model } from './models/phi3.js'
export { QwenMixture, type QwenMixtureConfig, QwenMixtureModel, type QwenMixtureType } from './models/qwenMixture.js'
export {
  type RobertaConfig, RobertaForCausalLM, RobertaForMaskedLM, RobertaForMultipleChoice, RobertaForQuestionAnswering, RobertaForSequenceClassification,
  RobertaForTokenClassification, RobertaModel, type RobertaType,
} from './models/roberta.js'
export { BartForCausalLM, BartForConditionalGeneration, BartForQuestionAnswering, BartForSequenceClassification, BartModel } from './models/bart.js'
export type { BartConfig, BartType } from './models/bartConfiguration.js'
export { MarianForCausalLM, MarianModel, MarianMTModel } from './models/marian.js'
export { MBartForCausalLM, MBartForConditionalGeneration, MBartForQuestionAnswering, MBartForSequenceClassification, MBartModel } from './models/mbart.js'
export { PegasusForCausalLM, PegasusForConditionalGeneration, PegasusModel } from './models/pegasus.js'
export {
  type T5Config, T5EncoderModel, T5ForConditionalGeneration, T5ForQuestionAnswering, T5ForSequenceClassification, T5ForTokenClassification, T5Model, type T5Type,
} from './models/t5.js'
export { Transformer, type TransformerConfig, type TransformerOptions } from './models/transformer.js'
export * from './text/index.js'
export * from './generate/index.js'
export * from './hub/index.js'
export * from './pipelines/index.js'
export * from './train/index.js'
