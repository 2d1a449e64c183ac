import { ShapeError } from '../errors.js'
import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { dtypeId, type DType } from '../tensor/dtype.js'
import { empty, sizeOf, type Tensor } from '../tensor/tensor.js'
import { cast } from './copy.js'
import { biasGradient, computeDtype, type LinearOptions } from './linear.js'
import { usesTf32 } from './matmulPrecision.js'
import { reshape } from './view.js'

/** A weight `[out, in]` that is stored in another form and made when it is needed. */
export interface StoredWeight {
  readonly shape: readonly [number, number]
  dequantize(dtype: DType): Tensor
}

/**
 * y = x Wᵀ + b with a weight that is made for the product and thrown away, once in the forward pass and once for the gradient of x. It has no gradient itself,
 * and has to live until the backward pass is done.
 * @param x `[…, in]`   @param weight `[out, in]`   @param bias `[out]` float32
 * @returns `[…, out]`
 * @throws ShapeError if the sizes do not fit
 */
export function quantizedLinear(x: Tensor, weight: StoredWeight, bias?: Tensor, { dtype }: Pick<LinearOptions, 'dtype'> = {}): Tensor {
  const [N, K] = weight.shape
  if (x.rank < 1 || x.shape.at(-1) !== K) throw new ShapeError(`linear: x is [${x.shape.join(', ')}] and the weight [${N}, ${K}], expected [out, in] with in = the last dimension of x`)
  const operands = computeDtype(x), M = sizeOf(x.shape.slice(0, -1))
  const converted = cast(x, operands), input = x.rank === 2 ? converted : reshape(converted, [M, K]), y = empty([M, N], dtype ?? operands, x.device)
  const W = weight.dequantize(operands), transposed = native.view(W.raw, 0, 2, K, N, 1, K)
  native.matmul(input.handle, transposed, y.raw, bias?.handle ?? 0, 0, 0, 0, 0, 1, usesTf32())
  native.destroy(transposed)
  W.dispose()
  recorded(y, { name: 'quantizedLinear', inputs: [input, bias] }, (dy, into) => {
    const dx = into(input), db = into(bias)
    if (dx !== 0) {
      using again = weight.dequantize(operands)
      const dz = y.dtype === operands ? dy : native.alloc(dtypeId(operands), y.device.index, 2, M, N)
      try {
        if (dz !== dy) native.copy(dy, dz)
        native.matmul(dz, again.raw, dx, 0, 0, 0, 0, 0, 1, usesTf32())
      } finally {
        if (dz !== dy) native.destroy(dz)
      }
    }
    if (db !== 0) biasGradient(dy, db, N)
  })
  if (input !== converted) input.dispose()
  if (converted !== x) converted.dispose()
  if (x.rank === 2) return y
  const shaped = reshape(y, [...x.shape.slice(0, -1), N])
  y.dispose()
  return shaped
}
