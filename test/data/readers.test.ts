import { readdir } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError, DataError } from '#lib/errors.js'
import { describeReport, readParallel, readText, readWholeText } from '#lib/data/index.js'
import { collected, fileWriter } from './files.js'

const write = fileWriter()
const hello = { source: 'hello', target: '안녕' }, world = { source: 'world', target: '세계' }

describe('readParallel, one file', () => {
  test('reads two columns, plain and gzip', async () => {
    expect(await collected(readParallel(write('a.tsv', 'hello\t안녕\nworld\t세계\n')))).toEqual([hello, world])
    expect(await collected(readParallel(write('a.tsv.gz', gzipSync('hello\t안녕\r\nworld\t세계\r\n'))))).toEqual([hello, world])
  })

  test('reads chosen columns, by number and by name', async () => {
    expect(await collected(readParallel(write('b.tsv', '1\t안녕\thello\n2\t세계\tworld\n'), { columns: [2, 1] }))).toEqual([hello, world])
    const named = write('c.tsv', 'id\tko\ten\n1\t안녕\thello\n2\t세계\tworld\n')
    const pairs = readParallel(named, { columns: ['en', 'ko'] })
    expect(await collected(pairs)).toEqual([hello, world])
    expect(pairs.report).toMatchObject({ read: 2, kept: 2 })
    await expect(collected(readParallel(named, { columns: ['en', 'kr'] }))).rejects.toThrow("no column 'kr'; by its first line the columns are id, ko, en")
  })

  test('reads JSON lines by name of file, by default and named keys, also inside objects', async () => {
    expect(await collected(readParallel(write('a.jsonl', '{"source":"hello","target":"안녕"}\n\n{"target":"세계","source":"world"}\n')))).toEqual([hello, world])
    const nested = write('b.json', '{"translation":{"en":"hello","ko":"안녕"}}\n')
    expect(await collected(readParallel(nested, { keys: ['translation.en', 'translation.ko'] }))).toEqual([hello])
    const dotted = write('c.txt', '{"a.b":"hello","k":"안녕"}\n')
    expect(await collected(readParallel(dotted, { keys: ['a.b', 'k'] }))).toEqual([hello])
  })

  test.each([
    ['tsv', 'a\tb\nc\n', 'line 2: expected 2 columns separated by a tab, got 1'], ['tsv', 'a\tb\tc\n', 'Choose with columns'],
    ['jsonl', '{"source":"a","target":"b"}\n{"source":"a",\n', 'line 2: not JSON'], ['jsonl', '[1]\n', 'expected a JSON object'], ['jsonl', 'null\n', 'expected a JSON object'],
    ['jsonl', '{"source":"a","targett":"b"}\n', "no text under the key 'target'; the object has 'source', 'targett'"], ['jsonl', '{"source":1,"target":"b"}\n', "key 'source'"],
    ['jsonl', '{"__proto__":{"source":"a"},"target":"b"}\n', "key 'source'"],
  ])('names file and line that are not of the format (%s: %j)', async (extension, content, message) => {
    const path = write(`malformed.${extension}`, content)
    await expect(collected(readParallel(path))).rejects.toThrow(DataError)
    await expect(collected(readParallel(path))).rejects.toThrow(`${path}, line `)
    await expect(collected(readParallel(path))).rejects.toThrow(message)
  })

  test('skips and counts what the policies say, and counts anew for every iteration', async () => {
    const path = write('mixed.tsv', `hello\t안녕\n\n \t \nonly one\na\t\n${'x'.repeat(100)}\ty\nworld\t세계\n`)
    const pairs = readParallel(path, { malformed: 'skip', maxLineBytes: 50 })
    const report = { files: [path], read: 7, kept: 2, empty: 3, tooLong: 1, truncated: 0, malformed: 1, unmatched: 0 }
    for (let pass = 0; pass < 2; pass++) {
      expect(await collected(pairs)).toEqual([hello, world])
      expect(pairs.report).toEqual(report)
    }
    expect(describeReport(pairs.report)).toBe(`${path}: 7 read, 2 kept, 3 empty, 1 too long, 1 malformed`)
    await expect(collected(readParallel(path, { malformed: 'skip', empty: 'error' }))).rejects.toThrow(`${path}, line 2: no text`)
    await expect(collected(readParallel(path, { malformed: 'skip', tooLong: 'error', maxLineBytes: 50 }))).rejects.toThrow(`${path}, line 6: longer than 50 bytes`)
  })

  test('the counts of a report add up for any file', async () => {
    const line = fc.constantFrom('a\tb', '', ' ', 'a', 'a\tb\tc', '\tb', 'a\t', 'much too long\tfor this')
    await fc.assert(fc.asyncProperty(fc.array(line), async lines => {
      const pairs = readParallel(write('any.tsv', `a\tb\n${lines.map(text => `${text}\n`).join('')}`), { malformed: 'skip', maxLineBytes: 10 })
      const kept = (await collected(pairs)).length, { report } = pairs
      expect(report.kept).toBe(kept)
      expect(report.read).toBe(lines.length + 1)
      expect(report.kept + report.empty + report.tooLong + report.malformed + report.unmatched).toBe(report.read)
    }), { numRuns: 50 })
  })

  test('says so when there is nothing to read, or nothing usable', async () => {
    const empty = write('empty.tsv', ''), blank = write('blank.tsv', '\n\n')
    await expect(collected(readParallel(empty))).rejects.toThrow(`${empty}: empty; expected lines with a sentence and its translation`)
    await expect(collected(readParallel(blank))).rejects.toThrow(`nothing usable in ${blank}: 2 read, 0 kept, 2 empty`)
  })

  test('leaves no file open when the reader stops early', async () => {
    const path = write('early.tsv', 'hello\t안녕\n'.repeat(200_000)), packed = write('early.gz', gzipSync('hello\t안녕\n'.repeat(200_000)))
    const before = await openFiles()
    for (let i = 0; i < 5; i++) {
      for await (const pair of readParallel(path)) { expect(pair).toEqual(hello); break }
      for await (const pair of readParallel(packed)) { expect(pair).toEqual(hello); break }
    }
    await new Promise(resolve => setImmediate(resolve))
    for (let turns = 0; turns < 1000 && await openFiles() > before; turns++) await new Promise(resolve => setImmediate(resolve))
    expect(await openFiles()).toBeLessThanOrEqual(before)
  })

  test.each([
    [{ format: 'csv' }, "format is 'csv'"], [{ columns: [0, -1] }, 'columns are 0 and -1'], [{ columns: [0, 1], keys: ['a', 'b'] }, 'columns belong to TSV'],
    [{ empty: 'keep' }, "empty is 'keep'"], [{ maxLineBytes: 0 }, 'maxLineBytes is 0'], [{ unequal: 'pad' }, "unequal is 'pad'"],
  ])('refuses the options %j', (options, message) => {
    expect(() => readParallel('x.tsv', options as object)).toThrow(ConfigError)
    expect(() => readParallel('x.tsv', options as object)).toThrow(message)
  })
})

