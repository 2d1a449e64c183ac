import { activated } from '../ops/activated.js'
import type { Activation } from '../ops/codes.js'
import { quantizedLinear } from '../ops/quantizedLinear.js'
import type { Tensor } from '../tensor/tensor.js'
import { Module } from './module.js'
import type { Parameter } from './parameter.js'
import { type Quantization, quantized, type QuantizedMatrix } from './quantization.js'

/** y = activation(x Wᵀ + b) with a frozen W in few bits, made for each product. What is saved of a model with such layers is its adapters. */
export class QuantizedLinear extends Module {
  readonly inFeatures: number
  readonly outFeatures: number
  readonly resultDtype: 'float32' | undefined
  private readonly stored: QuantizedMatrix

  /** @param weight `[out, in]`, row by row */
  constructor(weight: Float32Array, [out, inputs]: readonly [number, number], readonly bias: Parameter | undefined, readonly quantization: Quantization, options: { doubleQuantization?: boolean, resultDtype?: 'float32' | undefined } = {}) {
    super()
    this.resultDtype = options.resultDtype
    this.inFeatures = inputs
    this.outFeatures = out
    this.stored = quantized(weight, [out, inputs], quantization, options)
  }

  /** The weight as float32 `[out, in]`; the caller frees it. */
  dequantized(): Tensor { return this.stored.dequantize('float32') }

  /** @param x `[…, in]` @returns `[…, out]` */
  forward(x: Tensor, activation: Activation = 'none'): Tensor { return activated(quantizedLinear(x, this.stored, this.bias, { dtype: this.resultDtype }), activation) }

  override dispose(): void {
    for (const t of this.stored.tensors) t.dispose()
    super.dispose()
  }
}
