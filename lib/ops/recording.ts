import { context } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

/** Whether an op on these inputs goes on the tape: what the backward pass alone needs is not computed otherwise. */
export const isRecorded = (...inputs: readonly (Tensor | undefined)[]): boolean => context().grad && inputs.some(x => x?.requiresGrad)
