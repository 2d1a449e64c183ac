import { ConfigError } from '../errors.js'

/** Where a generator stands: small JSON, for checkpoints. */
export interface RandomState { seed: number, purpose: string, index: number, drawn: number }

/**
 * Philox 4x32-10: ten rounds over a counter of 128 bits under a key of 64 bits.
 * Writes four uniform 32-bit words to `out`; the same words as the kernels' generator for the same counter and key.
 * @see Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"
 */
export function philox(c0: number, c1: number, c2: number, c3: number, key0: number, key1: number, out: Uint32Array): void {
  for (let round = 0; round < 10; round++) {
    const n0 = mulHigh(0xCD9E8D57, c2) ^ c1 ^ key0, n2 = mulHigh(0xD2511F53, c0) ^ c3 ^ key1
    c1 = Math.imul(0xCD9E8D57, c2)
    c3 = Math.imul(0xD2511F53, c0)
    c0 = n0
    c2 = n2
    key0 = (key0 + 0x9E3779B9) | 0
    key1 = (key1 + 0xBB67AE85) | 0
  }
  out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3
}

// The upper 32 bits of the 64-bit product, by halves of 16 bits: doubles are exact below 2^53, and no step exceeds 2^32.
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const other = aLow * bHigh + (middle & 0xffff)
  return aHigh * bHigh + (middle >>> 16) + (other >>> 16)
}

/**
 * The host's random numbers: a Philox 4x32-10 stream named by a seed, a purpose and an index, so that streams of different uses never
 * overlap (nor with the dropout masks of the kernels, whose fourth counter word has its top bit clear). Key: the seed. Counter: block (64
 * bits), index,
 * hash of the purpose. The same seed gives the same numbers on every machine; normals up to the last bit of `Math.log` and `Math.cos`.
 */
export class Random {
  readonly seed: number
  readonly purpose: string
  readonly index: number
  readonly #tag: number
  readonly #words = new Uint32Array(4)
  #drawn = 0

  /**
   * @param seed an integer from 0 to 2^53 - 1
   * @param purpose what the numbers are for: streams of different purposes are independent
   * @param index number of the stream within its purpose (an epoch, a step, a parameter), from 0 to 2^32 - 1
   * @throws ConfigError if seed or index is not such an integer
   */
  constructor(seed: number, purpose = 'host', index = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0) throw new ConfigError(`seed is ${seed}, expected an integer from 0 to 2^53 - 1`)
    if (!Number.isInteger(index) || index < 0 || index > 0xffffffff) {
      throw new ConfigError(`random stream index is ${index}, expected 0 to 2^32 - 1`)
    }
    this.seed = seed
    this.purpose = purpose
    this.index = index
    this.#tag = hash(purpose) | 0x80000000
  }

  static restore(state: RandomState): Random {
    const random = new Random(state.seed, state.purpose, state.index)
    if (!Number.isSafeInteger(state.drawn) || state.drawn < 0) {
      throw new ConfigError(`random state says ${state.drawn} numbers drawn, expected an integer >= 0`)
    }
    random.#drawn = state.drawn
    if (state.drawn % 4 !== 0) random.#fill((state.drawn - state.drawn % 4) / 4)
    return random
  }

  state(): RandomState {
    return { seed: this.seed, purpose: this.purpose, index: this.index, drawn: this.#drawn }
  }

  /** 32 uniform bits, as an integer from 0 to 2^32 - 1. */
  uint32(): number {
    const at = this.#drawn % 4
    if (at === 0) this.#fill(this.#drawn / 4)
    this.#drawn++
    return this.#words[at]!
  }

  /** Uniform in [low, high), of 53 bits. */
  uniform(low = 0, high = 1): number {
    const unit = ((this.uint32() >>> 5) * 0x4000000 + (this.uint32() >>> 6)) / 0x20000000000000
    return low + (high - low) * unit
  }

  /** Normal, by Box and Muller 1958. */
  normal(mean = 0, standardDeviation = 1): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return mean + standardDeviation * radius * Math.cos(2 * Math.PI * this.uniform())
  }

  /** Uniform integer in [0, count), without bias. @throws ConfigError unless 1 <= count <= 2^32 */
  integer(count: number): number {
    if (!Number.isInteger(count) || count < 1 || count > 0x100000000) throw new ConfigError(`random integer below ${count}: expected 1 to 2^32`)
    const limit = 0x100000000 - 0x100000000 % count
    let word = this.uint32()
    while (word >= limit) word = this.uint32()
    return word % count
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)]!
  }

  /** The numbers 0 to count - 1 in random order. */
  permutation(count: number): Int32Array {
    return this.shuffle(Int32Array.from({ length: count }, (_, i) => i))
  }

  /** Shuffles in place (Fisher and Yates) and returns its argument. */
  shuffle<T extends Int32Array | unknown[]>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1), kept = items[i]
      items[i] = items[j]
      items[j] = kept
    }
    return items
  }

  /** Fills with uniform numbers in [low, high) and returns its argument. */
  fillUniform<T extends Float32Array | Float64Array>(out: T, low = 0, high = 1): T {
    for (let i = 0; i < out.length; i++) out[i] = this.uniform(low, high)
    return out
  }

  /** Fills with normal numbers and returns its argument. */
  fillNormal<T extends Float32Array | Float64Array>(out: T, mean = 0, standardDeviation = 1): T {
    for (let i = 0; i < out.length; i += 2) {
      const radius = standardDeviation * Math.sqrt(-2 * Math.log(1 - this.uniform())), angle = 2 * Math.PI * this.uniform()
      out[i] = mean + radius * Math.cos(angle)
      if (i + 1 < out.length) out[i + 1] = mean + radius * Math.sin(angle)
    }
    return out
  }

  #fill(block: number): void {
    philox(block, Math.floor(block / 0x100000000), this.index, this.#tag, this.seed, Math.floor(this.seed / 0x100000000), this.#words)
  }
}

// FNV-1a over UTF-16 units: names are few and short.
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h
}
