import { Embedding, Linear } from '../nn/layers.js'
import type { Module } from '../nn/module.js'
import { Parameter } from '../nn/parameter.js'
import type { Activation } from '../ops/codes.js'
import { transpose } from '../ops/view.js'
import { native } from '../tensor/native.js'
import type { Tensor } from '../tensor/tensor.js'

/** A layer that multiplies by a matrix. */
export interface LinearLayer extends Module {
  /** `[out, in]`, or `[in, out]` with `fanInFanOut`; a layer that keeps its weight in another form has none. */
  readonly weight?: Parameter
  readonly bias?: Parameter | undefined
  /** Whether the weight is stored as `[in, out]`, as GPT-2's are. */
  readonly fanInFanOut?: boolean
  /** float32 where the result is, whatever products run in. */
  readonly resultDtype?: 'float32' | undefined
  /** The weight as float32 `[out, in]`, of a layer that keeps it in another form. */
  dequantized?(): Tensor
  forward(x: Tensor, activation?: Activation): Tensor
}

/** Whether a module is a linear layer, also one that stores its weight transposed or quantised. */
export function isLinear(module: Module): module is LinearLayer {
  const layer = module as Partial<LinearLayer>
  return module instanceof Linear || typeof layer.dequantized === 'function' || (layer.fanInFanOut === true && layer.weight instanceof Parameter)
}

export const isEmbedding = (module: Module): module is Embedding => module instanceof Embedding

/** The matrix of a linear layer, `[out, in]`: a view, or a copy where it is stored in another form. */
export function matrixOf(layer: LinearLayer): Tensor {
  if (layer.dequantized) return layer.dequantized()
  return layer.fanInFanOut ? transpose(layer.weight!) : layer.weight!
}

/** Sizes of a linear layer: columns and rows of its matrix. */
export function featuresOf(layer: LinearLayer): { inFeatures: number, outFeatures: number } {
  if (!layer.weight) return layer as LinearLayer & { inFeatures: number, outFeatures: number }
  const [rows, columns] = layer.weight.shape as [number, number]
  return layer.fanInFanOut ? { inFeatures: rows, outFeatures: columns } : { inFeatures: columns, outFeatures: rows }
}

/** Replaces the values of a parameter by those of a tensor of its shape. */
export function overwrite(parameter: Parameter, values: Tensor): void { native.copy(values.handle, parameter.handle) }
