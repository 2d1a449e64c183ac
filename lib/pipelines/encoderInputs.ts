import { ConfigError, DataError } from '../errors.js'
import type { PretrainedConfig } from '../models/configuration.js'
import type { Module } from '../nn/module.js'
import { tensor } from '../tensor/create.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Encoding } from '../text/encoding.js'
import type { Tokenizer } from '../text/tokenizer.js'

/** A model that reads whole texts: an encoder, or a decoder with a head for texts. */
export interface TextModel<Y = Tensor> extends Module {
  readonly config: PretrainedConfig
  readonly maxPositions?: number
  forward(ids: Tensor, inputs: { attentionMask?: Tensor, tokenTypeIds?: Tensor }): Y
}

export type Texts = readonly (string | readonly [string, string])[]

/** Most texts that go through a model at once. */
export const defaultBatchSize = 8

/** @throws DataError for what is no text */
export function checkedTexts(input: unknown): string[] {
  const texts = Array.isArray(input) ? input as unknown[] : [input]
  const wrong = texts.findIndex(text => typeof text !== 'string')
  if (wrong >= 0) throw new DataError(`the pipeline got ${JSON.stringify(texts[wrong]) ?? 'undefined'}${texts.length > 1 ? ` as text ${wrong + 1}` : ''}, expected a text or a list of texts`)
  return texts as string[]
}

/** Tokens that fit into the model, those of the template included. */
export const longestInput = (model: TextModel<unknown>): number => Math.min(...[model.maxPositions, model.config['max_position_embeddings'] as number | undefined].filter(n => typeof n === 'number'), 1e6)

/**
 * Runs a model over texts, in batches that are padded to their longest.
 * @param use reads what it needs of the output, row after row; the tensors are freed behind it
 * @throws ConfigError if texts have to be padded and nothing is there to pad with
 */
export async function eachText<Y>(
  model: TextModel<Y>, tokenizer: Tokenizer, texts: Texts, batchSize: number, use: (output: Y, encodings: Encoding[], first: number) => Promise<void>,
  { truncation = true }: { truncation?: boolean | 'only_first' } = {},
): Promise<void> {
  if (!Number.isInteger(batchSize) || batchSize < 1) throw new ConfigError(`batchSize is ${batchSize}, expected a whole number above 0`)
  const most = longestInput(model), training = model.training
  model.eval()
  try {
    for (let first = 0; first < texts.length; first += batchSize) {
      const part = texts.slice(first, first + batchSize)
      const encodings = tokenizer.encodeBatch(part, { ...(part.length > 1 ? { padding: 'longest' as const } : {}), ...(truncation ? { maxLength: most, truncation } : {}) })
      await scope(() => noGrad(async () => {
        const rows = (of: (e: Encoding) => number[]): Tensor => tensor(encodings.map(of), null, { dtype: 'int32' })
        const hasTypes = Number(model.config['type_vocab_size'] ?? 0) > 1
        const output = model.forward(rows(e => e.ids), { attentionMask: rows(e => e.attentionMask), ...(hasTypes ? { tokenTypeIds: rows(e => e.typeIds) } : {}) })
        await use(output, encodings, first)
      }))
    }
  } finally {
    model.train(training)
  }
}

/** Rows of a matrix `[B, N]` or of `[B, T, N]`, whose rows are those of all tokens, as float64. */
export async function rowsOf(x: Tensor): Promise<Float64Array[]> {
  const values = await x.data() as Float32Array, N = x.shape.at(-1)!
  return Array.from({ length: values.length / N }, (_, i) => Float64Array.from(values.subarray(i * N, (i + 1) * N)))
}

export function softmax(values: Float64Array): Float64Array {
  const largest = values.reduce((a, b) => Math.max(a, b), -Infinity), powers = values.map(value => Math.exp(value - largest))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map(value => value / sum)
}

/** Indices by falling value; of equal ones the lower first. */
export const ranked = (values: ArrayLike<number>): number[] => Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b)

/** What a class is called: `id2label`, or LABEL_i. */
export const labelOf = (config: PretrainedConfig, id: number): string => (config['id2label'] as Record<string, string> | null | undefined)?.[id] ?? `LABEL_${id}`
