import { Linear } from '../nn/layers.js'
import { add } from '../ops/add.js'
import { cast } from '../ops/copy.js'
import { linear } from '../ops/linear.js'
import { linearCrossEntropy, type LinearCrossEntropyOptions } from '../ops/linearCrossEntropy.js'
import type { Tensor } from '../tensor/tensor.js'

/** What makes logits of hidden states: a layer, or the table of an embedding where it has none. */
export interface OutputLayer {
  layer: Linear | undefined
  table: Tensor
  /** `[V]`, beside that of the layer. */
  bias?: Tensor | undefined
}

/** Logits `[…, V]` of hidden states `[…, C]`. */
export function logitsOf(x: Tensor, { layer, table, bias }: OutputLayer): Tensor {
  if (!layer) return linear(x, table, bias)
  const y = layer.forward(x)
  return bias ? add(y, cast(bias, y.dtype)) : y
}

/** Their loss, which never holds all of them; undefined where something else has taken the layer's place (an adapter, codes of a quantised weight). */
export function lossOfOutput(x: Tensor, labels: Tensor, { layer, table, bias }: OutputLayer, options: LinearCrossEntropyOptions): Tensor | undefined {
  if (!layer) return linearCrossEntropy(x, table, labels, { ...options, bias })
  if (layer.constructor !== Linear || (layer.bias && bias)) return undefined
  return linearCrossEntropy(x, layer.weight, labels, { ...options, bias: layer.bias ?? bias, logitsDtype: layer.resultDtype })
}
