import { ConfigError, DataError } from '../errors.js'
import { type DataReport, emptyReport } from './dataReport.js'
import { LineCursor } from './lineCursor.js'
import { type Columns, type Malformed, type Pair, jsonPairs, tsvLines } from './lineFormats.js'
import { LinePolicy, type ReadOptions, requireSome } from './linePolicy.js'

/** One file with both sides, or two files whose lines correspond. */
export type ParallelSource = string | { source: string, target: string }

export interface ParallelOptions extends ReadOptions {
  /**
   * Of one file: 'tsv' (columns separated by tabs, no quoting) or 'jsonl' (a JSON object a line). Default: by name; `.jsonl`, `.ndjson` and
   * `.json` are 'jsonl'.
   */
  format?: 'tsv' | 'jsonl'
  /** Columns of source and target: numbers from 0, or names that the first line gives. Default: the only two columns. */
  columns?: Columns
  /** Keys of source and target in JSON lines; dots go into objects (`translation.en`). Default `source` and `target`. */
  keys?: readonly [string, string]
  /** Aligned files of different length: 'error', or 'truncate' to the shorter one. Default 'error'. */
  unequal?: 'error' | 'truncate'
}

/**
 * Opens parallel text for streaming: TSV, JSON lines or two aligned files, plain or gzip, UTF-8. Nothing is read before the iteration,
 * which may be repeated.
 * @throws ConfigError if options are unknown or contradict the source
 */
export function readParallel(source: ParallelSource, options: ParallelOptions = {}): ParallelText {
  return new ParallelText(source, options)
}

/**
 * Pairs streamed from disk. `report` counts the current, or else the latest, iteration.
 * Iterating throws DataError for files that are no text, for lines that a policy refuses (with file and line), and where no pair is usable.
 */
export class ParallelText implements AsyncIterable<Pair> {
  report: DataReport
  readonly #source: ParallelSource
  readonly #options: ParallelOptions
  readonly #policy: LinePolicy

  constructor(source: ParallelSource, options: ParallelOptions) {
    checkOptions(source, options)
    this.#source = source
    this.#options = options
    this.#policy = new LinePolicy(options)
    this.report = emptyReport(this.#files)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Pair> {
    this.report = emptyReport(this.#files)
    if (typeof this.#source === 'string') yield* this.#oneFile(this.#source)
    else yield* this.#twoFiles(this.#source.source, this.#source.target)
    requireSome(this.report, 'lines with a sentence and its translation')
  }

  get #files(): string[] {
    return typeof this.#source === 'string' ? [this.#source] : [this.#source.source, this.#source.target]
  }

  async *#oneFile(path: string): AsyncGenerator<Pair> {
    const { columns, keys, format = columns ? 'tsv' : keys || /\.(jsonl|ndjson|json)(\.gz)?$/i.test(path) ? 'jsonl' : 'tsv' } = this.#options
    const parse = format === 'jsonl' ? jsonPairs(keys ?? ['source', 'target']) : tsvLines(columns, path)
    const lines = new LineCursor(path, this.#policy.maxLineBytes)
    try {
      while (lines.filled || await lines.fill()) {
        const line = lines.take()
        let pair: Pair | Malformed | undefined
        if (line?.trim() === '') pair = { source: '', target: '' }
        else if (line !== undefined) {
          pair = parse(line)
          if (pair === undefined) continue   // a header
        }
        if (this.#keeps(pair, () => `${path}, line ${lines.number}`)) yield pair
      }
    } finally {
      await lines.close()
    }
  }

  async *#twoFiles(sourcePath: string, targetPath: string): AsyncGenerator<Pair> {
    const sources = new LineCursor(sourcePath, this.#policy.maxLineBytes), targets = new LineCursor(targetPath, this.#policy.maxLineBytes)
    try {
      while ((sources.filled || await sources.fill()) && (targets.filled || await targets.fill())) {
        const source = sources.take(), target = targets.take()
        const pair = source === undefined || target === undefined ? undefined : { source, target }
        if (this.#keeps(pair, () => `${sourcePath} and ${targetPath}, line ${sources.number}`)) yield pair
      }
      // The longer file is read to its end, so that the message can name both counts.
      for (const longer of [sources, targets]) {
        while (longer.filled || await longer.fill()) {
          longer.take()
          this.report.read++
          this.report.unmatched++
        }
      }
    } finally {
      await Promise.all([sources.close(), targets.close()])
    }
    if (this.report.unmatched > 0 && this.#options.unequal !== 'truncate') {
      throw new DataError(`${sourcePath} has ${sources.number} lines, ${targetPath} has ${targets.number}: aligned files must have the same number. `
        + "Find where they part, or say unequal: 'truncate' if the rest of the longer one is to be left out")
    }
  }

  #keeps(pair: Pair | Malformed | undefined, where: () => string): pair is Pair {
    return this.#policy.keeps<Pair>(pair, ({ source, target }) => [source, target], this.report, where)
  }
}

function checkOptions(source: ParallelSource, { format, columns, keys, unequal }: ParallelOptions): void {
  if (format !== undefined && format !== 'tsv' && format !== 'jsonl') {
    throw new ConfigError(`format is '${String(format)}', expected 'tsv' or 'jsonl'`)
  }
  if (unequal !== undefined && unequal !== 'error' && unequal !== 'truncate') {
    throw new ConfigError(`unequal is '${String(unequal)}', expected 'error' or 'truncate'`)
  }
  if (typeof source !== 'string' && (format ?? columns ?? keys) !== undefined) {
    throw new ConfigError('format, columns and keys belong to one file with both sides; two aligned files have one sentence a line')
  }
  if ((columns && (keys || format === 'jsonl')) || (keys && format === 'tsv')) {
    throw new ConfigError('columns belong to TSV and keys to JSON lines')
  }
  if (columns?.some(c => typeof c === 'number' && (!Number.isInteger(c) || c < 0))) {
    throw new ConfigError(`columns are ${columns.join(' and ')}, expected integers from 0, or names`)
  }
}
