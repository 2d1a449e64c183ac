import { ConfigError, DataError } from '../../errors.js'
import type { Random } from '../random.js'

/** Numbers of a batch, row by row. */
export interface Grid { readonly data: Int32Array | Float32Array, readonly shape: readonly number[] }

/** A batch under the names that the models' `loss` has for it. */
export interface CollatedBatch {
  readonly inputs: Readonly<Record<string, Grid>>
  /** Labels that count: what the sum of the losses is divided by. */
  readonly tokens: number
}

/** Makes a batch of examples; the same examples and random numbers give the same batch. */
export type Collator<Example> = (examples: readonly Example[], random: Random) => CollatedBatch

/** Rows of one length, the rest filled. @param multiple the length is a multiple of it @throws DataError if there are no rows */
export function padded(rows: readonly ArrayLike<number>[], filler: number, { multiple = 1 }: { multiple?: number } = {}): Grid {
  if (rows.length === 0) throw new DataError('a batch needs at least one example')
  const width = Math.ceil(Math.max(1, ...rows.map(row => row.length)) / multiple) * multiple, data = new Int32Array(rows.length * width).fill(filler)
  rows.forEach((row, i) => { data.set(Array.from(row), i * width) })
  return { data, shape: [rows.length, width] }
}

/** 1 where there is a token, 0 at padding. Undefined where nothing is padded: models do without a mask then. */
export function maskOf(rows: readonly ArrayLike<number>[], width: number): Grid | undefined {
  if (rows.every(row => row.length === width)) return undefined
  const data = new Int32Array(rows.length * width)
  rows.forEach((row, i) => { data.fill(1, i * width, i * width + row.length) })
  return { data, shape: [rows.length, width] }
}

/** Inputs without those that are undefined. */
export function present(inputs: Readonly<Record<string, Grid | undefined>>): Record<string, Grid> {
  return Object.fromEntries(Object.entries(inputs).filter((entry): entry is [string, Grid] => entry[1] !== undefined))
}

export const counted = (labels: ArrayLike<number>, ignored: number): number => Array.from(labels).reduce((n, label) => label === ignored ? n : n + 1, 0)

/** @throws ConfigError unless 0 < value < 1 */
export function checkShare(where: string, name: string, value: number): void {
  if (!(value > 0 && value < 1)) throw new ConfigError(`${where}: ${name} is ${value}, expected a number between 0 and 1`)
}
