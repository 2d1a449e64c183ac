import { embedding } from '../ops/embedding.js'
import { dropout } from '../ops/dropout.js'
import { linear } from '../ops/linear.js'
import { addLayerNorm, layerNorm } from '../ops/layerNorm.js'
import { addRMSNorm, rmsNorm } from '../ops/rmsNorm.js'
import type { Activation } from '../ops/codes.js'
import type { Tensor } from '../tensor/tensor.js'
import { Module } from './module.js'
import { type Initialization, Parameter } from './parameter.js'

interface LinearLayerOptions {
  bias?: boolean
  initialization?: Initialization
  /** That of another layer, which both then train. */
  weight?: Parameter | undefined
  /** float32: so is the result, whatever products run in. Default: their precision. */
  resultDtype?: 'float32' | undefined
}

/** y = activation(x Wᵀ + b). Weight `[out, in]`; the default initialisation is PyTorch's (uniform in ±1/√in). */
export class Linear extends Module {
  readonly weight: Parameter
  readonly bias: Parameter | undefined
  readonly resultDtype: 'float32' | undefined

  constructor(readonly inFeatures: number, readonly outFeatures: number,
    { bias = true, initialization, weight, resultDtype }: LinearLayerOptions = {}) {
    super()
    this.resultDtype = resultDtype
    const bound = 1 / Math.sqrt(inFeatures)
    this.weight = weight ?? new Parameter([outFeatures, inFeatures], initialization ?? { kind: 'uniform', low: -bound, high: bound })
    this.bias = bias ? new Parameter([outFeatures], initialization ? { kind: 'zeros' } : { kind: 'uniform', low: -bound, high: bound }) : undefined
  }

  /** @param x `[…, in]` @returns `[…, out]` */
  forward(x: Tensor, activation: Activation = 'none'): Tensor { return linear(x, this.weight, this.bias, { activation, dtype: this.resultDtype }) }
}

interface EmbeddingLayerOptions {
  /** Id whose row gets no gradient. */
  paddingIndex?: number | undefined
  /** Factor of the result; a function where it depends on the precision. */
  scale?: number | (() => number)
  initialization?: Initialization
  /** That of another layer, which both then train. */
  weight?: Parameter | undefined
}

/** Rows of a table by id. Weight `[V, C]`, normal with standard deviation 1 by default. */
export class Embedding extends Module {
  readonly weight: Parameter

  constructor(readonly count: number, readonly width: number,
    readonly options: EmbeddingLayerOptions = {}) {
    super()
    this.weight = options.weight ?? new Parameter([count, width], options.initialization ?? { kind: 'normal', std: 1 })
  }

  /** Factor of the result. */
  get scale(): number {
    const { scale = 1 } = this.options
    return typeof scale === 'number' ? scale : scale()
  }

  /** @param ids `[…]` int32 or int64 @returns `[…, C]` */
  forward(ids: Tensor): Tensor { return embedding(ids, this.weight, { scale: this.scale, paddingIndex: this.options.paddingIndex ?? -1 }) }
}

/** Layer normalisation over the last dimension (Ba, Kiros, Hinton 2016). With `affine: false` nothing is learned. */
export class LayerNorm extends Module {
  readonly weight: Parameter | undefined
  readonly bias: Parameter | undefined

  constructor(readonly width: number, readonly options: { eps?: number, bias?: boolean, affine?: boolean } = {}) {
    super()
    const { affine = true, bias = affine } = options
    this.weight = affine ? new Parameter([width], { kind: 'ones' }) : undefined
    this.bias = bias ? new Parameter([width], { kind: 'zeros' }) : undefined
  }

  forward(x: Tensor): Tensor { return layerNorm(x, this.weight, this.bias, { eps: this.options.eps ?? 1e-5 }) }

  /** sum = x + dropout(residual), y = norm(sum), in one pass. */
  add(x: Tensor, residual: Tensor, p = 0): { y: Tensor, sum: Tensor } {
    return addLayerNorm(x, residual, this.weight, this.bias, { eps: this.options.eps ?? 1e-5, dropout: p })
  }
}

/** Root-mean-square normalisation over the last dimension (Zhang, Sennrich 2019). With `unitOffset` the weight is stored as w - 1, as in Gemma. */
export class RMSNorm extends Module {
  readonly weight: Parameter

  constructor(readonly width: number, readonly options: { eps?: number, unitOffset?: boolean } = {}) {
    super()
    this.weight = new Parameter([width], { kind: options.unitOffset ? 'zeros' : 'ones' })
  }

  forward(x: Tensor): Tensor { return rmsNorm(x, this.weight, { eps: 1e-6, ...this.options }) }

  /** sum = x + dropout(residual), y = norm(sum), in one pass. */
  add(x: Tensor, residual: Tensor, p = 0): { y: Tensor, sum: Tensor } {
    return addRMSNorm(x, residual, this.weight, { eps: 1e-6, ...this.options, dropout: p })
  }
}

/** Zeroes elements with probability `p` while training and scales the others by 1 / (1 - p) (Srivastava et al. 2014). */
export class Dropout extends Module {
  constructor(readonly p: number) { super() }
  forward(x: Tensor): Tensor { return this.training && this.p > 0 ? dropout(x, this.p) : x }
}
