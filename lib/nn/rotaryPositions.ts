import { ConfigError } from '../errors.js'
import { contiguous } from '../ops/copy.js'
import { rotary } from '../ops/rotary.js'
import { tensor } from '../tensor/create.js'
import type { Device } from '../tensor/device.js'
import { noGrad } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { Module } from './module.js'
import { ropeFrequencies, type RopeParameters } from './rope.js'

/** Turns the heads of queries or keys, `[B, T, H, D]`, by the angles of their positions. */
export interface Turn {
  (x: Tensor): Tensor
  /** Those of all columns, where they are in a tensor, which may be freed before a backward pass that turns again: `again` does so by a copy that is not. */
  readonly positions?: Tensor
  again?(positions: Tensor): Turn
}

/** Rotary positions of a model: tables of cos and sin that grow with the sequence. Nothing is learned. */
export class RotaryPositions extends Module {
  /** R: how many coordinates of a head turn. */
  readonly width: number
  private cos: Tensor | undefined
  private sin: Tensor | undefined
  private frequencies: Float64Array | undefined
  /** The length that the frequencies are for. */
  private end = 0

  /** Whether the angle of a position is the same in texts of all lengths. */
  get isFixed(): boolean { return !['dynamic', 'longrope'].includes(this.rope.type) }

  /** @param headDim D @throws ConfigError if the coordinates that turn are no pairs */
  constructor(private readonly rope: RopeParameters, headDim: number, private readonly interleaved = false) {
    super()
    this.width = rope.type === 'proportional' ? headDim : Math.trunc(headDim * rope.partialFactor)
    if (this.width < 2 || this.width % 2 !== 0 || this.width > headDim)
      throw new ConfigError(`rotary positions: ${this.width} of ${headDim} coordinates of a head turn, expected an even number from 2 to ${headDim}`)
    for (const [name, factors] of [['short_factor', rope.shortFactor], ['long_factor', rope.longFactor]] as const)
      if (rope.type === 'longrope' && factors.length !== this.width / 2)
        throw new ConfigError(`rotary positions: ${name} has ${factors.length} numbers, expected ${this.width / 2}: one for each pair of coordinates that turn`)
  }

  /**
   * @param start position of the first column, or those of all, `[B, T]` int32
   * @param end length of the sequence so far: no position is as great
   */
  at(start: number | Tensor, end: number): Turn {
    const positions = typeof start === 'number' ? start : contiguous(start)
    const turn = (x: Tensor): Tensor => {
      const { cos, sin } = this.table(end, x.device)   // asked for at each use: a layer that is recomputed may come after a longer sequence has made the table anew
      return rotary(x, cos, sin, { positions, interleaved: this.interleaved })
    }
    return typeof positions === 'number' ? turn : Object.assign(turn, { positions, again: (kept: Tensor): Turn => this.at(kept, end) })
  }

  private table(end: number, device: Device): { cos: Tensor, sin: Tensor } {
    const held = this.cos?.device === device ? this.cos.shape[0]! : 0
    // Every layer of every step comes here: only these two kinds have other frequencies for another length.
    if (this.cos?.device === device && held >= end && (end === this.end || this.isFixed)) return { cos: this.cos, sin: this.sin! }
    const { frequencies, scale } = ropeFrequencies(this.rope, this.width, end)
    if (!this.cos || this.cos.device !== device || held < end || frequencies.some((f, i) => f !== this.frequencies![i])) {
      const length = Math.max(end, held < end ? 2 * held : held, 64)
      this.cos?.dispose()
      this.sin?.dispose()
      this.cos = this.values(length, frequencies, device, angle => scale * Math.cos(angle))
      this.sin = this.values(length, frequencies, device, angle => scale * Math.sin(angle))
      this.frequencies = frequencies
    }
    this.end = end
    return { cos: this.cos, sin: this.sin! }
  }

  private values(length: number, frequencies: Float64Array, device: Device, of: (angle: number) => number): Tensor {
    const half = frequencies.length
    return noGrad(() => tensor(Float32Array.from({ length: length * half }, (_, i) => of(Math.floor(i / half) * frequencies[i % half]!)), [length, half], { device }).keep())
  }
}
