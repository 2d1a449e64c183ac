export {
  AlbertForMaskedLM, AlbertForMultipleChoice, AlbertForPreTraining, AlbertForQuestionAnswering, AlbertForSequenceClassification, AlbertForTokenClassification, type AlbertConfig,
  AlbertModel, type AlbertPreTrainingOutput,
} from './albert.js'
export { BartForCausalLM, BartForConditionalGeneration, BartForQuestionAnswering, BartForSequenceClassification, BartModel } from './bart.js'
export type { BartConfig, BartType } from './bartConfiguration.js'
export {
  type BertConfig, BertForMaskedLM, BertForMultipleChoice, BertForNextSentencePrediction, BertForPreTraining, BertForQuestionAnswering, BertForSequenceClassification,
  BertForTokenClassification, BertLMHeadModel, BertModel, type BertPreTrainingOutput,
} from './bert.js'
export { Bloom, type BloomConfig, BloomModel } from './bloom.js'
export { DecoderForQuestionAnswering, DecoderForSequenceClassification, DecoderForTokenClassification } from './decoderHeads.js'
export {
  type DistilBertConfig, DistilBertForMaskedLM, DistilBertForMultipleChoice, DistilBertForQuestionAnswering, DistilBertForSequenceClassification,
  DistilBertForTokenClassification, DistilBertModel,
} from './distilbert.js'
export {
  type ElectraConfig, ElectraForCausalLM, ElectraForMaskedLM, ElectraForMultipleChoice, ElectraForPreTraining, ElectraForQuestionAnswering,
  ElectraForSequenceClassification, ElectraForTokenClassification, ElectraModel,
} from './electra.js'
export type { EncoderInputs } from './encoder.js'
export type { LabelledBatch, QuestionAnsweringBatch } from './encoderModel.js'
export { Falcon, type FalconConfig, FalconModel } from './falcon.js'
export { Gemma, type GemmaConfig, GemmaModel, type GemmaType } from './gemma.js'
export { GPT2, type GPT2Config, GPT2Model } from './gpt2.js'
export { type ChoiceInputs, type DoubleHeadsLogits, GPT2DoubleHeads } from './gpt2DoubleHeads.js'
export { GPTJ, type GPTJConfig, GPTJModel } from './gptj.js'
export { GPTNeoX, type GPTNeoXConfig, GPTNeoXModel } from './gptNeox.js'
export type { AnswerLogits, LabelLossOptions } from './labels.js'
export { Llama, type LlamaConfig, LlamaModel, type LlamaType } from './llama.js'
export { MarianForCausalLM, MarianModel, MarianMTModel } from './marian.js'
export { MBartForCausalLM, MBartForConditionalGeneration, MBartForQuestionAnswering, MBartForSequenceClassification, MBartModel } from './mbart.js'
export { Mixtral, type MixtralConfig, MixtralModel } from './mixtral.js'
export { OPT, type OPTConfig, OPTModel } from './opt.js'
export { PegasusForCausalLM, PegasusForConditionalGeneration, PegasusModel } from './pegasus.js'
export { Phi3, type Phi3Config, Phi3Model } from './phi3.js'
export { QwenMixture, type QwenMixtureConfig, QwenMixtureModel, type QwenMixtureType } from './qwenMixture.js'
export {
  type RobertaConfig, RobertaForCausalLM, RobertaForMaskedLM, RobertaForMultipleChoice, RobertaForQuestionAnswering, RobertaForSequenceClassification,
  RobertaForTokenClassification, RobertaModel, type RobertaType,
} from './roberta.js'
export {
  type T5Config, T5EncoderModel, T5ForConditionalGeneration, T5ForQuestionAnswering, T5ForSequenceClassification, T5ForTokenClassification, T5Model, type T5Type,
} from './t5.js'
export { Transformer, type TransformerConfig, type TransformerOptions } from './transformer.js'
