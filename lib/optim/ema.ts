import { ConfigError } from '../errors.js'
import { clone } from '../ops/copy.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { full } from '../tensor/create.js'
import { native } from '../tensor/native.js'
import { noGrad } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

/** Exponential moving average of a model's parameters: average = decay * average + (1 - decay) * parameter after each step (Polyak, Juditsky 1992). */
export class ExponentialMovingAverage {
  private readonly parameters: [string, Parameter][]
  private readonly averages: Tensor[]
  private swapped = false

  constructor(model: Module, readonly decay: number) {
    if (!(decay > 0 && decay < 1)) throw new ConfigError(`EMA: decay is ${decay}, expected a number between 0 and 1`)
    this.parameters = [...model.namedParameters()]
    this.averages = noGrad(() => this.parameters.map(([, p]) => clone(p).keep()))
  }

  update(): void {
    if (this.swapped) throw new ConfigError('EMA: the averages are in the model; swap back before the next step')
    const weight = full([1], 1 - this.decay, { device: this.averages[0]!.device })
    native.lerp(Float64Array.from(this.averages, t => t.raw), Float64Array.from(this.parameters, ([, p]) => p.handle), weight.raw)
    weight.dispose()
  }

  /** Exchanges the model's values with the averages; once more exchanges them back. */
  swap(): void {
    this.parameters.forEach(([, p], i) => {
      const kept = noGrad(() => clone(p))
      native.copy(this.averages[i]!.raw, p.handle)
      native.copy(kept.raw, this.averages[i]!.raw)
      kept.dispose()
    })
    this.swapped = !this.swapped
  }

  /** The averages under the names of the parameters. */
  stateDict(): Map<string, Tensor> { return new Map(this.parameters.map(([name], i) => [name, this.averages[i]!])) }

  loadStateDict(values: ReadonlyMap<string, { data: Float32Array }>): void {
    this.parameters.forEach(([name], i) => {
      const value = values.get(name)
      if (value) native.write(this.averages[i]!.raw, value.data)
    })
  }

  dispose(): void { for (const t of this.averages) t.dispose() }
}
