import { cast } from '../ops/copy.js'
import { clamp, maximum } from '../ops/maximum.js'
import { div, mul } from '../ops/mul.js'
import { max } from '../ops/reduce.js'
import { abs, round } from '../ops/unary.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { DType } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'
import { PositionBuffer, type Room } from './positionBuffer.js'

/** How caches keep what they are given: as it is, in memory that grows (dynamic) or is reserved at once (static), or as int8 (quantized). */
export type CacheKind = 'dynamic' | 'static' | 'quantized'

export interface CacheOptions {
  /** Default 'dynamic'. */
  readonly kind?: CacheKind
  /** Positions of a static cache. */
  readonly maxLength?: number | undefined
  /** Positions to reserve at first; the cache grows beyond it. Default 64. */
  readonly capacity?: number
  /** Queries see so many positions, their own among them: the cache holds little more. 0 (default): all. */
  readonly window?: number
  /** So many of the newest positions can be taken back although a window has dropped older ones. Default 0. */
  readonly reserve?: number | undefined
}

/** What holds the vectors of one tensor of a cache, `[B, length, G, D]`. */
interface PositionStore {
  readonly length: number
  readonly bytes: number
  readonly forgettable: number
  append(x: Tensor): Tensor
  view(): Tensor
  reorder(rows: Tensor): void
  forget(count: number): void
  trim(count: number): void
  join(other: PositionStore): void
  dispose(): void
}

/**
 * Keys and values of the positions an attention layer has seen, for decoding token by token. Owned by whoever made it; `dispose()` frees it. All kinds of caches
 * are this class: a layer appends, and attends over what it is handed back.
 */
export class KeyValueCache {
  private readonly keys: PositionStore
  private readonly values: PositionStore
  /** What `all` gave last, until the cache changes: keys and values of an encoder are asked for at every token. */
  private seen: { keys: Tensor, values: Tensor } | undefined

  constructor(readonly options: CacheOptions = {}) {
    this.keys = storeOf(options)
    this.values = storeOf(options)
  }

  /** Positions held. */
  get length(): number { return this.keys.length }
  /** Memory reserved. */
  get bytes(): number { return this.keys.bytes + this.values.bytes }
  /** How many of the newest positions can be taken back. */
  get forgettable(): number { return this.keys.forgettable }

  /**
   * Adds positions and returns all that a query among them sees: with a window the newest, in their order, so that causal masks fit.
   * @param k `[B, T, G, D]` @param v `[B, T, G, D]` @returns `[B, S, G, D]`, the new ones last @throws ShapeError for another batch, or more than a static cache holds
   */
  append(k: Tensor, v: Tensor): { keys: Tensor, values: Tensor } {
    this.changed()
    return noGrad(() => ({ keys: this.keys.append(k), values: this.values.append(v) }))
  }

  /** Fills the cache once, with keys and values that do not grow (those of an encoder). */
  static of(k: Tensor, v: Tensor): KeyValueCache {
    const cache = new KeyValueCache({ capacity: k.shape[1]! })
    cache.append(k, v)
    return cache
  }

  /** All positions. @throws ShapeError if the cache is empty */
  all(): { keys: Tensor, values: Tensor } {
    if (this.options.kind === 'quantized') return noGrad(() => ({ keys: this.keys.view(), values: this.values.view() }))   // made anew, not held
    return this.seen ??= noGrad(() => ({ keys: this.keys.view().keep(), values: this.values.view().keep() }))
  }

  /** Row i becomes what row `rows[i]` was; the number of rows may change. @param rows int32 `[B']` */
  reorder(rows: Tensor): void { this.each(store => { store.reorder(rows) }) }

  /** Forgets the newest positions. @throws ShapeError if there are fewer than that can be taken back */
  forget(count: number): void { this.each(store => { store.forget(count) }) }

  /** Drops the oldest positions, which are padding in all rows. */
  trim(count: number): void { this.each(store => { store.trim(count) }) }

  /** Takes the rows of another cache of the same kind behind its own; what is shorter is preceded by zeros. The other is empty then. */
  join(other: KeyValueCache): void {
    this.changed()
    other.changed()
    noGrad(() => {
      this.keys.join(other.keys)
      this.values.join(other.values)
    })
  }

  dispose(): void { this.each(store => { store.dispose() }) }

  private changed(): void {
    this.seen?.keys.dispose()
    this.seen?.values.dispose()
    this.seen = undefined
  }

  private each(work: (store: PositionStore) => void): void {
    this.changed()
    noGrad(() => {
      work(this.keys)
      work(this.values)
    })
  }
}

function storeOf({ kind = 'dynamic', capacity = 64, maxLength, window = 0, reserve = 0 }: CacheOptions): PositionStore {
  const room: Room = { capacity, reserve, ...(window > 0 ? { behind: window - 1 } : kind === 'static' ? { limit: maxLength ?? capacity } : {}) }
  return kind === 'quantized' ? new QuantizedStore(room) : new PositionBuffer(room)
}

/**
 * Vectors as int8, with one scale for each head and position: a value is code * scale, and what it loses is at most half a scale, 1/254 of the greatest
 * value of its vector. They are read back for one layer at a time.
 */
class QuantizedStore implements PositionStore {
  private readonly codes: PositionBuffer
  private readonly scales: PositionBuffer
  private dtype: DType = 'float32'

  constructor(room: Room) {
    this.codes = new PositionBuffer(room)
    this.scales = new PositionBuffer(room)
  }

  get length(): number { return this.codes.length }
  get bytes(): number { return this.codes.bytes + this.scales.bytes }
  get forgettable(): number { return this.codes.forgettable }

  append(x: Tensor): Tensor {
    this.dtype = x.dtype
    return scope(() => {
      const exact = cast(x, 'float32'), scales = maximum(div(max(abs(exact), -1, { keepDim: true }), 127), smallest)
      const codes = cast(clamp(round(div(exact, scales)), { min: -127, max: 127 }), 'int8')
      return this.values(this.codes.append(codes), this.scales.append(scales))
    })
  }

  view(): Tensor { return scope(() => this.values(this.codes.view(), this.scales.view())) }
  reorder(rows: Tensor): void { this.each(buffer => { buffer.reorder(rows) }) }
  forget(count: number): void { this.each(buffer => { buffer.forget(count) }) }
  trim(count: number): void { this.each(buffer => { buffer.trim(count) }) }
  dispose(): void { this.each(buffer => { buffer.dispose() }) }
  join(other: QuantizedStore): void {
    this.dtype = other.dtype
    this.codes.join(other.codes)
    this.scales.join(other.scales)
  }

  private values(codes: Tensor, scales: Tensor): Tensor { return cast(mul(cast(codes, 'float32'), scales), this.dtype) }
  private each(work: (buffer: PositionBuffer) => void): void {
    work(this.codes)
    work(this.scales)
  }
}

/** Of a vector of zeros. */
const smallest = 1e-30
