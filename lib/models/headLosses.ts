import { ConfigError } from '../errors.js'
import { add, sub } from '../ops/add.js'
import { cast } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { clamp } from '../ops/maximum.js'
import { mul } from '../ops/mul.js'
import { mean } from '../ops/reduce.js'
import { softplus, square } from '../ops/unary.js'
import { reshape } from '../ops/view.js'
import type { Tensor } from '../tensor/tensor.js'

/** What the labels of a sequence are: numbers, one class of several, or any number of classes. */
export type ProblemType = 'regression' | 'single_label_classification' | 'multi_label_classification'

const problemTypes: readonly unknown[] = ['regression', 'single_label_classification', 'multi_label_classification'] satisfies ProblemType[]

/** `problem_type` of a configuration; undefined where the labels decide. @throws ConfigError for one that is none, or cannot be with so many labels */
export function problemTypeOf(model: string, type: unknown, labelCount: number): ProblemType | undefined {
  if (type === undefined || type === null) return undefined
  if (!problemTypes.includes(type)) throw new ConfigError(`${model}: problem_type is ${JSON.stringify(type)}, expected one of: ${problemTypes.join(', ')}`)
  if (type === 'single_label_classification' && labelCount === 1) throw new ConfigError(`${model}: problem_type 'single_label_classification' needs more than one label. Use 'regression', or two labels`)
  return type as ProblemType
}

/**
 * Loss of a classifier of sequences. Without a type one label is a number to be met, integers are classes (-100 does not count), and other numbers say of each class whether it holds.
 * @param logits `[B, L]`   @param labels `[B]` integers, `[B]` or `[B, L]` float32
 * @returns float32 `[]`: mean squared error, cross-entropy, or binary cross-entropy of each class
 */
export function sequenceLoss(logits: Tensor, labels: Tensor, type?: ProblemType): Tensor {
  const classes = ['int32', 'int64'].includes(labels.dtype), count = logits.shape.at(-1)!
  const kind = type ?? (count === 1 ? 'regression' : classes ? 'single_label_classification' : 'multi_label_classification')
  if (kind === 'single_label_classification') return crossEntropy(logits, labels)
  const x = cast(logits, 'float32'), y = reshape(cast(labels, 'float32'), x.shape)
  return mean(kind === 'regression' ? square(sub(x, y)) : sub(softplus(x), mul(x, y)))
}

/**
 * Mean cross-entropy of the first and the last token of an answer. Positions behind the text do not count.
 * @param startLogits `[B, T]`   @param startPositions `[B]` int32, likewise those of the end
 */
export function answerLoss(startLogits: Tensor, endLogits: Tensor, startPositions: Tensor, endPositions: Tensor): Tensor {
  const T = startLogits.shape[1]!
  const [start, end] = ([[startLogits, startPositions], [endLogits, endPositions]] as const).map(([logits, positions]) =>
    crossEntropy(logits, clamp(reshape(positions, [logits.shape[0]!]), { min: 0, max: T }), { ignoreIndex: T })) as [Tensor, Tensor]
  return mul(add(start, end), 0.5)
}
