/**
 * Decodes a growing sequence of ids, a piece of text at a time. A character whose bytes are not all there yet is held back, so what was given
 * out never has to be taken back.
 */
export class StreamingDecoder {
  readonly #decode: (ids: number[]) => string
  /** Ids since the last point where the text was whole, preceded by the ids before it, which spacing may depend on. */
  #ids: number[] = []
  /** Number of leading ids whose text was given out. */
  #given = 0

  /** @param decode decodes a whole list of ids, as `Tokenizer.decode` does */
  constructor(decode: (ids: number[]) => string) {
    this.#decode = decode
  }

  /** Takes the next id (or ids); returns the text that has become certain, often ''. */
  push(...ids: number[]): string {
    this.#ids.push(...ids)
    const text = this.#decode(this.#ids)
    if (text.endsWith('\ufffd')) return ''
    return this.#take(text)
  }

  /** Ends the sequence: returns what was held back, bytes that make no character as U+FFFD. */
  flush(): string {
    const rest = this.#take(this.#decode(this.#ids))
    this.#ids = []
    this.#given = 0
    return rest
  }

  #take(text: string): string {
    const before = this.#decode(this.#ids.slice(0, this.#given))
    const added = text.slice(before.length)
    if (added !== '') {
      this.#ids = this.#ids.slice(this.#given)
      this.#given = this.#ids.length
    }
    return added
  }
}
