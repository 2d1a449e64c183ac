import { ConfigError } from '../errors.js'
import { Embedding } from '../nn/layers.js'
import type { Module } from '../nn/module.js'
import type { Quantization } from '../nn/quantization.js'
import { QuantizedLinear } from '../nn/quantizedLinear.js'
import { noGrad, scope } from '../tensor/scope.js'
import { isLinear, matrixOf } from './baseLayer.js'
import { replaceAt } from './places.js'
import { outputLayers } from './targets.js'

export interface QuantizationOptions {
  /** 'int8': 8 bits a weight; 'nf4': 4 bits, by blocks of 64. */
  to: Quantization
  /** Layers that stay as they are, by the ends of their names. Default: output layers over the vocabulary, as in transformers. */
  skip?: readonly string[]
  /** 'nf4': the blocks' largest values in 8 bits too. Default true. */
  doubleQuantization?: boolean
}

/**
 * Stores the weights of the linear layers of a model in few bits, frozen, for adapters to be trained on (QLoRA): `getPeftModel(quantizeWeights(model, { to: 'nf4' }), …)`.
 * Each product makes its weight anew, forward and backward, so that at most one layer is there in full. The model itself is changed and returned.
 * @throws ConfigError if there is nothing to quantise, or weights are not finite
 * @see Dettmers et al. 2023, https://arxiv.org/abs/2305.14314
 */
export function quantizeWeights<M extends Module>(model: M, { to, skip = [...outputLayers], doubleQuantization = true }: QuantizationOptions): M {
  const skipped = (path: string): boolean => skip.some(name => path === name || path.endsWith(`.${name}`))
  const tables = new Set([...model.namedModules()].flatMap(([, module]) => module instanceof Embedding ? [module.weight] : []))
  const layers = [...model.namedModules()].filter(([path, layer]) => path !== '' && isLinear(layer) && layer.weight && !tables.has(layer.weight) && !skipped(path))
  if (layers.length === 0) throw new ConfigError(`quantizeWeights: ${model.constructor.name} has no linear layers to quantise`)
  for (const [path, layer] of layers) {
    if (!isLinear(layer)) continue
    const small = noGrad(() => scope(() => {
      const W = matrixOf(layer)
      return new QuantizedLinear(W.dataSync() as Float32Array, W.shape as [number, number], layer.bias, to, { doubleQuantization, resultDtype: layer.resultDtype })
    }))
    replaceAt(model, path, small)
    layer.weight!.dispose()
  }
  return model
}
