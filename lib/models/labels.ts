import { ConfigError } from '../errors.js'
import { add, sub } from '../ops/add.js'
import { cast, contiguous } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { clamp } from '../ops/maximum.js'
import { mul } from '../ops/mul.js'
import { mean, sum } from '../ops/reduce.js'
import { softplus, square } from '../ops/unary.js'
import { reshape, select, squeeze } from '../ops/view.js'
import { isFloating } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'
import { checkSizes, type PretrainedConfig } from './configuration.js'

export type ProblemType = 'regression' | 'single_label_classification' | 'multi_label_classification'

/** What the configuration of a classifier says of its labels. */
export interface LabelConfig {
  /** L; that of `id2label` where it is given. */
  num_labels: number
  id2label: Readonly<Record<string, string>> | null
  label2id: Readonly<Record<string, number>> | null
  /** Default by L and the labels: one label is regression, whole numbers are classes, others say for each class whether it applies. */
  problem_type: ProblemType | null
}

const problemTypes: readonly unknown[] = [null, 'regression', 'single_label_classification', 'multi_label_classification']

/** @param count of labels where the configuration does not say it @throws ConfigError for what does not fit together */
export function completedLabels(model: string, config: PretrainedConfig, count: number): LabelConfig {
  const names = (config['id2label'] ?? null) as LabelConfig['id2label'], given = (config['num_labels'] ?? undefined) as number | undefined
  const c: LabelConfig = {
    num_labels: names ? Object.keys(names).length : given ?? count, id2label: names, label2id: (config['label2id'] ?? null) as LabelConfig['label2id'],
    problem_type: (config['problem_type'] ?? null) as ProblemType | null,
  }
  checkSizes(model, { ...c }, 'num_labels')
  if (given !== undefined && given !== c.num_labels)
    throw new ConfigError(`${model}: num_labels is ${JSON.stringify(given)}, but id2label has ${c.num_labels} names. Leave one of them out`)
  if (!problemTypes.includes(c.problem_type) || (c.problem_type === 'single_label_classification' && c.num_labels === 1))
    throw new ConfigError(`${model}: problem_type is ${JSON.stringify(c.problem_type)} with ${c.num_labels} labels, expected one of: ${problemTypes.slice(1).join(', ')}; classes need at least two labels`)
  return c
}

/** Labels in config.json, which counts them by their names. */
export function labelNames({ num_labels, id2label, label2id, problem_type }: LabelConfig): PretrainedConfig {
  const names = id2label ?? Object.fromEntries(Array.from({ length: num_labels }, (_, i) => [String(i), `LABEL_${i}`]))
  return {
    id2label: names, label2id: label2id ?? Object.fromEntries(Object.entries(names).map(([id, name]) => [name, Number(id)])),
    ...(problem_type === null ? {} : { problem_type }),
  }
}

export interface LabelLossOptions { reduction?: 'mean' | 'sum', labelSmoothing?: number }

/**
 * Loss of logits `[B, L]` as `problem_type` has it: cross-entropy of classes `[B]`, squared differences to numbers `[B]` or `[B, L]`, or binary cross-entropy of `[B, L]`,
 * whether each label applies.
 * @throws ConfigError if labels are to be smoothed that are no classes
 */
export function classificationLoss(logits: Tensor, labels: Tensor, { num_labels: L, problem_type }: LabelConfig, options: LabelLossOptions = {}): Tensor {
  const type = problem_type ?? (L === 1 ? 'regression' : isFloating(labels.dtype) ? 'multi_label_classification' : 'single_label_classification')
  if (type === 'single_label_classification') return crossEntropy(logits, labels.rank === logits.rank ? squeeze(labels, -1) : labels, options)
  if (options.labelSmoothing) throw new ConfigError(`loss: labelSmoothing is ${options.labelSmoothing}, but problem_type is '${type}': only classes can be smoothed`)
  const x = cast(logits, 'float32'), y = cast(labels, 'float32'), { reduction = 'mean' } = options
  const losses = (type === 'regression' ? squaredError : binaryCrossEntropy)(x, L === 1 && y.rank === 1 ? reshape(y, [-1, 1]) : y)
  return reduction === 'mean' ? mean(losses) : sum(losses)
}

const squaredError = (x: Tensor, y: Tensor): Tensor => square(sub(x, y))

/** -(y log σ(x) + (1 - y) log(1 - σ(x))), element by element. */
export const binaryCrossEntropy = (x: Tensor, y: Tensor): Tensor => sub(softplus(x), mul(x, y))

/** Where an answer begins and ends. */
export interface AnswerLogits {
  /** `[B, T]` */
  startLogits: Tensor
  /** `[B, T]` */
  endLogits: Tensor
}

/** @param logits `[B, T, 2]` */
export const answerLogits = (logits: Tensor): AnswerLogits => ({ startLogits: contiguous(select(logits, -1, 0)), endLogits: contiguous(select(logits, -1, 1)) })

/** The mean of the cross-entropies of both positions, `[B]`: one behind the text does not count, one before it is its beginning. */
export function answerLoss({ startLogits, endLogits }: AnswerLogits, startPositions: Tensor, endPositions: Tensor, options: LabelLossOptions = {}): Tensor {
  const T = startLogits.shape[1]!
  const of = (logits: Tensor, positions: Tensor): Tensor => crossEntropy(logits, clamp(positions.rank === 2 ? squeeze(positions, -1) : positions, { min: 0, max: T }), { ...options, ignoreIndex: T })
  return mul(add(of(startLogits, startPositions), of(endLogits, endPositions)), 0.5)
}
