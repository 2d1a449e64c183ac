import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { Readable, pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { DataError } from '../errors.js'

/** Consecutive lines of a file. `first` is the number of the first one, from 1; a line of more than `maxLineBytes` is undefined. */
export interface LineBlock { first: number, lines: (string | undefined)[] }

const newline = 0x0A

/**
 * Reads a plain or gzip file (told by its first bytes, not its name) as lines of UTF-8, a block at a time: memory is bounded by a chunk of
 * the file plus one line. A byte-order mark at the start and the CR of CRLF are dropped; only LF ends a line.
 * @throws DataError if the file cannot be read, is no text (binary, UTF-16, another compression), or has invalid UTF-8; names file and line
 */
export async function* lineBlocks(path: string, maxLineBytes: number): AsyncGenerator<LineBlock> {
  let number = 1
  let pending: Buffer[] = [], pendingBytes = 0
  let skipping = false   // inside a line that is too long
  for await (const chunk of textBytes(path)) {
    let start = 0
    if (skipping) {
      const end = chunk.indexOf(newline)
      if (end < 0) continue
      yield { first: number++, lines: [undefined] }
      skipping = false
      start = end + 1
    }
    const end = chunk.lastIndexOf(newline)
    if (end >= start) {
      const lines = decodeLines(Buffer.concat([...pending, chunk.subarray(start, end)]), path, number, maxLineBytes)
      yield { first: number, lines }
      number += lines.length
      pending = []
      pendingBytes = 0
      start = end + 1
    }
    if (start < chunk.length) {
      pending.push(chunk.subarray(start))
      pendingBytes += chunk.length - start
      skipping = pendingBytes > maxLineBytes
      if (skipping) { pending = []; pendingBytes = 0 }
    }
  }
  if (skipping) yield { first: number, lines: [undefined] }
  if (pendingBytes > 0) yield { first: number, lines: decodeLines(Buffer.concat(pending), path, number, maxLineBytes) }
}

/**
 * The uncompressed bytes of a text file, without its byte-order mark.
 * @throws DataError as `lineBlocks`, except for invalid UTF-8
 */
export async function* textBytes(path: string): AsyncGenerator<Buffer> {
  let number = 1
  try {
    for await (const chunk of withoutMark(uncompressed(createReadStream(path, { highWaterMark: 1 << 18 }), path), path)) {
      const nul = chunk.indexOf(0)
      if (nul >= 0) {
        throw new DataError(`${path}, line ${number + count(chunk.subarray(0, nul))}: a NUL byte, so this is a binary file; `
          + 'expected text in UTF-8, plain or gzip')
      }
      yield chunk
      number += count(chunk)
    }
  } catch (error) {
    if (error instanceof DataError) throw error
    throw new DataError(`${path} cannot be read: ${reason(error as NodeJS.ErrnoException)}`, { cause: error })
  }
}

/** Decodes UTF-8. @throws DataError that names the first line that is not valid; `first` is the number of the first line in `bytes` */
export function decodeUtf8(bytes: Buffer, path: string, first: number): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  let start = 0
  for (let number = first; ; number++) {
    const end = bytes.indexOf(newline, start)
    const line = bytes.subarray(start, end < 0 ? bytes.length : end)
    if (!isUtf8(line) || end < 0) {
      const text = line.toString('utf8'), at = text.indexOf('\uFFFD')
      const near = text.slice(Math.max(0, at - 30), at + 10)
      throw new DataError(`${path}, line ${number}: not valid UTF-8 near ${JSON.stringify(near)}. Convert the file first, e.g. `
        + 'iconv -f ISO-8859-1 -t UTF-8')
    }
    start = end + 1
  }
}

function decodeLines(bytes: Buffer, path: string, first: number, maxLineBytes: number): (string | undefined)[] {
  const lines: (string | undefined)[] = decodeUtf8(bytes, path, first).split('\n')
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!
    // A UTF-16 unit is at most three bytes of UTF-8, so most lines need no count.
    if (line.length * 3 > maxLineBytes && Buffer.byteLength(line) > maxLineBytes) lines[i] = undefined
    else if (line.endsWith('\r')) lines[i] = line.slice(0, -1)
  }
  return lines
}

async function* uncompressed(file: Readable, path: string): AsyncGenerator<Buffer> {
  const chunks = withHead(file)
  try {
    const first = await chunks.next()
    if (first.done) return
    const head = first.value
    if (head[0] === 0x1F && head[1] === 0x8B) {
      yield* gunzipped(head, chunks)
    } else {
      refuseKnownBinary(head, path)
      yield head
      yield* chunks
    }
  } finally {
    file.destroy()
  }
}

async function* gunzipped(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  async function* compressed() {
    yield head
    yield* rest
  }
  const gunzip = createGunzip()
  // Errors of the file and of the data both destroy `gunzip`, and so reach whoever iterates it.
  pipeline(Readable.from(compressed()), gunzip, () => {})
  yield* gunzip as AsyncIterable<Buffer>
}

// The first chunk is made long enough to tell formats apart: a pipe may hand out single bytes.
async function* withHead(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0)
  for await (const chunk of stream) {
    if (head === undefined) { yield chunk; continue }
    head = Buffer.concat([head, chunk])
    if (head.length >= 8) { yield head; head = undefined }
  }
  if (head !== undefined && head.length > 0) yield head
}

async function* withoutMark(stream: AsyncIterable<Buffer>, path: string): AsyncGenerator<Buffer> {
  let first = true
  for await (const chunk of withHead(stream)) {
    if (first) {
      first = false
      if ((chunk[0] === 0xFF && chunk[1] === 0xFE) || (chunk[0] === 0xFE && chunk[1] === 0xFF)) {
        throw new DataError(`${path} is UTF-16; expected UTF-8. Convert it first: iconv -f UTF-16 -t UTF-8`)
      }
      if (chunk[0] === 0xEF && chunk[1] === 0xBB && chunk[2] === 0xBF) { yield chunk.subarray(3); continue }
    }
    yield chunk
  }
}

/* eslint-disable no-control-regex -- these bytes are what tells the formats apart */
const knownBinary: readonly (readonly [string, RegExp])[] = [
  ['a zip archive', /^PK\x03\x04/], ['zstd-compressed', /^\x28\xB5\x2F\xFD/], ['xz-compressed', /^\xFD7zXZ/], ['bzip2-compressed', /^BZh[1-9]1AY&/],
  ['a 7-zip archive', /^7z\xBC\xAF/], ['a Parquet file', /^PAR1\x15/], ['a PDF', /^%PDF-/],
]
/* eslint-enable no-control-regex */

function refuseKnownBinary(head: Buffer, path: string): void {
  const start = head.toString('latin1', 0, 8)
  const known = knownBinary.find(([, magic]) => magic.test(start))
  if (known) throw new DataError(`${path} is ${known[0]}; expected text in UTF-8, plain or gzip. Unpack or convert it first`)
}

function reason(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOENT': return 'there is no such file. Check the path'
    case 'EISDIR': return 'it is a folder. Give a file inside of it'
    case 'EACCES': return 'no permission. Check its access rights (ls -l)'
    case 'Z_BUF_ERROR': return 'its gzip data ends too early. Copy or download it again'
    case 'Z_DATA_ERROR': return `its gzip data is damaged (${error.message}). Copy or download it again`
    default: return error.message
  }
}

function count(bytes: Buffer): number {
  let lines = 0
  for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) lines++
  return lines
}
