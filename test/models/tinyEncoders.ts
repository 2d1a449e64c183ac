import type { EncoderModel } from '#lib/models/encoderModel.js'
import type { Encoder } from '#lib/models/encoder.js'
import type { PretrainedClass } from '#lib/models/pretrained.js'
import { pretrainedClasses } from '#lib/models/registry.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import { Tensor } from '#lib/tensor/tensor.js'

// Small models of every class of encoders, and batches for their tasks.

export const encoderClasses: readonly PretrainedClass[] = pretrainedClasses.filter(({ modelType }) => ['bert', 'roberta', 'xlm-roberta', 'distilbert', 'albert', 'electra'].includes(modelType))

const bert = { vocab_size: 30, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 20, max_position_embeddings: 24, initializer_range: 0.3 }
const sizes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'bert': bert, 'roberta': bert, 'xlm-roberta': bert, 'electra': { ...bert, embedding_size: 12 },
  'albert': { ...bert, embedding_size: 12, num_hidden_layers: 3, num_hidden_groups: 2, inner_group_num: 2, hidden_dropout_prob: 0.1 },
  'distilbert': { vocab_size: 30, dim: 16, n_layers: 2, n_heads: 2, hidden_dim: 20, max_position_embeddings: 24, initializer_range: 0.3 },
}

/** Any model of an encoder and a head, or the layers alone. */
export type AnyEncoder = EncoderModel & Encoder & { forward(ids: Tensor, inputs?: object): Tensor | Record<string, Tensor>, loss(batch: object, options?: object): Tensor }

export function tiny(kind: PretrainedClass, options: object = {}): AnyEncoder {
  manualSeed(1)
  return kind.create({ ...sizes[kind.modelType], ...options }) as AnyEncoder
}

export const classNamed = (architecture: string): PretrainedClass => encoderClasses.find(kind => kind.architecture === architecture)!

export const ints = (values: number[] | number[][] | number[][][]): Tensor => tensor(values, null, { dtype: 'int32' })

const rows = [[5, 9, 20, 3, 7, 8], [11, 12, 4, 6, 29, 2]]

/** Ids as the task has them. */
export const idsFor = ({ task }: PretrainedClass): Tensor => ints(task === 'multiple-choice' ? [rows, rows.map(row => [...row].reverse())] : rows)

/** A batch of the task; undefined for layers alone. */
export function batchFor({ task, architecture }: PretrainedClass): Record<string, Tensor> | undefined {
  const words = (): Tensor => ints([[-100, 9, -100, 3, 7, -100], [11, -100, -100, -100, 2, 8]]), ids = idsFor({ task } as PretrainedClass)
  switch (task) {
    case 'base': return undefined
    case 'pretraining':
      return architecture.startsWith('Electra') ? { ids, labels: ints([[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 1, 1]]) }
        : { ids, labels: words(), [architecture.startsWith('Bert') ? 'nextSentenceLabel' : 'sentenceOrderLabel']: ints([1, 0]) }
    case 'token-classification': return { ids, labels: ints([[-100, 1, 0, 1, -100, 0], [1, 0, 0, -100, 1, 1]]) }
    case 'question-answering': return { ids, startPositions: ints([1, 3]), endPositions: ints([2, 5]) }
    case 'masked-lm': case 'causal-lm': return { ids, labels: words() }
    default: return { ids, labels: ints([1, 0]) }
  }
}

/** All outputs of a model, one after the other. */
export function outputsOf(model: AnyEncoder, ids: Tensor, inputs: object = {}): number[] {
  const y = model.forward(ids, inputs)
  return (y instanceof Tensor ? [y] : Object.values(y)).flatMap(t => numbers(t))
}

export const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

export const furthest = (a: readonly number[], b: readonly number[]): number => Math.max(...a.map((v, i) => Math.abs(v - b[i]!)))
