import { ConfigError, DataError } from '../errors.js'
import { type DataReport, describeReport } from './dataReport.js'
import { Malformed } from './lineFormats.js'

/** What to do with lines that cannot be used as they are. What is skipped is counted in the `DataReport`. */
export interface ReadOptions {
  /** Lines without any text (in pairs: on either side). Default 'skip'. */
  empty?: 'skip' | 'error'
  /** Lines of more than `maxLineBytes`. Default 'skip'. */
  tooLong?: 'skip' | 'error'
  /** Bound of one line, which also bounds the memory of reading. Default 1 MiB. */
  maxLineBytes?: number
  /** Lines that are not of the format. Default 'error'. */
  malformed?: 'skip' | 'error'
}

/** `ReadOptions` applied to one line after the other. */
export class LinePolicy {
  readonly maxLineBytes: number
  readonly #policies: { empty: string, tooLong: string, malformed: string }

  /** @throws ConfigError for values that are none of these options' */
  constructor({ empty = 'skip', tooLong = 'skip', malformed = 'error', maxLineBytes = 1 << 20 }: ReadOptions) {
    for (const [name, value] of Object.entries({ empty, tooLong, malformed })) {
      if (value !== 'skip' && value !== 'error') throw new ConfigError(`${name} is '${String(value)}', expected 'skip' or 'error'`)
    }
    if (!(maxLineBytes >= 1)) throw new ConfigError(`maxLineBytes is ${maxLineBytes}, expected at least 1`)
    this.maxLineBytes = maxLineBytes
    this.#policies = { empty, tooLong, malformed }
  }

  /**
   * Counts an example and says whether to keep it. `example` is undefined for a line that is too long.
   * @throws DataError where a policy says so, beginning with `where()`: file and line
   */
  keeps<T>(example: T | Malformed | undefined, texts: (example: T) => readonly string[], report: DataReport, where: () => string): example is T {
    report.read++
    if (example === undefined) this.#reject('tooLong', `longer than ${this.maxLineBytes} bytes (maxLineBytes)`, report, where)
    else if (example instanceof Malformed) this.#reject('malformed', example.problem, report, where)
    else if (texts(example).some(text => text.trim() === '')) this.#reject('empty', 'no text', report, where)
    else {
      report.kept++
      return true
    }
    return false
  }

  #reject(kind: 'empty' | 'tooLong' | 'malformed', problem: string, report: DataReport, where: () => string): void {
    if (this.#policies[kind] === 'error') throw new DataError(`${where()}: ${problem}`)
    report[kind]++
  }
}

/** @throws DataError if nothing was read or nothing of it could be used: training on nothing helps nobody */
export function requireSome(report: DataReport, expected: string): void {
  if (report.kept > 0) return
  if (report.read === 0) throw new DataError(`${report.files.join(' and ')}: empty; expected ${expected}`)
  throw new DataError(`nothing usable in ${describeReport(report)}; expected ${expected}`)
}
