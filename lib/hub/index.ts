import './methods.js'

export {
  type AutoClass, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForMultipleChoice, AutoModelForNextSentencePrediction, AutoModelForPreTraining,
  AutoModelForQuestionAnswering, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification, AutoModelForTokenClassification, type FromPretrainedOptions,
} from './autoModel.js'
export { AutoTokenizer } from './autoTokenizer.js'
export { downloadModel, type DownloadOptions, type DownloadProgress } from './download.js'
export { type LoadedModel, loadModel, type LoadOptions, type SavedDtype, type SavedTokenizer, saveModel, type SaveOptions } from './modelDirectory.js'
