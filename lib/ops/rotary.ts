import { contiguous } from './copy.js'
import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'

export interface RotaryOptions {
  /** Position of the first column, or those of all, `[B, T]` int32 or int64. Default 0. */
  positions?: number | Tensor
  /** Pairs are neighbours (2i, 2i + 1), as in GPT-J, instead of (i, i + R/2), as in LLaMA. */
  interleaved?: boolean
}

/**
 * Rotary position embedding: every pair of coordinates of a head turns by the angle of its position and pair, so that products of queries and keys depend on
 * distances alone. Coordinates from R on stay as they are.
 * @param x `[B, T, H, D]`   @param cos `[P, R/2]` float32, a row for each position   @param sin the same
 * @returns `[B, T, H, D]` in the dtype of `x`
 * @throws ShapeError if R is greater than D, or a position has no row; IndexError (when the result is read) for such a position among `positions`
 * @see Su et al. 2021, https://arxiv.org/abs/2104.09864, eq. 34
 */
export function rotary(x: Tensor, cos: Tensor, sin: Tensor, { positions = 0, interleaved = false }: RotaryOptions = {}): Tensor {
  const adjacent = x.rank === 4 && (x.strides[3] === 1 || x.shape[3]! <= 1) ? x : contiguous(x)
  const y = emptyLike(adjacent), at = typeof positions === 'number' ? undefined : positions, start = typeof positions === 'number' ? positions : 0
  native.rotary(adjacent.handle, cos.handle, sin.handle, at?.handle ?? 0, y.raw, start, interleaved, false)
  recorded(y, { name: 'rotary', inputs: [adjacent], saved: [cos, sin, at] }, (dy, into, [cos_, sin_, at_]) => {
    native.rotary(dy, cos_!, sin_!, at_!, into(adjacent), start, interleaved, true)
  })
  if (adjacent !== x) adjacent.dispose()   // the tape keeps what it needs
  return y
}
