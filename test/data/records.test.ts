import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type DataRecord, readRecords, type RecordFormat } from '#lib/data/records.js'

let folder = ''
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'warpweft-records-')) })
afterAll(() => rm(folder, { recursive: true }))

async function read(name: string, content: string | Uint8Array, options: { format?: RecordFormat } = {}): Promise<DataRecord[]> {
  const path = join(folder, name), rows: DataRecord[] = []
  await writeFile(path, content)
  for await (const row of readRecords(path, options)) rows.push(row)
  return rows
}

// Two columns, 'text' (UTF-8) and 'label' (int64), three rows in two row groups, Snappy: written by pyarrow 26.
const parquet = 'UEFSMRUEFR4VIkwVBBUAEgAADzgDAAAAb25lBAAAAHp3ZWkVABUSFRYsFQQVEBUGFQYcAAAACSACAAAABAEBAwIVBBUgFSRMFQQVABIAABA8AQAAAAAAAAACAAAAAAAAABUAFRIVFiwVBBUQFQYVBhwAAAAJIAIAAAAEAQEDAhUEFQ4VEkwVAhUAEgAABxgDAAAA7IWLFQAVEhUWLBUCFRAVBhUGHAAAAAkgAgAAAAIBAQIAFQQVEBUUTBUCFQASAAAIHAMAAAAAAAAAFQAVEhUWLBUCFRAVBhUGHAAAAAkgAgAAAAIBAQIAFQQZPDUAGAZzY2hlbWEVBAAVDCUCGAR0ZXh0JQBMHAAAABUEJQIYBWxhYmVsABYGGSwZLCYAHBUMGTUABhAZGAR0ZXh0FQIWBBZyFnomRiYIKSwVBBUAFQIAFQAVEBUCADwWDhkGGSYABAAAACYAHBUEGTUABhAZGAVsYWJlbBUCFgQWdBZ8JsIBJoIBKSwVBBUAFQIAFQAVEBUCADwpBhkmAAQAAAAW5gEWBCYIFvYBABksJgAcFQwZNQAGEBkYBHRleHQVAhYCFmIWaiasAib+ASksFQQVABUCABUAFRAVAgA8FgYZBhkmAAIAAAAmABwVBBk1AAYQGRgFbGFiZWwVAhYCFmQWbCaYAyboAiksFQQVABUCABUAFRAVAgA8KQYZJgACAAAAFsYBFgIm/gEW1gEAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRksHAAAHAAAAGABAABQQVIx'

describe('readRecords', () => {
  test('JSON lines, plain and gzip, with empty lines between', async () => {
    const text = '{"text":"a","n":1}\n\n{"prompt":"p","completion":"c"}\n', expected = [{ text: 'a', n: 1 }, { prompt: 'p', completion: 'c' }]
    expect(await read('a.jsonl', text)).toEqual(expected)
    expect(await read('a.ndjson.gz', gzipSync(text))).toEqual(expected)
    expect(await read('a.txt', text, { format: 'jsonl' })).toEqual(expected)
    await expect(read('b.jsonl', '{"a":1}\n{"a"')).rejects.toThrow(/b.jsonl, line 2: not JSON/)
    await expect(read('c.jsonl', '[1]')).rejects.toThrow(/line 1: expected a JSON object/)
  })

  test('CSV with quotes, line breaks within them and a byte order mark; TSV without quotes', async () => {
    expect(await read('a.csv', '\uFEFFtext,label\n"a, ""b""\nc",1\nd,2\n')).toEqual([{ text: 'a, "b"\nc', label: '1' }, { text: 'd', label: '2' }])
    expect(await read('a.csv.gz', gzipSync('text\nx\n'))).toEqual([{ text: 'x' }])
    expect(await read('a.tsv', 'text\tlabel\n"a\t1\n')).toEqual([{ text: '"a', label: '1' }])
    await expect(read('b.csv', 'a,b\n1\n')).rejects.toThrow(/b.csv: .*line 2/)
  })

  test('Parquet, a row group at a time', async () => {
    expect(await read('a.parquet', Buffer.from(parquet, 'base64'))).toEqual([{ text: 'one', label: 1n }, { text: 'zwei', label: 2n }, { text: '셋', label: 3n }])
    await expect(read('b.parquet', 'no parquet at all')).rejects.toThrow(/b.parquet: cannot be read as Parquet/)
  })

  test('a name that says nothing, and a file that is not there', async () => {
    await expect(read('a.txt', '')).rejects.toThrow(/the name does not say what it holds/)
    for (const name of ['none.jsonl', 'none.csv', 'none.parquet']) {
      const rows = readRecords(join(folder, name))
      await expect(rows.next()).rejects.toThrow(/none\.\w+/)
    }
  })
})
