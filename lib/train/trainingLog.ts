import { open, stat, truncate } from 'node:fs/promises'
import { ioError, systemCode } from '../io/ioError.js'

/** A line of the log: the mean over the steps since the last one, or the metrics of an evaluation under `eval…` names. */
export type LogEntry = Readonly<Record<string, number>>

/** The log file: a JSON object a line, appended. Lines behind the checkpoint that a run resumes from are cut off, as their steps are taken again. */
export class TrainingLog {
  private constructor(private readonly path: string, private length: number) {}

  /**
   * @param position length of the file in bytes when the checkpoint that is resumed was written; 0 for a new log, which replaces an old one
   * @throws CheckpointError if the file cannot be written
   */
  static async open(path: string, position: number): Promise<TrainingLog> {
    try {
      const size = await stat(path).then(found => found.size, (error: unknown) => {
        if (systemCode(error) === 'ENOENT') return 0
        throw error
      })
      const length = Math.min(position, size)
      await (await open(path, 'a')).close()
      await truncate(path, length)
      return new TrainingLog(path, length)
    } catch (error) {
      throw ioError('write', path, error)
    }
  }

  /** Bytes so far: what a checkpoint remembers. */
  get position(): number { return this.length }

  /** @throws CheckpointError if the system refuses */
  async append(entry: LogEntry): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(entry)}\n`)
    try {
      const file = await open(this.path, 'a')
      try { await file.writeFile(line) } finally { await file.close() }
    } catch (error) {
      await truncate(this.path, this.length).catch(() => undefined)   // half a line, where the disk got full
      throw ioError('write', this.path, error)
    }
    this.length += line.length
  }
}
