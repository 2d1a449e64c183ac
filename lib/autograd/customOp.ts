import { ShapeError } from '../errors.js'
import { noGrad } from '../tensor/scope.js'
import { native } from '../tensor/native.js'
import type { Tensor } from '../tensor/tensor.js'
import { recorded } from './tape.js'

/** A differentiable function of tensors that the user writes in terms of other ops. */
export interface CustomOp<Options> {
  name: string
  /** Computes the output. Nothing inside is recorded. */
  forward(inputs: readonly Tensor[], options: Options): Tensor
  /** The gradients of the inputs, in their order and shapes; undefined for an input that has none. */
  backward(dy: Tensor, inputs: readonly Tensor[], y: Tensor, options: Options): readonly (Tensor | undefined)[]
}

/** Turns a forward and a backward into a function that `backward()` goes through. */
export function customOp<Options = void>(op: CustomOp<Options>): (inputs: readonly Tensor[], options: Options) => Tensor {
  return (inputs, options) => {
    const y = noGrad(() => op.forward(inputs, options))
    return recorded(y, { name: op.name, inputs, saved: [...inputs, y] }, (dy, into, saved) => {
      const views = saved.map((handle, i) => wrap(handle, i < inputs.length ? inputs[i]! : y))
      const gradients = op.backward(wrap(dy, y), views.slice(0, -1), views.at(-1)!, options)
      inputs.forEach((x, i) => {
        const g = gradients[i]
        if (!x.requiresGrad) return
        if (!g) throw new ShapeError(`${op.name}: backward returned no gradient for input ${i}, which requires one`)
        if (g.shape.length !== x.shape.length || g.shape.some((n, d) => n !== x.shape[d]))
          throw new ShapeError(`${op.name}: backward returned [${g.shape.join(', ')}] for input ${i}, expected [${x.shape.join(', ')}]`)
        native.copy(g.handle, into(x))
      })
    })
  }
}

/** A tensor of its own over the memory of a handle. */
function wrap(handle: number, like: Tensor): Tensor { return like.over(native.share(handle)) }
