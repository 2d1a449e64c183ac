import { sub } from '../ops/add.js'
import { binaryOps } from '../ops/codes.js'
import { concat } from '../ops/concat.js'
import { cast } from '../ops/copy.js'
import { cumsum } from '../ops/cumsum.js'
import { mul } from '../ops/mul.js'
import { pad } from '../ops/pad.js'
import { slice } from '../ops/view.js'
import { full } from '../tensor/create.js'
import { native } from '../tensor/native.js'
import { noGrad, scope } from '../tensor/scope.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'

/**
 * Which columns of padded prompts hold tokens, and at which positions they stand, for decoding token by token. Every column behind the
 * prompt holds a token. Owned by whoever made it; `dispose()` frees it.
 */
export class PromptMask {
  /** `[R, capacity]` int32, 1 where there is a token. */
  private tokens: Tensor
  /** `[R, capacity]` int32: how many tokens stand before; 0 for padding in front. */
  private positions: Tensor
  private length = 0

  /** @param mask `[R, P]`, 1 where a prompt has a token */
  constructor(mask: Tensor) { ({ tokens: this.tokens, positions: this.positions } = extended(mask, 2 * mask.shape[1]! + 64)) }

  /** Goes on by `count` columns. @returns what may be seen so far, `[R, length]`, and the positions of the new columns, `[R, count]` */
  next(count: number): { keyPadding: Tensor, positions: Tensor } {
    const start = this.length, end = start + count
    if (end > this.tokens.shape[1]!) {
      const { tokens, positions } = this;
      ({ tokens: this.tokens, positions: this.positions } = extended(tokens, 2 * end))
      tokens.dispose()
      positions.dispose()
    }
    this.length = end
    return { keyPadding: slice(this.tokens, 1, 0, end), positions: slice(this.positions, 1, start, end) }
  }

  /** As before the first column. */
  restart(): void { this.length = 0 }

  /** Row i becomes what row `rows[i]` was; the number of rows may change. @param rows int32 `[R']` */
  reorder(rows: Tensor): void {
    const { tokens, positions } = this, shape = [rows.shape[0]!, tokens.shape[1]!]
    this.tokens = emptyLike(tokens, shape).keep()
    this.positions = emptyLike(positions, shape).keep()
    native.indexSelect(tokens.handle, rows.handle, this.tokens.raw)
    native.indexSelect(positions.handle, rows.handle, this.positions.raw)
    tokens.dispose()
    positions.dispose()
  }

  /** Takes back columns behind the prompts. */
  forget(count: number): void { this.length -= count }

  /** Drops columns of padding in front. */
  trim(count: number): void {
    this.replace(slice(this.tokens, 1, count, this.length))
    this.length -= count
  }

  /** Takes the rows of another mask behind its own: the newest columns stand side by side, the shorter ones are preceded by padding. */
  join(other: PromptMask): void {
    scope(() => {
      const length = Math.max(this.length, other.length)
      const rows = [this, other].map(({ tokens, length: own }) => pad(slice(tokens, 1, 0, own), [[0, 0], [length - own, 0]]))
      this.replace(concat(rows, 0))
      this.length = length
    })
    other.dispose()
  }

  private replace(mask: Tensor): void {
    const { tokens, positions } = this;
    ({ tokens: this.tokens, positions: this.positions } = extended(mask, 2 * mask.shape[1]! + 64))
    tokens.dispose()
    positions.dispose()
  }

  dispose(): void {
    this.tokens.dispose()
    this.positions.dispose()
  }
}

/** How many tokens stand before each column, `[B, S]` float32; 0 for padding. @param mask `[B, S]`, 1 where there is a token */
export function tokenPositions(mask: Tensor): Tensor {
  return noGrad(() => scope(() => {
    const tokens = cast(mask, 'float32')   // whole numbers up to 2^24
    return mul(sub(cumsum(tokens), 1), tokens)
  }))
}

function extended(mask: Tensor, capacity: number): { tokens: Tensor, positions: Tensor } {
  return noGrad(() => scope(() => {
    const tokens = full([mask.shape[0]!, capacity], 1, { dtype: 'int32', device: mask.device }).keep()
    native.copy(cast(mask, 'int32').handle, slice(tokens, 1, 0, mask.shape[1]!).handle)
    const positions = emptyLike(tokens).keep()
    native.cumsum(tokens.handle, positions.raw, false)
    native.scalarBinary(positions.raw, positions.raw, binaryOps.sub, 1, false)
    native.scalarBinary(positions.raw, positions.raw, binaryOps.max, 0, false)
    return { tokens, positions }
  }))
}
