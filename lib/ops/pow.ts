import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { sub } from './add.js'
import { binary, tensorOf, type Operand } from './binary.js'
import { giveGradient, savedTensor, tensorAt } from './broadcasting.js'
import { binaryOps } from './codes.js'
import { eq } from './compare.js'
import { requireFloating } from './dtypeChecks.js'
import { mul } from './mul.js'
import { log } from './unary.js'
import { where } from './where.js'

/** a to the power of b with NumPy's broadcasting. Gradients need floating tensors. @throws ShapeError, DTypeError if shapes do not broadcast or dtypes differ */
export function pow(a: Operand, b: Operand): Tensor {
  const y = binary('pow', a, b), base = tensorOf(a), exponent = tensorOf(b)
  if (!exponent) return ofNumber(y, base!, b as number)
  if (!base) return toTensor(y, a as number, exponent)
  return ofTensors(y, base, exponent)
}

/** d(x^p) / dx = p x^(p - 1), and 0 for p = 0 even where x = 0. */
function ofNumber(y: Tensor, x: Tensor, p: number): Tensor {
  return recorded(y, { name: 'pow', inputs: [x], saved: [x] }, (dy, into, [x_]) => {
    scope(() => {
      const slope = p === 0 ? mul(savedTensor(x_!, x), 0) : mul(binary('pow', savedTensor(x_!, x), p - 1), p)
      native.binary(dy, slope.handle, into(x), binaryOps.mul)
    })
  })
}

/** d(c^x) / dx = c^x ln c, and 0 for c = 0. */
function toTensor(y: Tensor, c: number, x: Tensor): Tensor {
  requireFloating('pow', x)
  const { shape } = x
  return recorded(y, { name: 'pow', inputs: [x], saved: [y] }, (dy, into, [y_]) => {
    scope(() => { native.binary(dy, mul(tensorAt(y_!, shape, x), c === 0 ? 0 : Math.log(c)).handle, into(x), binaryOps.mul) })
  })
}

/** d(a^b) / da = b a^(b - 1), 0 where b = 0; d(a^b) / db = a^b ln a, 0 where a = 0. */
function ofTensors(y: Tensor, a: Tensor, b: Tensor): Tensor {
  const { shape } = y
  return recorded(y, { name: 'pow', inputs: [a, b], saved: [a, b, y] }, (dy, into, [a_, b_, y_]) => {
    scope(() => {
      const base = savedTensor(a_!, a), exponent = savedTensor(b_!, b), d = tensorAt(dy, shape, a)
      giveGradient(a, into, () => where(eq(exponent, 0), 0, mul(d, mul(exponent, binary('pow', base, sub(exponent, 1))))))
      giveGradient(b, into, () => where(eq(base, 0), 0, mul(d, mul(tensorAt(y_!, shape, a), log(base)))))
    })
  })
}
