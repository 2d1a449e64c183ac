export { bleu, formatBleu, sentenceBleu, type BleuOptions, type BleuScore, type BleuSmoothing } from './bleu.js'
export type { BleuTokenizer } from './bleuTokenizers.js'
export { chrf, sentenceChrf, type ChrfOptions, type ChrfScore } from './chrf.js'
export {
  accuracy, balancedAccuracy, cohenKappa, f1, matthewsCorrelation, perClass, precisionRecall,
  type Average, type ClassScores, type PrecisionRecall, type PrecisionRecallOptions,
} from './classification.js'
export { confusionMatrix, type ConfusionMatrix, type Label } from './confusion.js'
export { characterErrorRate, wordErrorRate, type ErrorRate } from './errorRate.js'
export { logLoss, perplexity } from './likelihood.js'
export { formatMultiBleu, multiBleu } from './multiBleu.js'
export { porterStem } from './porterStemmer.js'
export { averagePrecision, rocAuc } from './ranking.js'
export { meanAbsoluteError, meanSquaredError, pearson, r2, rootMeanSquaredError, spearman } from './regression.js'
export { rouge, type RougeOptions, type RougeResult, type RougeScore, type RougeType } from './rouge.js'
export type { ReferenceStreams } from './segments.js'
export { normalizeAnswer, squad, type SquadScore } from './squad.js'
export { sentenceTer, ter, type TerOptions, type TerScore } from './ter.js'
