import type { Tensor } from '../tensor/tensor.js'
import type { Activation } from './codes.js'
import { gelu, relu, silu } from './unary.js'

/** activation(y), where it was not part of the product. */
export function activated(y: Tensor, activation: Activation): Tensor {
  switch (activation) {
    case 'none': return y
    case 'relu': return relu(y)
    case 'gelu': return gelu(y)
    case 'geluTanh': return gelu(y, { approximate: 'tanh' })
    case 'silu': return silu(y)
  }
}
