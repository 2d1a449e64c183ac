import { DataError } from '../../errors.js'
import type { Encoding } from '../../text/encoding.js'
import { type Collator, type Grid, maskOf, padded, present } from './collation.js'

/** A text, or two, and its class; a number that is to be met, or several, with `floats`. */
export interface ClassifiedExample extends Pick<Encoding, 'ids'> {
  readonly typeIds?: readonly number[]
  readonly label: number | readonly number[]
}

/** Batches `{ ids, labels, attentionMask, tokenTypeIds }`. @param floats labels are numbers (regression) or one for each class, instead of classes @throws DataError for labels that are not */
export function classificationCollator({ padId, maxLength = Infinity, floats = false }: { padId: number, maxLength?: number, floats?: boolean }): Collator<ClassifiedExample> {
  return examples => {
    const rows = examples.map(({ ids }) => ids.slice(0, maxLength)), ids = padded(rows, padId), typed = examples.every(({ typeIds }) => typeIds)
    return {
      inputs: present({
        ids, labels: floats ? numbers(examples) : classes(examples), attentionMask: maskOf(rows, ids.shape[1]!),
        tokenTypeIds: typed ? padded(examples.map(({ typeIds }) => typeIds!.slice(0, maxLength)), 0) : undefined,
      }),
      tokens: examples.length,
    }
  }
}

function classes(examples: readonly ClassifiedExample[]): Grid {
  return { data: Int32Array.from(examples, ({ label }) => {
    if (!Number.isInteger(label)) throw new DataError(`classification: the label is ${JSON.stringify(label)}, expected the number of a class`)
    return label as number
  }), shape: [examples.length] }
}

function numbers(examples: readonly ClassifiedExample[]): Grid {
  const rows = examples.map(({ label }) => [label].flat()), width = rows[0]?.length ?? 1
  if (rows.some(row => row.length !== width || row.some(value => typeof value !== 'number'))) throw new DataError(`classification: labels have different lengths, expected ${width} numbers each`)
  return { data: Float32Array.from(rows.flat()), shape: width === 1 ? [rows.length] : [rows.length, width] }
}
