import type { Gate } from '../nn/gatedFeedForward.js'
import type { Linear } from '../nn/layers.js'
import { add } from '../ops/add.js'
import { cast } from '../ops/copy.js'
import { clamp, maximum } from '../ops/maximum.js'
import { mul } from '../ops/mul.js'
import { erf, gelu, quickGelu, relu, sigmoid, silu, softplus, sqrt, square, tanh } from '../ops/unary.js'
import type { Tensor } from '../tensor/tensor.js'
import { ConfigError } from '../errors.js'
import { closest } from '../spelling.js'
import { activationNames } from './configuration.js'

/** A linear layer and the activation of its result. */
export type ActivatedLinear = (layer: Pick<Linear, 'forward'>, x: Tensor) => Tensor

/** Activations of transformers that are no epilogue of a product; μ and σ of the Laplace one are those of Ma et al. 2022, https://arxiv.org/abs/2209.10655 */
const composed: Readonly<Record<string, (x: Tensor) => Tensor>> = {
  linear: x => x,
  tanh, sigmoid,
  quick_gelu: quickGelu,
  gelu_10: x => clamp(gelu(x), { min: -10, max: 10 }),
  relu2: x => square(relu(x)),
  relu6: x => clamp(x, { min: 0, max: 6 }),
  leaky_relu: x => maximum(x, mul(x, 0.01)),
  hardswish: x => mul(x, mul(clamp(add(x, 3), { min: 0, max: 6 }), 1 / 6)),
  mish: x => mul(x, tanh(softplus(x))),
  sqrtsoftplus: x => sqrt(softplus(x)),
  laplace: x => mul(add(erf(mul(add(x, -0.707107), 1 / (0.282095 * Math.SQRT2))), 1), 0.5),
}

/** Other names of the same functions. */
const synonyms: Readonly<Record<string, string>> = { gelu_python: 'gelu', gelu_python_tanh: 'gelu_new', gelu_accurate: 'gelu_new' }

const epilogues = { relu, gelu: (x: Tensor) => gelu(x), geluTanh: (x: Tensor) => gelu(x, { approximate: 'tanh' }), silu }

/** Of any activation that transformers has without weights of its own. @throws ConfigError for one that is not known, with the nearest that is */
function named(model: string, key: string, name: unknown): { epilogue: keyof typeof epilogues } | { apply: (x: Tensor) => Tensor } {
  if (typeof name === 'string') {
    const known = Object.hasOwn(synonyms, name) ? synonyms[name]! : name
    if (Object.hasOwn(activationNames, known)) return { epilogue: activationNames[known]! }
    if (Object.hasOwn(composed, known)) return { apply: x => cast(composed[known]!(cast(x, 'float32')), x.dtype) }   // one rounding in half precision, not one an op
  }
  const all = [...Object.keys(activationNames), ...Object.keys(composed), ...Object.keys(synonyms)], meant = closest(String(name), all)
  throw new ConfigError(`${model}: ${key} is ${JSON.stringify(name)}${meant === undefined ? '' : `; do you mean ${meant}?`} Known are ${all.join(', ')}`)
}

/** A linear layer and the activation that a configuration names. @throws ConfigError for one that is not known */
export function activatedLinear(model: string, key: string, name: unknown): ActivatedLinear {
  const found = named(model, key, name)
  return 'epilogue' in found ? (layer, x) => layer.forward(x, found.epilogue) : (layer, x) => found.apply(layer.forward(x))
}

/** The activation of a gated feed-forward network. @throws ConfigError for one that is not known */
export function gateOf(model: string, key: string, name: unknown): Gate {
  const found = named(model, key, name)
  return 'epilogue' in found ? found.epilogue : found.apply
}

/** The activation alone. @throws ConfigError for one that is not known */
export function activationFunction(model: string, key: string, name: unknown): (x: Tensor) => Tensor {
  const found = named(model, key, name)
  return 'epilogue' in found ? epilogues[found.epilogue] : found.apply
}