describe('readParallel, two aligned files', () => {
  const aligned = (source: string, target: string) => ({ source: write('a.en', source), target: write('a.ko', target) })

  test('pairs line by line, one of them gzip, and drops pairs with an empty side', async () => {
    const files = { source: write('b.en', 'hello\n\nx\nworld\n'), target: write('b.ko', gzipSync('안녕\n빈\n\n세계')) }
    const pairs = readParallel(files)
    expect(await collected(pairs)).toEqual([hello, world])
    expect(pairs.report).toMatchObject({ files: [files.source, files.target], read: 4, kept: 2, empty: 2 })
  })

  test('drops the pair when one side is too long', async () => {
    const pairs = readParallel(aligned(`hello\n${'x'.repeat(99)}\nworld\n`, '안녕\n.\n세계\n'), { maxLineBytes: 20 })
    expect(await collected(pairs)).toEqual([hello, world])
    expect(pairs.report).toMatchObject({ tooLong: 1 })
  })

  test.each([
    ['hello\nworld\nmore\n', '안녕\n세계\n', 3, 2], ['hello\nworld\n', '안녕\n세계\n더\n더\n', 2, 4],
  ])('names both counts when the numbers of lines differ, or stops at the shorter', async (en, ko, m, n) => {
    const files = aligned(en, ko)
    await expect(collected(readParallel(files))).rejects.toThrow(`${files.source} has ${m} lines, ${files.target} has ${n}`)
    const pairs = readParallel(files, { unequal: 'truncate' })
    expect(await collected(pairs)).toEqual([hello, world])
    expect(pairs.report).toMatchObject({ read: Math.max(m, n), kept: 2, unmatched: Math.abs(m - n) })
  })

  test('refuses options of one file', () => {
    expect(() => readParallel({ source: 'a', target: 'b' }, { columns: [0, 1] })).toThrow('belong to one file')
  })
})

describe('readText and readWholeText', () => {
  test('reads a sample a line, from lines and from JSON lines', async () => {
    const samples = readText(write('t.txt', ' one \n\ntwo'))
    expect(await collected(samples)).toEqual([' one ', 'two'])
    expect(samples.report).toMatchObject({ read: 3, kept: 2, empty: 1 })
    expect(await collected(readText(write('t.jsonl.gz', gzipSync('{"text":"one\\ntwo"}\n'))))).toEqual(['one\ntwo'])
    expect(await collected(readText(write('t.data', '{"a":{"b":"x"}}'), { key: 'a.b' }))).toEqual(['x'])
    await expect(collected(readText(write('u.jsonl', '{"txt":"a"}')))).rejects.toThrow("line 1: no text under the key 'text'; the object has 'txt'")
  })

  test('reads a whole text to the last character', async () => {
    expect(await readWholeText(write('w.txt', '\uFEFFone\r\n\r\n two \rx\n'))).toBe('one\n\n two \rx\n')
    expect(await readWholeText(write('w.gz', gzipSync('가\n'.repeat(100_000))))).toBe('가\n'.repeat(100_000))
    await expect(readWholeText(write('w0.txt', ''))).rejects.toThrow('empty; expected text')
    await expect(readWholeText(write('w1.txt', Buffer.from('a\nb\xff', 'latin1')))).rejects.toThrow('line 2: not valid UTF-8')
  })
})

async function openFiles(): Promise<number> {
  return (await readdir('/proc/self/fd')).length
}
