import { cast } from '../ops/copy.js'
import { context } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

// What half precision means for a model: operands of products are rounded, and what is added up over the layers is not. A residual stream in half precision would
// lose bits with each layer that adds to it, and a norm behind it would hand the loss on.

/** For a layer whose result goes on in float32, in which its sums are made, where products run in half precision: what is added to the residual stream. */
export const intoStream = { resultDtype: 'float32' } as const

/** What goes into several products, rounded once for all of them. */
export const rounded = (x: Tensor): Tensor => x.dtype === 'float32' ? cast(x, context().precision) : x
