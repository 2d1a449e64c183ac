import { fstatSync } from 'node:fs'
import { decodeUtf8 } from '../data/lineBlocks.js'
import { DataError } from '../errors.js'

/** Longest line, which also bounds the memory of reading. */
const maxLineBytes = 1 << 20
/** Lines that came while others were translated go together, at most so many. */
const mostTogether = 64

/**
 * Lines of standard input as they come: one at once where nothing else waits, many together where they come faster than they are taken.
 * @throws DataError that names the line, for what is no text in UTF-8
 */
export async function* standardInput(stream: NodeJS.ReadStream = process.stdin): AsyncGenerator<string[]> {
  if (stream === process.stdin) requireInput()
  const lines = new IncomingLines()
  let wake = (): void => undefined
  stream.on('data', (chunk: Buffer) => {
    lines.take(chunk)
    if (lines.waiting >= 4 * mostTogether) stream.pause()   // a file is read no faster than it is translated
    wake()
  })
  stream.on('end', () => { lines.end(); wake() })
  // A closed or vanished input is one that has ended; a folder is a mistake.
  stream.on('error', (error: NodeJS.ErrnoException) => { lines.end(error.code === 'EISDIR' ? 'it is a folder' : undefined); wake() })
  try {
    for (;;) {
      const next = lines.next(mostTogether)
      if (next.length > 0) yield next
      else if (lines.ended) return
      else {
        await new Promise<void>(resolve => {
          wake = resolve
          stream.resume()
        })
      }
    }
  } finally {
    stream.destroy()   // an open terminal would keep the process
  }
}

/** Node takes a folder for an input that has ended. @throws DataError if standard input is one */
export function requireInput(): void {
  let isFolder: boolean
  try {
    isFolder = fstatSync(0).isDirectory()
  } catch {
    return   // closed: nothing comes
  }
  if (isFolder) throw new DataError(`${standardInputName}: it is a folder. Expected text; name files as arguments, or write < FILE.`)
}

/** Bytes on one side, lines on the other. What is wrong is told when the lines before it are taken. */
class IncomingLines {
  ended = false
  private readonly lines: string[] = []
  private rest: Buffer[] = []
  private restBytes = 0
  private number = 1
  private problem: DataError | undefined

  get waiting(): number { return this.lines.length }

  take(chunk: Buffer): void {
    if (this.ended) return
    const end = chunk.lastIndexOf(0x0A)
    if (end >= 0) {
      this.add(Buffer.concat([...this.rest, chunk.subarray(0, end)]))
      this.rest = []
      this.restBytes = 0
    }
    this.rest.push(chunk.subarray(end + 1))
    this.restBytes += chunk.length - end - 1
    if (this.restBytes > maxLineBytes) this.fail(`line ${this.number} is longer than ${maxLineBytes} bytes. Is it text, one sentence a line?`)
  }

  end(problem?: string): void {
    if (this.ended) return
    if (problem !== undefined) this.fail(`${problem}. Expected text, one sentence a line`)
    else if (this.restBytes > 0) this.add(Buffer.concat(this.rest))
    this.ended = true
  }

  next(most: number): string[] {
    const next = this.lines.splice(0, most)
    if (next.length === 0 && this.problem) throw this.problem
    return next
  }

  private add(bytes: Buffer): void {
    if (this.ended) return
    if (this.number === 1) {
      if (bytes[0] === 0x1F && bytes[1] === 0x8B) { this.fail('it is compressed by gzip. Unpack it first (zcat FILE | …), or give the file by its name'); return }
      if (bytes[0] === 0xEF && bytes[1] === 0xBB && bytes[2] === 0xBF) bytes = bytes.subarray(3)
    }
    let start = 0
    for (;;) {
      const end = bytes.indexOf(0x0A, start), line = bytes.subarray(start, end < 0 ? bytes.length : end)
      if (line.includes(0)) { this.fail(`line ${this.number}: a NUL byte, so this is no text; expected UTF-8`); return }
      try {
        this.lines.push(decodeUtf8(line, standardInputName, this.number).replace(/\r$/, ''))
      } catch (error) {
        this.problem = error as DataError
        this.ended = true
        return
      }
      this.number++
      if (end < 0) return
      start = end + 1
    }
  }

  private fail(what: string): void {
    this.problem ??= new DataError(`${standardInputName}: ${what}`)
    this.ended = true
  }
}

export const standardInputName = 'standard input'
