import { ConfigError } from '../errors.js'
import { reshape, slice } from '../ops/view.js'
import { tensor } from '../tensor/create.js'
import { defaultDevice, type Device } from '../tensor/device.js'
import { native } from '../tensor/native.js'
import { noGrad } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

export interface LossScaleOptions {
  /** What it begins with: a power of two from 2^-14 to 2^24. Default 4096. */
  initialScale?: number | undefined
  /** It doubles after so many steps in a row without an overflow. Default 2000. */
  growthInterval?: number | undefined
  /** Where the gradients are. */
  device?: string | Device | undefined
}

/** What is kept of it: the scale, the steps in a row without an overflow, the steps that were left out. */
export interface LossScaleState { scale: number, good: number, skipped: number }

const [least, most] = [2 ** -14, 2 ** 24]

/** @internal Whether a scale may begin with this value: a power of two from 2^-14 to 2^24. */
export const isLossScale = (value: unknown): boolean => typeof value === 'number' && value >= least && value <= most && Number.isInteger(Math.log2(value))

/**
 * The dynamic loss scale of float16 training: gradients are computed of the loss times a power of two, so that small ones are not lost below float16's least number,
 * and the optimizer divides by it. A step whose gradient is not finite is left out, and the scale is halved; after `growthInterval` good steps it is doubled.
 * It lives on the device, so that no step waits for the host.
 *
 * ```ts
 * const lossScale = new LossScale()
 * backward(autocast('float16', () => model.loss(batch)), lossScale.gradient)
 * optimizer.step({ lossScale, maxNorm: 1 })
 * ```
 *
 * @see Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.2
 */
export class LossScale {
  /** float32 [3], as `native/ops/loss_scale.hpp` has it. */
  private readonly state: Tensor
  /** The scale, float32 []: what the backward pass of a loss begins with. */
  readonly gradient: Tensor
  private readonly growthInterval: number

  /** @throws ConfigError for a scale that is no power of two from 2^-14 to 2^24, or an interval that is no whole number from 1 to 2^24 */
  constructor({ initialScale = 4096, growthInterval = 2000, device = defaultDevice() }: LossScaleOptions = {}) {
    if (!isLossScale(initialScale))
      throw new ConfigError(`loss scale: initialScale is ${initialScale}, expected a power of two from 2^-14 to 2^24`)
    if (!(Number.isInteger(growthInterval) && growthInterval >= 1 && growthInterval <= most))
      throw new ConfigError(`loss scale: growthInterval is ${growthInterval}, expected a whole number from 1 to 2^24`)
    this.growthInterval = growthInterval
    this.state = tensor([initialScale, 0, 0], null, { device }).keep()
    this.gradient = noGrad(() => {
      using first = slice(this.state, 0, 0, 1)
      return reshape(first, []).keep()
    })
  }

  /** @internal A native argument of gradNorm and the optimizers. */
  get handle(): number { return this.state.handle }

  /** @internal What becomes of it after a step whose gradients had this norm, float32 [1]. */
  update(norm: Tensor): void { native.lossScale(this.state.handle, norm.handle, this.growthInterval) }

  /** The values after everything that is queued; waits for the device. */
  async values(): Promise<LossScaleState> { return named(await this.state.data()) }

  /** As `values`, and blocks the thread. */
  valuesSync(): LossScaleState { return named(this.state.dataSync()) }

  /** Goes on from what `values` gave. */
  restore({ scale, good, skipped }: LossScaleState): void { native.write(this.state.raw, Float32Array.of(scale, good, skipped)) }

  dispose(): void {
    this.gradient.dispose()
    this.state.dispose()
  }

  [Symbol.dispose](): void { this.dispose() }
}

function named(data: ArrayLike<unknown>): LossScaleState {
  const [scale, good, skipped] = Array.from(data, Number) as [number, number, number]
  return { scale, good, skipped }
}
