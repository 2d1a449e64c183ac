import { AutogradError } from '../errors.js'
import { native } from '../tensor/native.js'
import { generator } from '../tensor/random.js'
import { context, enableGrad, noGrad, scope, withContext } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { contiguous } from '../ops/copy.js'
import { backwardMany, gatherAt } from './backward.js'
import { nodeOf, recorded, type Into } from './tape.js'

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
  const random = generator.state(inputs[0]!.device)
  const { precision, tf32 } = context()
  const y = scope(() => noGrad(() => fn(...inputs)))
  return recorded(y, { name: 'checkpoint', inputs, saved: [...inputs, random.tensor] }, (dy, into, saved) => {
    scope(() => withContext({ precision, tf32 }, () => enableGrad(() => {
      const copies = inputs.map((x, i) => {
        if (inputs.indexOf(x) < i) return undefined   // given twice
        const copy = new Tensor(native.share(saved[i]!), x.shape, x.dtype, x.device)
        copy.requiresGrad = x.requiresGrad
        return copy
      })
      // By then the generator may have begun another step, and let go of the tensor that held this one's numbers.
      const from = { ...random, tensor: random.tensor.over(native.share(saved[inputs.length]!)) }
      const again = generator.replay(from, () => fn(...inputs.map(x => copies[inputs.indexOf(x)]!)))
      if (!again.requiresGrad) return
      inputs.forEach((x, i) => {
        if (x.requiresGrad && copies[i]) gatherAt(copies[i], targetOf(x, inputs, into))
      })
      backwardMany([again], [y.over(native.share(dy))])
    })))
  })
}

/** Where the gradient of input `x` goes. Where others may write to the same memory in the inner pass, nobody may be told to overwrite. */
function targetOf(x: Tensor, inputs: readonly Tensor[], into: Into): number {
  const target = into(x), root = rootOf(x)
  if (target < 0 || (nodeOf(x) && inputs.every(other => other === x || rootOf(other) !== root))) return target
  native.fill(target, 0)
  return -target
}

const rootOf = (x: Tensor): Tensor => x.geometry?.root ?? x
