import { ConfigError } from '../errors.js'
import { Dropout, Linear } from '../nn/layers.js'
import { add } from '../ops/add.js'
import { activated } from '../ops/activated.js'
import type { Activation } from '../ops/codes.js'
import { linear } from '../ops/linear.js'
import { mul } from '../ops/mul.js'
import { gelu, relu, silu, tanh } from '../ops/unary.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { AdapterDict, AdapterLayer, type NamedPart } from './adapterLayer.js'
import { featuresOf, type LinearLayer } from './baseLayer.js'
import type { BottleneckConfig, TargetingConfig } from './config.js'

const nonLinearities = { relu, gelu: (x: Tensor) => gelu(x), silu, tanh }

/** y + scaling · up(f(down(y))) of a layer's output y. `up` begins as zero, so that the model begins as it was. @see Houlsby et al. 2019, figure 2 */
export class BottleneckLinear extends AdapterLayer {
  readonly adapter_down = new AdapterDict<Linear>()
  readonly adapter_up = new AdapterDict<Linear>()
  private readonly settings = new Map<string, Pick<BottleneckConfig, 'non_linearity' | 'adapter_dropout' | 'scaling'>>()

  constructor(readonly base_layer: LinearLayer) { super() }

  addAdapter(adapter: string, config: TargetingConfig): void {
    const { bottleneck_size: size, ...settings } = config as BottleneckConfig, { outFeatures } = featuresOf(this.base_layer)
    const up = new Linear(size, outFeatures)
    up.weight.initialize({ kind: 'zeros' })
    up.bias!.initialize({ kind: 'zeros' })
    this.adapter_down.set(adapter, new Linear(outFeatures, size))
    this.adapter_up.set(adapter, up)
    this.settings.set(adapter, settings)
  }

  deleteAdapter(adapter: string): void {
    this.adapter_down.delete(adapter)
    this.adapter_up.delete(adapter)
    this.settings.delete(adapter)
  }

  partsOf(adapter: string): NamedPart[] {
    const down = this.adapter_down.get(adapter), up = this.adapter_up.get(adapter)
    return down && up ? [['adapter_down.weight', down.weight], ['adapter_down.bias', down.bias!], ['adapter_up.weight', up.weight], ['adapter_up.bias', up.bias!]] : []
  }

  /** @param x `[…, in]` @returns `[…, out]` */
  forward(x: Tensor, activation: Activation = 'none'): Tensor {
    const { applied } = this
    if (applied.length === 0) return this.base_layer.forward(x, activation)
    return scope(() => {
      let y = this.base_layer.forward(x)
      for (const adapter of applied) {
        const { non_linearity, adapter_dropout, scaling } = this.settings.get(adapter)!
        const inner = nonLinearities[non_linearity](this.adapter_down.get(adapter)!.forward(y))
        const dropped = this.training && adapter_dropout > 0 ? new Dropout(adapter_dropout).forward(inner) : inner
        const { weight, bias } = this.adapter_up.get(adapter)!, change = linear(dropped, weight, bias, { dtype: y.dtype })
        y = add(y, scaling === 1 ? change : mul(change, scaling))
      }
      return activated(y, activation)
    })
  }

  protected mergeOne(): void { throw new ConfigError('mergeAdapter: a bottleneck is no linear change of the weights and cannot be merged into them') }
  protected unmergeOne(): void { /* never merged */ }
}
