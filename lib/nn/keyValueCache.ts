import { slice } from '../ops/view.js'
import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { noGrad } from '../tensor/scope.js'
import { empty, type Tensor } from '../tensor/tensor.js'

/** Keys and values of the positions an attention layer has seen, for decoding token by token. Owned by whoever made it; `dispose()` frees it. */
export class KeyValueCache {
  private keys: Tensor | undefined
  private values: Tensor | undefined
  /** Positions held. */
  length = 0

  /** @param capacity positions to reserve at first; the cache grows beyond it */
  constructor(private capacity = 64) {}

  /** Adds positions and returns all of them. @param k `[B, T, G, D]` @param v `[B, T, G, D]` @returns views `[B, length, G, D]` */
  append(k: Tensor, v: Tensor): { keys: Tensor, values: Tensor } {
    return noGrad(() => {
      const [B, T, G, D] = k.shape as [number, number, number, number]
      if (this.keys && this.keys.shape[0] !== B) throw new ShapeError(`key/value cache: the batch is ${B}, the cache holds ${this.keys.shape[0]}`)
      const needed = this.length + T
      if (!this.keys || needed > this.keys.shape[1]!) {
        const room = Math.max(this.capacity, needed, this.keys ? 2 * this.keys.shape[1]! : 0)
        this.keys = this.moved(this.keys, [B, room, G, D], k)
        this.values = this.moved(this.values, [B, room, G, D], v)
      }
      for (const [from, to] of [[k, this.keys], [v, this.values!]] as const) {
        const place = slice(to, 1, this.length, needed)
        native.copy(from.handle, place.handle)
        place.dispose()
      }
      this.length = needed
      return { keys: slice(this.keys, 1, 0, needed), values: slice(this.values!, 1, 0, needed) }
    })
  }

  /** Fills the cache once, with keys and values that do not grow (those of an encoder). */
  static of(k: Tensor, v: Tensor): KeyValueCache {
    const cache = new KeyValueCache(k.shape[1]!)
    cache.append(k, v)
    return cache
  }

  /** All positions. @throws ShapeError if the cache is empty */
  all(): { keys: Tensor, values: Tensor } {
    if (!this.keys) throw new ShapeError('key/value cache: nothing was appended yet')
    return { keys: slice(this.keys, 1, 0, this.length), values: slice(this.values!, 1, 0, this.length) }
  }

  /** Row i becomes what row `rows[i]` was; the number of rows may change. @param rows int32 `[B']` */
  reorder(rows: Tensor): void {
    if (!this.keys) return
    noGrad(() => {
      this.keys = this.reordered(this.keys!, rows)
      this.values = this.reordered(this.values!, rows)
    })
  }

  dispose(): void {
    this.keys?.dispose()
    this.values?.dispose()
    this.keys = this.values = undefined
    this.length = 0
  }

  private moved(old: Tensor | undefined, shape: readonly number[], like: Tensor): Tensor {
    const to = empty(shape, like.dtype, like.device).keep()
    if (old && this.length > 0) {
      const from = slice(old, 1, 0, this.length), place = slice(to, 1, 0, this.length)
      native.copy(from.handle, place.handle)
      from.dispose()
      place.dispose()
    }
    old?.dispose()
    return to
  }

  /** Copies the positions held, not the room behind them. */
  private reordered(old: Tensor, rows: Tensor): Tensor {
    const to = empty([rows.shape[0]!, ...old.shape.slice(1)], old.dtype, old.device).keep()
    const from = slice(old, 1, 0, this.length), place = slice(to, 1, 0, this.length)
    native.indexSelect(from.handle, rows.handle, place.handle)
    for (const t of [from, place, old]) t.dispose()
    return to
  }
}
