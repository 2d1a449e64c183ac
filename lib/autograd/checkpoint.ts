import { AutogradError } from '../errors.js'
import { native } from '../tensor/native.js'
import { generator } from '../tensor/random.js'
import { context, enableGrad, noGrad, scope, withContext } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { contiguous } from '../ops/copy.js'
import { backwardMany } from './backward.js'
import { recorded } from './tape.js'

/**
 * Computes `fn(...inputs)` without keeping its intermediate results, and computes them again in the backward pass, with the same random numbers: memory for time
 * (Chen et al. 2016, https://arxiv.org/abs/1604.06174). The gradients are the same bits.
 * @param fn of tensors, returning one tensor; parameters that it uses get their gradients as well
 */
export function checkpoint(fn: (...inputs: Tensor[]) => Tensor, ...given: Tensor[]): Tensor {
  if (!context().grad) return fn(...given)
  const inputs = given.map(contiguous)   // in the backward pass they are leaves, which views cannot be
  if (!inputs.some(x => x.requiresGrad))
    throw new AutogradError('checkpoint: no input requires a gradient, so the gradients of parameters inside would be lost. Checkpoint from the first block on, behind the embedding')
  const random = generator.state()
  const { precision } = context()
  const y = scope(() => noGrad(() => fn(...inputs)))
  return recorded(y, { name: 'checkpoint', inputs, saved: [...inputs, random.tensor] }, (dy, into, saved) => {
    scope(() => withContext({ precision }, () => enableGrad(() => {
      const copies = inputs.map((x, i) => {
        const copy = x.over(native.share(saved[i]!))
        copy.requiresGrad = x.requiresGrad
        return copy
      })
      // By then the generator may have begun another step, and let go of the tensor that held this one's numbers.
      const from = { ...random, tensor: random.tensor.over(native.share(saved[inputs.length]!)) }
      const again = generator.replay(from, () => fn(...copies))
      if (again.requiresGrad) backwardMany([again], [y.over(native.share(dy))])
      inputs.forEach((x, i) => {
        const gradient = copies[i]!.grad
        if (x.requiresGrad && gradient) native.copy(gradient.handle, into(x))
      })
    })))
  })
}
