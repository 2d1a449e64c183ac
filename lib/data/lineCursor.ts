import { type LineBlock, lineBlocks } from './lineBlocks.js'

/** Takes the lines of a file one by one; waiting happens in `fill` alone, which keeps promises out of the loop over lines. */
export class LineCursor {
  readonly #blocks: AsyncGenerator<LineBlock>
  #lines: LineBlock['lines'] = []
  #next = 0
  /** Number of the line that `take` returned last, from 1; 0 before. */
  number = 0

  constructor(path: string, maxLineBytes: number) { this.#blocks = lineBlocks(path, maxLineBytes) }

  /** Whether `take` has a line without waiting. */
  get filled(): boolean { return this.#next < this.#lines.length }

  /** Reads on; false at the end of the file. */
  async fill(): Promise<boolean> {
    const { value } = await this.#blocks.next() as { value: LineBlock | undefined }
    this.#lines = value?.lines ?? []
    this.#next = 0
    return this.filled
  }

  /** The next line, undefined if it is too long. */
  take(): string | undefined {
    this.number++
    return this.#lines[this.#next++]
  }

  async close(): Promise<void> { await this.#blocks.return(undefined) }
}
