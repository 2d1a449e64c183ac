import { ConfigError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { defaultBatchSize, eachText, rowsOf, type TextModel } from './encoderInputs.js'

export interface FeatureExtractionOptions {
  /** 'none': a vector for each token (default); 'mean' of them; that of the first, 'cls'; that of the last, 'last'. */
  pooling?: 'none' | 'mean' | 'cls' | 'last'
  /** Scale vectors to length 1, so that their products are cosines. Default false. */
  normalize?: boolean
  batchSize?: number
}

const poolings = ['none', 'mean', 'cls', 'last']

/** Hidden states of texts. @returns for each text its vectors: one, or with pooling 'none' one a token, special tokens included */
export async function extractFeatures(
  model: TextModel, tokenizer: Tokenizer, texts: readonly string[], { pooling = 'none', normalize = false, batchSize = defaultBatchSize }: FeatureExtractionOptions = {},
): Promise<Float32Array[][]> {
  if (!poolings.includes(pooling)) throw new ConfigError(`pooling is ${JSON.stringify(pooling)}, expected one of: ${poolings.join(', ')}`)
  const found: Float32Array[][] = []
  await eachText(model, tokenizer, texts, batchSize, async (output, encodings) => {
    const rows = await rowsOf(output), T = encodings[0]!.ids.length
    encodings.forEach(({ attentionMask }, row) => {
      const tokens = rows.slice(row * T, (row + 1) * T).filter((_, i) => attentionMask[i] === 1)
      const vectors = pooling === 'none' ? tokens : [pooling === 'cls' ? tokens[0]! : pooling === 'last' ? tokens.at(-1)! : meanOf(tokens)]
      found.push(vectors.map(vector => Float32Array.from(normalize ? unit(vector) : vector)))
    })
  })
  return found
}

export const meanOf = (vectors: readonly Float64Array[]): Float64Array => vectors[0]!.map((_, c) => vectors.reduce((sum, vector) => sum + vector[c]!, 0) / vectors.length)

export function unit(vector: Float64Array): Float64Array {
  const length = Math.hypot(...vector)
  return length === 0 ? vector : vector.map(value => value / length)
}
