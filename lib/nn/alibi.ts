import { cast } from '../ops/copy.js'
import { mul } from '../ops/mul.js'
import { reshape } from '../ops/view.js'
import { arange, tensor } from '../tensor/create.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { Module } from './module.js'
import { tokenPositions } from './promptMask.js'

/** How fast the score of each head falls with distance: 2^(-8/H), 2^(-16/H), …; where H is no power of two, every second slope of twice as many heads follows. */
export function alibiSlopes(heads: number): Float32Array {
  const power = 2 ** Math.floor(Math.log2(heads))
  const slope = (of: number, k: number): number => Math.fround(2 ** (-8 / of)) ** k   // as torch has it: a float32 base
  return Float32Array.from({ length: heads }, (_, h) => h < power ? slope(power, h + 1) : slope(2 * power, 2 * (h - power) + 1))
}

/**
 * Attention with linear biases instead of positions: the score of a key falls by the slope of the head for every step that it lies back. A row of scores may be
 * shifted without changing its softmax, so slope times the key's own position does for all queries, and memory is linear in S. Nothing is learned.
 * @see Press, Smith, Lewis 2022, https://arxiv.org/abs/2108.12409
 */
export class Alibi extends Module {
  /** `[H, 1, 1]` */
  private readonly slopes: Tensor

  /**
   * @param options scale: factor of the bias; bfloat16: slopes, positions and their products are rounded to it, as Falcon was trained
   */
  constructor(heads: number, private readonly options: { scale?: number, bfloat16?: boolean } = {}) {
    super()
    this.slopes = noGrad(() => scope(() => cast(tensor(alibiSlopes(heads), [heads, 1, 1]), options.bfloat16 ? 'bfloat16' : 'float32')).keep())
  }

  /**
   * Bias of the scores, `[B | 1, H, 1, S]` float32, for a sequence of `length` S columns.
   * @param mask 1 where there is a token, `[B, S]`: padding does not count as distance
   */
  at(length: number, mask?: Tensor): Tensor {
    const { scale = 1 } = this.options
    return noGrad(() => scope(() => {
      const positions = mask ? reshape(tokenPositions(mask), [mask.shape[0]!, 1, 1, length]) : arange(length, { device: this.slopes.device })
      const bias = cast(mul(this.slopes, cast(positions, this.slopes.dtype)), 'float32')
      return reshape(scale === 1 ? bias : mul(bias, scale), [mask ? mask.shape[0]! : 1, this.slopes.shape[0]!, 1, length])
    }))
  }
}
