export { type BatchBounds } from './batchPlan.js'
export * from './collators/index.js'
export { type DataReport, describeReport } from './dataReport.js'
export {
  type EncodeDocumentsOptions, type EncodeOptions, type EncodedPairs, type TokenEncoder, type TokenStream, encodeDocuments, encodeParallel,
} from './encodeText.js'
export { ignoreIndex } from './ignoreIndex.js'
export { type IntlCorpus, type IntlCorpusOptions, type IntlPair, intlCorpus } from './intlCorpus.js'
export {
  type LanguageModelBatch, type LanguageModelBatchOptions, LanguageModelBatches, type LanguageModelState, sequentialBatches,
} from './languageModelBatches.js'
export { type Columns, type Pair } from './lineFormats.js'
export { type ReadOptions } from './linePolicy.js'
export { type ParallelOptions, type ParallelSource, ParallelText, readParallel } from './parallelText.js'
export { type TextOptions, TextSamples, readText, readWholeText } from './plainText.js'
export { Random, type RandomState } from './random.js'
export { type DataRecord, readRecords, type RecordFormat } from './records.js'
export {
  type Seq2SeqBatch, type Seq2SeqBatchOptions, Seq2SeqBatches, type Seq2SeqState, type SpecialIds, evaluationBatches,
} from './seq2seqBatches.js'
export { TokenSequences } from './tokenSequences.js'
