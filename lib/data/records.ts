import { createReadStream } from 'node:fs'
import { extname } from 'node:path'
import { pipeline } from 'node:stream'
import { createGunzip, gunzipSync } from 'node:zlib'
import { parse } from 'csv-parse'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { ConfigError, DataError, WarpweftError } from '../errors.js'
import { ioError } from '../io/ioError.js'
import { LineCursor } from './lineCursor.js'

/** A row of a table, or an object of JSON lines. */
export type DataRecord = Readonly<Record<string, unknown>>
export type RecordFormat = 'jsonl' | 'csv' | 'tsv' | 'parquet'

const byEnding: Readonly<Record<string, RecordFormat>> = { '.jsonl': 'jsonl', '.ndjson': 'jsonl', '.json': 'jsonl', '.csv': 'csv', '.tsv': 'tsv', '.parquet': 'parquet' }

/**
 * Rows of a file, one by one: JSON lines, CSV or TSV with names in the first line (plain or gzip), or Parquet.
 * @param format default: by the ending of the name
 * @throws ConfigError if the ending says nothing   @throws DataError for what is not of the format, with the line   @throws CheckpointError if the system refuses
 */
export async function* readRecords(path: string, { format = formatOf(path) }: { format?: RecordFormat } = {}): AsyncGenerator<DataRecord> {
  yield* format === 'jsonl' ? jsonRecords(path) : format === 'parquet' ? parquetRecords(path) : tableRecords(path, format)
}

function formatOf(path: string): RecordFormat {
  const ending = extname(path.replace(/\.gz$/, '')).toLowerCase(), format = Object.hasOwn(byEnding, ending) ? byEnding[ending] : undefined
  if (!format) throw new ConfigError(`${path}: the name does not say what it holds; expected ${Object.keys(byEnding).join(', ')}, or a format`)
  return format
}

async function* jsonRecords(path: string): AsyncGenerator<DataRecord> {
  const lines = new LineCursor(path, 2 ** 28)
  try {
    while (lines.filled || await lines.fill()) {
      const line = lines.take()
      if (line === undefined) throw new DataError(`${path}, line ${lines.number}: it is longer than 256 MB`)
      if (line.trim() === '') continue
      let value: unknown
      try {
        value = JSON.parse(line)
      } catch (error) {
        throw new DataError(`${path}, line ${lines.number}: not JSON (${(error as Error).message}); expected one object a line`)
      }
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new DataError(`${path}, line ${lines.number}: expected a JSON object, got ${line.trim().slice(0, 40)}`)
      yield value as DataRecord
    }
  } finally {
    await lines.close()
  }
}

async function* tableRecords(path: string, format: 'csv' | 'tsv'): AsyncGenerator<DataRecord> {
  // TSV has no quotes, as everywhere in this library.
  const rows = parse({ columns: true, bom: true, skip_empty_lines: true, ...format === 'tsv' ? { delimiter: '\t', quote: null } : {} })
  const failed = (error: Error): unknown => error instanceof WarpweftError ? error
    : 'code' in error && String(error.code).startsWith('CSV_') ? new DataError(`${path}: ${error.message}`, { cause: error }) : ioError('read', path, error)
  const file = createReadStream(path)
  // The error reaches the reader through the stream of rows.
  if (path.endsWith('.gz')) pipeline(file, createGunzip(), rows, () => undefined)
  else pipeline(file, rows, () => undefined)
  try {
    for await (const row of rows as AsyncIterable<DataRecord>) yield row
  } catch (error) {
    throw failed(error as Error)
  }
}

async function* parquetRecords(path: string): AsyncGenerator<DataRecord> {
  try {
    const file = await asyncBufferFromFile(path), metadata = await parquetMetadataAsync(file), compressors = { GZIP: (bytes: Uint8Array) => gunzipSync(bytes) }
    let from = 0
    for (const { num_rows } of metadata.row_groups) {   // a row group at a time is in memory
      const to = from + Number(num_rows)
      for (const row of await parquetReadObjects({ file, metadata, rowStart: from, rowEnd: to, compressors })) yield row
      from = to
    }
  } catch (error) {
    if ((error as { code?: unknown }).code !== undefined) throw ioError('read', path, error as Error)
    throw new DataError(`${path}: cannot be read as Parquet (${(error as Error).message}). Compressions that are read are Snappy, GZIP and none`, { cause: error })
  }
}

/** The text under a key of a row. @throws DataError if there is none */
export function textOf(record: DataRecord, key: string, where: string): string {
  const value = record[key]
  if (typeof value === 'string') return value
  throw new DataError(`${where}: no text under '${key}'; there are ${Object.keys(record).join(', ') || 'no keys'}`)
}
