import { ConfigError, DataError } from '../errors.js'
import { confusionMatrix, marginals, type ConfusionMatrix, type Label } from './confusion.js'
import { checkPairs } from './segments.js'

/**
 * How classes make one number: `binary` is the positive class alone, `micro` counts over all classes, `macro` is the mean over classes,
 * `weighted` the mean weighted by how often each class is true.
 */
export type Average = 'binary' | 'micro' | 'macro' | 'weighted'

export interface PrecisionRecallOptions<L extends Label = Label> {
  /** Default `binary`, which needs two classes. */
  average?: Average
  /** For `binary`. Default 1. */
  positive?: L
  /** How many times more recall counts than precision in F. Default 1. */
  beta?: number
  /** What a ratio without cases is. Default 0. */
  zeroDivision?: 0 | 1
}

/** 0 to 1. */
export interface PrecisionRecall { readonly precision: number; readonly recall: number; readonly f: number }

/** With `support`: how often the class is true. */
export interface ClassScores<L extends Label = Label> extends PrecisionRecall { readonly label: L; readonly support: number }

/**
 * The share of predictions that are right.
 * @param predictions predicted classes   @param labels true classes, as many
 * @throws DataError if the lengths differ or there is nothing to compare
 */
export function accuracy<L extends Label>(predictions: readonly L[], labels: readonly L[]): number {
  checkPairs('accuracy', 'predictions', predictions, 'labels', labels)
  return labels.filter((label, i) => label === predictions[i]).length / labels.length
}

/** The mean recall of the classes that occur among the labels. Parameters and errors as {@link accuracy}. */
export function balancedAccuracy<L extends Label>(predictions: readonly L[], labels: readonly L[]): number {
  const recalls = perClass(predictions, labels).filter(({ support }) => support > 0).map(({ recall }) => recall)
  return recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length
}

/**
 * Precision, recall and F of each class, in the order of {@link confusionMatrix}.
 * @throws DataError if the lengths differ or there is nothing to compare
 */
export function perClass<L extends Label>(
  predictions: readonly L[], labels: readonly L[], { beta = 1, zeroDivision = 0 }: { beta?: number, zeroDivision?: 0 | 1 } = {},
): ClassScores<L>[] {
  checkBeta(beta)
  const matrix = confusionMatrix(predictions, labels)
  const { rows, columns } = marginals(matrix)
  return matrix.classes.map((label, i) => {
    const scores = fromCounts({ right: matrix.counts[i]![i]!, predicted: columns[i]!, wanted: rows[i]! }, beta, zeroDivision)
    return { label, ...scores, support: rows[i]! }
  })
}

/**
 * Precision, recall and F over the classes, equal to scikit-learn's. The macro and weighted F are means of the classes' F.
 * @param predictions predicted classes   @param labels true classes, as many
 * @throws DataError if the lengths differ, there is nothing to compare, or `binary` meets more than two classes or none that is `positive`
 * @throws ConfigError for an unknown average or a beta that is not positive
 */
export function precisionRecall<L extends Label>(
  predictions: readonly L[], labels: readonly L[], options: PrecisionRecallOptions<L> = {},
): PrecisionRecall {
  const { average = 'binary', beta = 1, zeroDivision = 0 } = options
  checkBeta(beta)
  if (average === 'micro') {
    // Over all classes every case is predicted once and wanted once.
    const right = accuracy(predictions, labels) * labels.length
    return fromCounts({ right, predicted: labels.length, wanted: labels.length }, beta, zeroDivision)
  }
  const classes = perClass(predictions, labels, { beta, zeroDivision })
  if (average === 'binary') return positiveClass(classes, options.positive ?? 1, zeroDivision)
  if (average !== 'macro' && average !== 'weighted') {
    throw new ConfigError(`precisionRecall: average is '${String(average)}', expected binary, micro, macro or weighted`)
  }
  const weights = classes.map(({ support }) => average === 'macro' ? 1 / classes.length : support / labels.length)
  const mean = (part: keyof PrecisionRecall) => classes.reduce((sum, scores, i) => sum + weights[i]! * scores[part], 0)
  return { precision: mean('precision'), recall: mean('recall'), f: mean('f') }
}

