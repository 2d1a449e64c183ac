import { checkpoint } from '../autograd/checkpoint.js'
import { context, withContext } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

/**
 * What is computed again in the backward pass instead of being kept: nothing, the attention of each layer with the norm in front of it, or whole layers. The gradients are the same bits.
 */
export type CheckpointingLevel = 'none' | 'attention' | 'block'

/** A level; true is 'block', false 'none'. */
export type Checkpointing = boolean | CheckpointingLevel

/**
 * One layer of a stack at a level.
 * @param fn of x and of what else requires a gradient (a bias, the encoder's output)
 */
export function throughLayer(level: Checkpointing, fn: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  if (level === false || level === 'none' || !inputs[0]!.requiresGrad) return fn(...inputs)
  return level === 'attention' ? withContext({ recomputesAttention: true }, () => fn(...inputs)) : checkpoint(fn, ...inputs)
}

/** An attention sublayer, with its norm where that is its own: computed again in the backward pass where the layer around it is at the level 'attention'. */
export function attentionSublayer(fn: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  return context().recomputesAttention && inputs.some(x => x.requiresGrad) ? withContext({ recomputesAttention: false }, () => checkpoint(fn, ...inputs)) : fn(...inputs)
}
