/** What is wrong with a header and where. The reader of the file adds the path. */
export class HeaderSyntaxError extends Error {}

/**
 * A cursor over the JSON of a safetensors header or index. It knows only what these may hold (objects, strings, lists of whole numbers),
 * so that a hostile one of many megabytes is refused at its first odd byte instead of being built up in memory; and it sees keys that
 * come twice, which JSON.parse does not.
 */
export class HeaderText {
  readonly #bytes: Buffer
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #at = 0

  constructor(bytes: Uint8Array) { this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) }

  /** Calls `member` with each key, the cursor being at its value. @throws HeaderSyntaxError, also for a key that comes twice */
  object(member: (key: string) => void): void {
    const keys = new Set<string>()
    this.#list('{', '}', () => {
      const key = this.string()
      if (keys.has(key)) throw this.error(`the key ${shown(key)} comes twice`)
      keys.add(key)
      this.#expect(':')
      member(key)
    })
  }

  /** @throws HeaderSyntaxError for anything but numbers from 0 to 2^53 - 1 without sign, fraction or exponent, or for more than `most` */
  wholeNumbers(most: number): number[] {
    const numbers: number[] = []
    this.#list('[', ']', () => {
      if (numbers.length === most) throw this.error(`a list is longer than ${most}`)
      numbers.push(this.#wholeNumber())
    })
    return numbers
  }

  /** @throws HeaderSyntaxError for anything but a string of well-formed Unicode */
  string(): string {
    this.#expect('"')
    const start = this.#at
    let isPlain = true
    for (;; this.#at++) {
      const byte = this.#bytes[this.#at]
      if (byte === undefined || byte < 0x20) throw this.error('a string does not end')
      if (byte === quote) break
      if (byte < 0x80 && byte !== backslash) continue
      isPlain = false
      if (byte === backslash) this.#at++
    }
    const end = this.#at++
    return isPlain ? this.#bytes.toString('latin1', start, end) : this.#decode(start, end)
  }

  /** Passes over a value that does not matter. Brackets are counted, not matched: nothing of it is kept. */
  skip(): void {
    for (let depth = 0, begun = false; !begun || depth > 0; begun = true) {
      this.#skipSpace()
      const byte = this.#bytes[this.#at]
      if (byte === quote) this.string()
      else if (byte === undefined) throw this.error('a value does not end')
      else if (isWord(byte)) while (isWord(this.#bytes[this.#at] ?? 0)) this.#at++
      else {
        const character = String.fromCharCode(byte)
        if (!(depth > 0 ? '{}[],:' : '{[').includes(character)) throw this.error('expected a value')
        depth += '{['.includes(character) ? 1 : '}]'.includes(character) ? -1 : 0
        this.#at++
      }
    }
  }

  /** Nothing but white space may follow. @throws HeaderSyntaxError */
  end(): void {
    this.#skipSpace()
    if (this.#at < this.#bytes.length) throw this.error('something follows the end of the JSON object')
  }

  error(what: string): HeaderSyntaxError {
    return new HeaderSyntaxError(`${what} (at byte ${this.#at} of the JSON)`)
  }

  #decode(start: number, end: number): string {
    let text: string
    try {
      text = this.#decoder.decode(this.#bytes.subarray(start, end))
    } catch {
      throw this.error('a string is not valid UTF-8')
    }
    try {
      text = JSON.parse(`"${text}"`) as string
    } catch {
      throw this.error('a string has an unknown escape')
    }
    if (/\p{Surrogate}/u.test(text)) throw this.error('a string holds half a character')
    return text
  }

  #wholeNumber(): number {
    this.#skipSpace()
    const start = this.#at
    let value = 0
    for (let byte = this.#bytes[start]; byte !== undefined && byte >= 0x30 && byte <= 0x39; byte = this.#bytes[++this.#at]) {
      value = value * 10 + byte - 0x30
      if (!Number.isSafeInteger(value)) throw this.error('a number is above 2^53 - 1')
    }
    const digits = this.#at - start
    if (digits === 0 || (digits > 1 && this.#bytes[start] === 0x30)) throw this.error('expected a whole number >= 0')
    return value
  }

  #list(open: string, close: string, item: () => void): void {
    this.#expect(open)
    if (this.#take(close)) return
    do item()
    while (this.#take(','))
    this.#expect(close)
  }

  #take(character: string): boolean {
    this.#skipSpace()
    if (this.#bytes[this.#at] !== character.charCodeAt(0)) return false
    this.#at++
    return true
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.error(`expected ${character}`)
  }

  #skipSpace(): void {
    while (isSpace(this.#bytes[this.#at])) this.#at++
  }
}

const quote = 0x22, backslash = 0x5c

const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/** Of a number, true, false or null. */
const isWord = (byte: number) =>
  (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a) || byte === 0x2d || byte === 0x2b || byte === 0x2e

/** A name as it may stand in a message: quoted, control characters escaped, not endless. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name)
}
