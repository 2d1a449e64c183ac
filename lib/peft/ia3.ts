import { ConfigError } from '../errors.js'
import { Parameter } from '../nn/parameter.js'
import { activated } from '../ops/activated.js'
import type { Activation } from '../ops/codes.js'
import { cast } from '../ops/copy.js'
import { div, mul } from '../ops/mul.js'
import { reshape, transpose } from '../ops/view.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { AdapterDict, AdapterLayer, type NamedPart } from './adapterLayer.js'
import { featuresOf, type LinearLayer, overwrite } from './baseLayer.js'
import type { IA3Config, TargetingConfig } from './config.js'
import { isFeedForward } from './targets.js'

/** y = l ∘ (x Wᵀ + b), or (l ∘ x) Wᵀ + b for a target of the feed-forward network: keys, values and inner activations with learned factors. */
export class IA3Linear extends AdapterLayer {
  readonly ia3_l = new AdapterDict<Parameter>()
  private feedForward = false

  constructor(readonly base_layer: LinearLayer) { super() }

  addAdapter(adapter: string, config: TargetingConfig, name: string): void {
    const { init_ia3_weights: ones } = config as IA3Config, feedForward = isFeedForward(config as IA3Config, name)
    if (this.ia3_l.namedParameters().next().done === false && feedForward !== this.feedForward)
      throw new ConfigError(`adapter: ${name} is a feed-forward module of one adapter and none of another; they cannot be of one model`)
    this.feedForward = feedForward
    const { inFeatures, outFeatures } = featuresOf(this.base_layer)
    this.ia3_l.set(adapter, new Parameter(feedForward ? [1, inFeatures] : [outFeatures, 1], ones ? { kind: 'ones' } : { kind: 'normal', std: 1 }))
  }

  deleteAdapter(adapter: string): void { this.ia3_l.delete(adapter) }

  partsOf(adapter: string): NamedPart[] {
    const l = this.ia3_l.get(adapter)
    return l ? [['ia3_l', l]] : []
  }

  /** @param x `[…, in]` @returns `[…, out]` */
  forward(x: Tensor, activation: Activation = 'none'): Tensor {
    const { applied } = this
    if (applied.length === 0) return this.base_layer.forward(x, activation)
    return scope(() => {
      const factor = applied.map(adapter => reshape(this.ia3_l.get(adapter)!, [-1])).reduce((a, b) => mul(a, b))
      const scaled = (t: Tensor): Tensor => mul(t, cast(factor, t.dtype))
      return this.feedForward ? this.base_layer.forward(scaled(x), activation) : activated(scaled(this.base_layer.forward(x)), activation)
    })
  }

  protected mergeOne(adapter: string): void { this.rescale(adapter, mul) }

  /** @throws ConfigError if a factor is zero: what it was applied to is gone */
  protected unmergeOne(adapter: string): void {
    if ((this.ia3_l.get(adapter)!.dataSync() as Float32Array).includes(0)) throw new ConfigError(`unmergeAdapter: ${adapter} has factors of 0, which cannot be undone. Load the base again.`)
    this.rescale(adapter, div)
  }

  private rescale(adapter: string, by: typeof mul): void {
    const { weight, bias, fanInFanOut } = this.base_layer, l = this.ia3_l.get(adapter)!
    if (!weight) throw new ConfigError('mergeAdapter: the weights of the base are quantised and cannot be merged into. mergeAndUnload() gives a model in float32.')
    noGrad(() => { scope(() => {
      overwrite(weight, by(weight, fanInFanOut ? transpose(l) : l))
      if (bias && !this.feedForward) overwrite(bias, by(bias, reshape(l, [-1])))
    }) })
  }
}
