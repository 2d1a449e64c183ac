/** `[start, end]` in UTF-16 units of the original text, fit for `text.slice(start, end)`. */
export type Span = [start: number, end: number]

const isHigh = (unit: number): boolean => (unit & 0xfc00) === 0xd800
const isLow = (unit: number): boolean => (unit & 0xfc00) === 0xdc00

/**
 * A normalised text that knows, for each of its UTF-16 units, which characters of the original it stands for. The rules of alignment are those
 * of Hugging Face's `NormalizedString`: a replaced character keeps the place of what it replaces, an inserted one shares the place of the
 * character before it. Until something changes no map is stored: units stand for themselves.
 */
export class AlignedText {
  readonly text: string
  /** Where this piece begins in the original. */
  readonly origin: number
  /** Start and end in the original for each unit, interleaved; null while the text is the original. */
  readonly #map: Int32Array | null
  /** Index of the first unit: in the map, or in the original where there is none. */
  readonly #at: number

  private constructor(text: string, origin: number, map: Int32Array | null, at: number) {
    this.text = text
    this.origin = origin
    this.#map = map
    this.#at = at
  }

  static of(text: string): AlignedText {
    return new AlignedText(text, 0, null, 0)
  }

  /** The original characters that units `from` to `to` (exclusive) stand for. */
  span(from: number, to: number): Span {
    if (from < to) return [this.#start(from), this.#end(to - 1)]
    const at = from < this.text.length ? this.#start(from) : from > 0 ? this.#end(from - 1) : this.origin
    return [at, at]
  }

  slice(from: number, to: number): AlignedText {
    if (from === 0 && to === this.text.length) return this
    return new AlignedText(this.text.slice(from, to), this.span(from, to)[0], this.#map, this.#at + from)
  }

  /** Another text of the same number of units, each standing where the old one stood. */
  relabelled(text: string): AlignedText {
    return text === this.text ? this : new AlignedText(text, this.origin, this.#map, this.#at)
  }

  /**
   * Rewrites the whole text character by character. `changes[i]` says how `characters[i]` came about: 0 replaces the next old character,
   * 1 is inserted, -n replaces the next one and drops the n after it.
   * @param skipped old characters dropped before the first
   */
  rewritten(characters: readonly string[], changes: readonly number[], skipped = 0): AlignedText {
    const { text } = this
    const output = characters.join('')
    const map = new Int32Array(2 * output.length)
    let position = 0, unit = 0
    const advance = (count: number): void => {
      while (count-- > 0 && position < text.length) position += isHigh(text.charCodeAt(position)) && isLow(text.charCodeAt(position + 1)) ? 2 : 1
    }
    advance(skipped)
    for (let i = 0; i < characters.length; i++) {
      const change = changes[i] as number
      const source = change > 0 ? position - 1 : position
      const [start, end] = source < 0 ? [this.origin, this.origin] : [this.#start(source), this.#end(source)]
      for (let n = (characters[i] as string).length; n > 0; n--) {
        map[2 * unit] = start
        map[2 * unit + 1] = end
        unit++
      }
      if (change <= 0) advance(1 - change)
    }
    return new AlignedText(output, this.origin, map, 0)
  }

  /** Keeps the characters for which `keep` holds. */
  filtered(keep: (character: string) => boolean): AlignedText {
    const kept: string[] = []
    const units: number[] = []
    let position = 0
    for (const character of this.text) {
      if (keep(character)) {
        kept.push(character)
        for (let n = 0; n < character.length; n++) units.push(position + n)
      }
      position += character.length
    }
    if (units.length === this.text.length) return this
    const map = new Int32Array(2 * units.length)
    units.forEach((unit, i) => {
      map[2 * i] = this.#start(unit)
      map[2 * i + 1] = this.#end(unit)
    })
    return new AlignedText(kept.join(''), this.origin, map, 0)
  }

  /** Replaces what a global expression matches; the replacement stands for the last character of the match. */
  replaced(pattern: RegExp, content: string): AlignedText {
    const { text } = this
    if (content.length === 1 && pattern.source === ' ') return this.relabelled(text.replaceAll(' ', content))
    const parts: string[] = []
    const map: number[] = []
    let last = 0
    const copy = (end: number): void => {
      parts.push(text.slice(last, end))
      for (let i = last; i < end; i++) map.push(this.#start(i), this.#end(i))
    }
    for (const match of text.matchAll(pattern)) {
      const end = match.index + match[0].length
      copy(match.index)
      parts.push(content)
      const [start, stop] = end > 0 ? [this.#start(end - 1), this.#end(end - 1)] : [this.origin, this.origin]
      for (let i = 0; i < content.length; i++) map.push(start, stop)
      last = end
    }
    if (last === 0 && parts.length === 0) return this
    copy(text.length)
    return new AlignedText(parts.join(''), this.origin, Int32Array.from(map), 0)
  }

  /** Puts `content` before the text, standing for its first character. An empty text stays empty. */
  prepended(content: string): AlignedText {
    const first = this.text.codePointAt(0)
    if (first === undefined) return this
    const lead = content.length + (first > 0xffff ? 2 : 1)
    const output = content + this.text
    const map = new Int32Array(2 * output.length)
    for (let i = 0; i < output.length; i++) {
      const source = i < lead ? 0 : i - content.length
      map[2 * i] = this.#start(source)
      map[2 * i + 1] = this.#end(source)
    }
    return new AlignedText(output, this.origin, map, 0)
  }

  #start(unit: number): number {
    if (this.#map) return this.#map[2 * (this.#at + unit)] as number
    const pairTail = unit > 0 && isLow(this.text.charCodeAt(unit)) && isHigh(this.text.charCodeAt(unit - 1))
    return this.#at + unit - (pairTail ? 1 : 0)
  }

  #end(unit: number): number {
    if (this.#map) return this.#map[2 * (this.#at + unit) + 1] as number
    const pairHead = isHigh(this.text.charCodeAt(unit)) && isLow(this.text.charCodeAt(unit + 1))
    return this.#at + unit + (pairHead ? 2 : 1)
  }
}
