import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { DataError } from '#lib/errors.js'
import { lineBlocks } from '#lib/data/lineBlocks.js'
import { collected, fileWriter } from './files.js'

const write = fileWriter()
const lines = async (path: string, maxLineBytes = 1 << 20) => (await collected(lineBlocks(path, maxLineBytes))).flatMap(block => block.lines)

describe('lineBlocks', () => {
  test.each([
    ['ends with a newline', 'a\nb\n', ['a', 'b']], ['does not', 'a\nb', ['a', 'b']], ['has empty lines', '\na\n\n', ['', 'a', '']],
    ['has CRLF', 'a\r\nb\r\n', ['a', 'b']], ['begins with a byte-order mark', '\uFEFFa\nb', ['a', 'b']], ['is empty', '', []], ['is only a mark', '\uFEFF', []],
    ['has a lone CR, a line separator and a mark within', 'a\rb\u2028c\n\uFEFFd', ['a\rb\u2028c', '\uFEFFd']], ['has one byte', 'a', ['a']],
  ])('reads a file that %s, plain and gzip alike', async (_, content, expected) => {
    expect(await lines(write('plain', content))).toEqual(expected)
    expect(await lines(write('packed', gzipSync(content)))).toEqual(expected)
  })

  test('splits any text as String.split does, across chunks and gzip members', async () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 30 }).map(s => s.replaceAll(/[\r\n\0\uFEFF]/g, '')), { minLength: 1, maxLength: 40 })
    await fc.assert(fc.asyncProperty(texts, fc.integer({ min: 1, max: 2000 }), async (written, repeat) => {
      const content = `${written.join('\n')}\n`.repeat(repeat), expected = content.split('\n').slice(0, -1)
      const read = await lines(write('any', content)), packed = await lines(write('any.gz', Buffer.concat([gzipSync(content), gzipSync(content)])))
      // Compared as text: jest's comparison of long arrays takes longer than reading them.
      expect(read.join('\n') === expected.join('\n') && read.length === expected.length).toBe(true)
      expect(packed.join('\n') === [...expected, ...expected].join('\n')).toBe(true)
    }), { numRuns: 30 })
  }, 60_000)

  test('numbers blocks so that every line has its place', async () => {
    const path = write('long', Array.from({ length: 100_000 }, (_, i) => `line ${i + 1}`).join('\n'))
    let blocks = 0
    for await (const block of lineBlocks(path, 100)) {
      blocks++
      expect(block.lines[0]).toBe(`line ${block.first}`)
    }
    expect(blocks).toBeGreaterThan(2)
  })

  test('marks lines beyond the bound as undefined and reads on, however long they are', async () => {
    const long = 'x'.repeat(3_000_000)
    expect(await lines(write('bounded', `a\n${long}\nb\n가나다\n가나다라\n${long}`), 10)).toEqual(['a', undefined, 'b', '가나다', undefined, undefined])
  })

  test.each([
    ['Latin-1', Buffer.from('fine\nfine\ncaf\xe9 noir\nfine\n', 'latin1'), 3], ['cut off in a character', Buffer.from('a\nb\n가').subarray(0, 6), 3],
    ['an encoded surrogate', Buffer.from([0x61, 0x0A, 0xED, 0xA0, 0x80, 0x0A]), 2],
  ])('names file and line of invalid UTF-8: %s', async (_, content, line) => {
    for (const path of [write('bad.txt', content), write('bad.gz', gzipSync(content))]) {
      await expect(lines(path)).rejects.toThrow(DataError)
      await expect(lines(path)).rejects.toThrow(`${path}, line ${line}: not valid UTF-8`)
    }
  })

  test('names the line of invalid UTF-8 far into a file', async () => {
    const path = write('far', Buffer.concat([Buffer.from('ok\n'.repeat(300_000)), Buffer.from([0xff, 0x0A])]))
    await expect(lines(path)).rejects.toThrow('line 300001: not valid UTF-8')
  })

  test.each([
    ['NUL bytes', Buffer.from('a\nb\0c'), 'line 2: a NUL byte'], ['UTF-16', Buffer.from('\uFEFFabc', 'utf16le'), 'UTF-16'], ['zip', Buffer.from('PK\x03\x04abcd'), 'a zip archive'],
    ['zstd', Buffer.from([0x28, 0xB5, 0x2F, 0xFD, 1, 2, 3, 4]), 'zstd'], ['bzip2', Buffer.from('BZh91AY&SY'), 'bzip2'],
    ['a gzip cut off', gzipSync('hello\n'.repeat(1000)).subarray(0, 40), 'ends too early'], ['a gzip damaged', damaged(), 'damaged'],
    ['a packed binary', gzipSync(Buffer.from([1, 0, 2])), 'NUL byte'],
  ])('refuses %s and says what it is', async (_, content, message) => {
    const path = write('refused', content)
    await expect(lines(path)).rejects.toThrow(DataError)
    await expect(lines(path)).rejects.toThrow(message)
    await expect(lines(path)).rejects.toThrow(path)
  })

  test('says what is wrong with a path', async () => {
    await expect(lines('/no/such/file.tsv')).rejects.toThrow('/no/such/file.tsv cannot be read: there is no such file')
    await expect(lines('/')).rejects.toThrow('it is a folder')
  })

  test('never gives anything but lines or a DataError for random bytes', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, magic) => {
      const path = write('random', magic ? Buffer.concat([Buffer.from([0x1F, 0x8B, 8, 0]), bytes]) : bytes)
      await lines(path).catch((error: unknown) => expect(error).toBeInstanceOf(DataError))
    }))
  })
})

function damaged(): Buffer {
  const packed = Buffer.from(gzipSync(Array.from({ length: 500 }, (_, i) => `line ${i * 7919}`).join('\n')))
  packed.fill(0x55, 200, 260)
  return packed
}