/** F1 alone: `f` of {@link precisionRecall} with `beta` 1, with its parameters and errors. */
export function f1<L extends Label>(
  predictions: readonly L[], labels: readonly L[], options: Omit<PrecisionRecallOptions<L>, 'beta'> = {},
): number {
  return precisionRecall(predictions, labels, { ...options, beta: 1 }).f
}

/**
 * Matthews correlation for any number of classes, -1 to 1; 0 where all labels or all predictions are the same class.
 * Parameters and errors as {@link accuracy}.
 * @see Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient, eq. 8
 */
export function matthewsCorrelation<L extends Label>(predictions: readonly L[], labels: readonly L[]): number {
  const matrix = confusionMatrix(predictions, labels)
  const { rows, columns, all } = marginals(matrix)
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0)
  const covariance = diagonal(matrix) * all - dot(rows, columns)
  // One root for each: their product could leave the exact integers.
  const spread = Math.sqrt(all ** 2 - dot(rows, rows)) * Math.sqrt(all ** 2 - dot(columns, columns))
  return spread === 0 ? 0 : covariance / spread
}

/**
 * Cohen's kappa: agreement beyond chance, at most 1; NaN where both are one and the same class throughout.
 * @param options weights: how much a confusion counts, by the distance of the classes in their order: `none` (default) all alike
 * @throws DataError if the lengths differ or there is nothing to compare
 * @throws ConfigError for unknown weights
 * @see Cohen 1960; with weights Cohen 1968, Psychological Bulletin 70(4)
 */
export function cohenKappa<L extends Label>(
  predictions: readonly L[], labels: readonly L[], { weights = 'none' }: { weights?: 'none' | 'linear' | 'quadratic' } = {},
): number {
  const powers = { none: 0, linear: 1, quadratic: 2 }
  if (!Object.hasOwn(powers, weights)) {
    throw new ConfigError(`cohenKappa: weights is '${String(weights)}', expected none, linear or quadratic`)
  }
  const { counts, ...rest } = confusionMatrix(predictions, labels)
  const { rows, columns, all } = marginals({ counts, ...rest })
  let observed = 0, expected = 0
  counts.forEach((row, i) => row.forEach((count, j) => {
    const cost = i === j ? 0 : Math.abs(i - j) ** powers[weights]
    observed += cost * count
    expected += cost * rows[i]! * columns[j]! / all
  }))
  return 1 - observed / expected
}

function fromCounts(
  { right, predicted, wanted }: { right: number, predicted: number, wanted: number }, beta: number, zeroDivision: 0 | 1,
): PrecisionRecall {
  const denominator = beta ** 2 * wanted + predicted
  return {
    precision: predicted > 0 ? right / predicted : zeroDivision,
    recall: wanted > 0 ? right / wanted : zeroDivision,
    f: denominator > 0 ? (1 + beta ** 2) * right / denominator : zeroDivision,
  }
}

function positiveClass(classes: readonly ClassScores[], positive: Label, zeroDivision: 0 | 1): PrecisionRecall {
  const names = classes.map(({ label }) => JSON.stringify(label)).join(', ')
  if (classes.length > 2) {
    throw new DataError(`precisionRecall: average 'binary' expects two classes, got ${classes.length} (${names}); ` +
      'choose micro, macro or weighted')
  }
  const found = classes.find(({ label }) => label === positive)
  if (found === undefined && classes.length === 2) {
    throw new DataError(`precisionRecall: the positive class ${JSON.stringify(positive)} does not occur, expected one of ${names}; ` +
      'set positive')
  }
  return found === undefined
    ? { precision: zeroDivision, recall: zeroDivision, f: zeroDivision }
    : { precision: found.precision, recall: found.recall, f: found.f }
}

function diagonal({ counts }: ConfusionMatrix): number {
  return counts.reduce((sum, row, i) => sum + row[i]!, 0)
}

function checkBeta(beta: number): void {
  if (!(beta > 0 && beta < Infinity)) throw new ConfigError(`precisionRecall: beta is ${beta}, expected a positive number`)
}
