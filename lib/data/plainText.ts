import { constants } from 'node:buffer'
import { ConfigError, DataError } from '../errors.js'
import { type DataReport, emptyReport } from './dataReport.js'
import { decodeUtf8, textBytes } from './lineBlocks.js'
import { LineCursor } from './lineCursor.js'
import { jsonText } from './lineFormats.js'
import { LinePolicy, type ReadOptions, requireSome } from './linePolicy.js'

export interface TextOptions extends ReadOptions {
  /** 'text' (a sample a line) or 'jsonl' (an object a line). Default: by name; `.jsonl`, `.ndjson` and `.json` are 'jsonl'. */
  format?: 'text' | 'jsonl'
  /** Key of the text in JSON lines; dots go into objects. Default `text`. */
  key?: string
}

/**
 * Opens text for streaming, one sample a line: plain lines or JSON lines, plain or gzip, UTF-8. Nothing is read before the iteration, which
 * may be repeated.
 * @throws ConfigError if options are unknown
 */
export function readText(path: string, options: TextOptions = {}): TextSamples {
  return new TextSamples(path, options)
}

/**
 * Samples streamed from disk. `report` counts the current, or else the latest, iteration.
 * Iterating throws DataError for files that are no text, for lines that a policy refuses (with file and line), and where no sample is usable.
 */
export class TextSamples implements AsyncIterable<string> {
  report: DataReport
  readonly #path: string
  readonly #key: string | undefined   // undefined: plain lines
  readonly #policy: LinePolicy

  constructor(path: string, options: TextOptions) {
    const { key, format = key !== undefined || /\.(jsonl|ndjson|json)(\.gz)?$/i.test(path) ? 'jsonl' : 'text' } = options
    if (format !== 'text' && format !== 'jsonl') throw new ConfigError(`format is '${String(format)}', expected 'text' or 'jsonl'`)
    if (format === 'text' && key !== undefined) throw new ConfigError("a key belongs to format 'jsonl'")
    this.#path = path
    this.#key = format === 'jsonl' ? key ?? 'text' : undefined
    this.#policy = new LinePolicy(options)
    this.report = emptyReport([path])
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    this.report = emptyReport([this.#path])
    const lines = new LineCursor(this.#path, this.#policy.maxLineBytes)
    try {
      while (lines.filled || await lines.fill()) {
        const line = lines.take()
        const text = this.#key === undefined || line === undefined || line.trim() === '' ? line : jsonText(line, this.#key)
        if (this.#policy.keeps<string>(text, text => [text], this.report, () => `${this.#path}, line ${lines.number}`)) yield text
      }
    } finally {
      await lines.close()
    }
    requireSome(this.report, 'lines of text')
  }
}

/**
 * Reads a file whole, for language models: every character counts, except that a byte-order mark is dropped and CRLF becomes LF.
 * @throws DataError if the file cannot be read, is empty, is no text, has invalid UTF-8 (with the line), or exceeds what one string can hold
 */
export async function readWholeText(path: string): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of textBytes(path)) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > constants.MAX_STRING_LENGTH) {
      throw new DataError(`${path} is longer than ${constants.MAX_STRING_LENGTH} bytes: read it line by line with readText`)
    }
  }
  if (bytes === 0) throw new DataError(`${path}: empty; expected text`)
  const text = decodeUtf8(Buffer.concat(chunks), path, 1)
  return text.includes('\r') ? text.replaceAll('\r\n', '\n') : text
}
