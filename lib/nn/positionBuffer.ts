import { ShapeError } from '../errors.js'
import { slice } from '../ops/view.js'
import { zeros } from '../tensor/create.js'
import { bytesOf } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { empty, type Tensor } from '../tensor/tensor.js'

/** How much room a buffer of positions has. */
export interface Room {
  /** Positions to reserve at first. */
  readonly capacity: number
  /** Most positions, all of them reserved from the beginning; undefined: the buffer grows. */
  readonly limit?: number | undefined
  /** So many positions are seen behind a new one (window - 1); older ones are dropped. Undefined: all. */
  readonly behind?: number | undefined
  /** So many of the newest positions may be forgotten although older ones were dropped. */
  readonly reserve?: number | undefined
}

/**
 * Vectors of the newest positions of a sequence, in their order, in one piece of memory `[B, capacity, …]`. With a window the memory is bounded by it: what no
 * query will see is dropped whenever the end is reached, a quarter of the window at a time, so that a position is moved four times on average.
 */
export class PositionBuffer {
  /** Positions held. */
  length = 0
  private tensor: Tensor | undefined
  private start = 0
  private dropped = false

  constructor(private readonly room: Room) {}

  get bytes(): number { return this.tensor ? this.tensor.size * bytesOf(this.tensor.dtype) : 0 }

  /** How many of the newest positions can be forgotten. */
  get forgettable(): number { return this.dropped ? Math.max(0, this.length - (this.room.behind ?? 0)) : this.length }

  /** Adds positions `[B, T, …]`. @returns a view of all that a query among them sees, `[B, S, …]` @throws ShapeError for another batch, or more than the limit */
  append(x: Tensor): Tensor {
    const [B, T] = x.shape as [number, number], { limit, behind = Infinity, reserve = 0 } = this.room
    if (this.tensor && this.tensor.shape[0] !== B) throw new ShapeError(`key/value cache: the batch is ${B}, the cache holds ${this.tensor.shape[0]}`)
    if (limit !== undefined && this.length + T > limit)
      throw new ShapeError(`key/value cache: ${this.length + T} positions do not fit into a static cache of ${limit}. Give it a greater maxCacheLen, or shorten the text.`)
    const capacity = this.tensor?.shape[1] ?? 0
    if (this.start + this.length + T > capacity) {
      const keep = Math.min(this.length, behind + reserve)
      this.move(keep, this.capacityFor(keep + T, capacity), x)
    }
    this.write(this.tensor!, x, 0, this.start + this.length)
    this.length += T
    const seen = this.view(Math.min(this.length, behind + T))
    const bound = this.bound
    if (bound !== undefined && this.tensor!.shape[1]! > bound) this.move(Math.min(this.length, behind + reserve), bound, x)   // a long prompt went through
    return seen
  }

  /** A view of the newest positions, `[B, count, …]`. @throws ShapeError if nothing was appended yet */
  view(count = this.length): Tensor {
    if (!this.tensor) throw new ShapeError('key/value cache: nothing was appended yet')
    const end = this.start + this.length
    return slice(this.tensor, 1, end - count, end)
  }

  /** Row i becomes what row `rows[i]` was. Copies the positions held, not the room behind them. @param rows int32 `[B']` */
  reorder(rows: Tensor): void {
    if (!this.tensor) return
    this.replace(this.tensor.shape[1]!, rows.shape[0]!, this.tensor, (from, to) => { native.indexSelect(from.handle, rows.handle, to.handle) }, this.length)
  }

  /** Forgets the newest positions. @throws ShapeError if they were seen beside others that are dropped */
  forget(count: number): void {
    if (count > this.forgettable) throw new ShapeError(`key/value cache: ${count} positions cannot be taken back, at most ${this.forgettable}`)
    this.length -= count
  }

  /** Drops the oldest positions, which are padding in all rows. */
  trim(count: number): void {
    const dropped = Math.min(count, this.length)
    this.start += dropped
    this.length -= dropped
  }

  /** Takes the rows of another buffer behind its own. Newest positions stand side by side; the shorter are preceded by zeros. */
  join(other: PositionBuffer): void {
    if (!other.tensor) return
    if (!this.tensor) {
      Object.assign(this, { tensor: other.tensor, start: other.start, length: other.length, dropped: other.dropped })
      other.tensor = undefined
      return
    }
    const [own, added] = [this.tensor.shape[0]!, other.tensor.shape[0]!], length = Math.max(this.length, other.length)
    const to = zeros([own + added, Math.max(this.capacityFor(length + 1, this.tensor.shape[1]!), this.bound ?? 0), ...this.tensor.shape.slice(2)], { dtype: this.tensor.dtype, device: this.tensor.device }).keep()
    this.write(to, this.view(), 0, length - this.length)
    this.write(to, other.view(), own, length - other.length)
    this.tensor.dispose()
    Object.assign(this, { tensor: to, start: 0, length, dropped: this.dropped || other.dropped })
    other.dispose()
  }

  dispose(): void {
    this.tensor?.dispose()
    this.tensor = undefined
    this.length = this.start = 0
    this.dropped = false
  }

  /** Positions that a buffer with a window needs. */
  private get bound(): number | undefined {
    const { behind, reserve = 0 } = this.room
    return behind === undefined ? undefined : behind + reserve + Math.max(16, Math.ceil(behind / 4))
  }

  private capacityFor(needed: number, before: number): number {
    const { capacity, limit } = this.room
    // What was trimmed in front is room behind: memory grows only where it is nearly full.
    const grown = before === 0 ? needed : 4 * needed > 3 * before ? 2 * needed : Math.min(before, 2 * needed)
    return limit ?? (this.bound === undefined ? Math.max(capacity, grown) : Math.max(this.bound, needed))
  }

  /** Moves the `keep` newest positions to the front of new memory. */
  private move(keep: number, capacity: number, like: Tensor): void {
    if (!this.tensor) {
      this.tensor = empty([like.shape[0]!, capacity, ...like.shape.slice(2)], like.dtype, like.device).keep()
      return
    }
    if (keep < this.length) this.dropped = true
    this.replace(capacity, this.tensor.shape[0]!, this.tensor, (from, to) => { native.copy(from.handle, to.handle) }, keep)
  }

  private replace(capacity: number, rows: number, old: Tensor, fill: (from: Tensor, to: Tensor) => void, keep: number): void {
    const to = empty([rows, capacity, ...old.shape.slice(2)], old.dtype, old.device).keep()
    if (keep > 0) {
      const from = this.view(keep), place = slice(to, 1, 0, keep)
      fill(from, place)
      from.dispose()
      place.dispose()
    }
    old.dispose()
    this.tensor = to
    this.start = 0
    this.length = keep
  }

  private write(to: Tensor, from: Tensor, row: number, position: number): void {
    const all = from.shape[0] === to.shape[0], rows = all ? to : slice(to, 0, row, row + from.shape[0]!), place = slice(rows, 1, position, position + from.shape[1]!)
    native.copy(from.handle, place.handle)
    place.dispose()
    if (!all) rows.dispose()
  }
}
