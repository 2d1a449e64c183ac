import { AutogradError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { backwardMany } from './backward.js'

export interface GradcheckOptions {
  /** Step of the finite differences; default 1e-2: arithmetic is float32. */
  step?: number
  /** Bound of the difference, relative to the size of the gradient; default 1e-2. */
  tolerance?: number
  /** Random directions to try for each input; default 4. */
  directions?: number
}

/**
 * Compares the gradients of `fn` with finite differences along random directions.
 * @param fn of the inputs, returning one tensor; it must give the same values each time
 * @param inputs float32 tensors that require gradients are checked; their `.grad` is left as it was
 * @throws AutogradError that names the input and both numbers, if they differ by more than the tolerance
 */
export async function gradcheck(fn: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[], { step = 1e-2, tolerance = 1e-2, directions = 4 }: GradcheckOptions = {}): Promise<void> {
  const random = (() => { let state = 1; return () => (state = Math.imul(state, 48271) % 2147483647) / 2147483647 })()
  await scope(async () => {
    const values = await Promise.all(inputs.map(async x => Float32Array.from(await x.data() as Float32Array)))
    const at = (moved: number, data: Float32Array): Tensor[] => inputs.map((x, i) => {
      const copy = tensor(i === moved ? data : values[i]!, x.shape, { dtype: x.dtype, device: x.device })
      copy.requiresGrad = x.requiresGrad
      return copy
    })
    const leaves = at(-1, new Float32Array())
    const y = fn(...leaves)
    const weights = Float32Array.from({ length: y.size }, () => random() * 2 - 1)
    backwardMany([y], [tensor(weights, y.shape, { dtype: y.dtype, device: y.device })])
    const projected = async (moved: number, data: Float32Array): Promise<number> => {
      const out = await noGrad(() => fn(...at(moved, data))).data()
      let s = 0
      for (let i = 0; i < out.length; i++) s += Number(out[i]) * weights[i]!
      return s
    }
    for (const [i, x] of inputs.entries()) {
      if (!x.requiresGrad) continue
      const gradient = leaves[i]!.grad ? await leaves[i]!.grad!.data() as Float32Array : new Float32Array(x.size)
      for (let k = 0; k < directions; k++) {
        const direction = Float32Array.from(gradient, () => random() * 2 - 1)
        const moved = (t: number) => values[i]!.map((v, j) => v + t * direction[j]!)
        const expected = (await projected(i, moved(step)) - await projected(i, moved(-step))) / (2 * step)
        let got = 0, size = 0
        for (let j = 0; j < gradient.length; j++) {
          got += gradient[j]! * direction[j]!
          size += Math.abs(gradient[j]! * direction[j]!)
        }
        if (!(Math.abs(got - expected) <= tolerance * Math.max(size, Math.abs(expected), 1e-3)))
          throw new AutogradError(`gradcheck: along a random direction of input ${i}, [${x.shape.join(', ')}], the gradient gives ${got} and finite differences give ${expected}`)
      }
    }
  })
}
