import { TokenizerError } from '../errors.js'

/** Token ids of many sequences end to end: 2 bytes an id (4 from an id of 65,536 on) and 8 bytes a sequence, whatever their number. */
export class TokenSequences {
  #ids: Uint16Array | Int32Array = new Uint16Array(1024)
  #ends = new Float64Array(256)   // exact up to 2^53, where Uint32 would stop at 4 G tokens
  #count = 0

  /** Number of sequences. */
  get length(): number { return this.#count }

  /** Number of ids of all sequences together. */
  get tokens(): number { return this.#start(this.#count) }

  lengthAt(i: number): number { return this.#ends[i]! - this.#start(i) }

  /** The ids of sequence `i`: a view, not to be written. */
  at(i: number): Uint16Array | Int32Array { return this.#ids.subarray(this.#start(i), this.#ends[i]) }

  /** All ids in one piece: a view, not to be written. */
  all(): Uint16Array | Int32Array { return this.#ids.subarray(0, this.tokens) }

  /** Adds the first `count` ids as a sequence. @throws TokenizerError if an id is no integer from 0 to 2^31 - 1 */
  push(ids: ArrayLike<number>, count = ids.length): void {
    const start = this.tokens, end = start + count
    if (end > this.#ids.length) this.#ids = grown(this.#ids, end)
    for (let i = 0; i < count; i++) {
      const id = ids[i]!
      if (!Number.isInteger(id) || id < 0 || id > 0x7fffffff) {
        throw new TokenizerError(`the tokenizer gave the id ${id}, expected integers from 0 to 2^31 - 1`)
      }
      if (id > 0xffff && this.#ids instanceof Uint16Array) this.#ids = Int32Array.from(this.#ids)
      this.#ids[start + i] = id
    }
    if (this.#count === this.#ends.length) this.#ends = grown(this.#ends, this.#count + 1)
    this.#ends[this.#count++] = end
  }

  #start(i: number): number { return i === 0 ? 0 : this.#ends[i - 1]! }
}

function grown<T extends Uint16Array | Int32Array | Float64Array>(array: T, needed: number): T {
  const larger = new (array.constructor as new (length: number) => T)(Math.max(needed, Math.ceil(array.length * 1.5)))
  larger.set(array)
  return larger
}
