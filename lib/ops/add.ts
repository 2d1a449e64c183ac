import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import type { Tensor } from '../tensor/tensor.js'
import { binary, tensorOf, type Operand } from './binary.js'
import { writeGradient } from './broadcasting.js'
import { unaryOps } from './codes.js'

/** a + b with NumPy's broadcasting. @throws ShapeError, DTypeError if shapes do not broadcast or dtypes differ */
export function add(a: Operand, b: Operand): Tensor {
  const y = binary('add', a, b), { shape } = y, inputs = [tensorOf(a), tensorOf(b)]
  return recorded(y, { name: 'add', inputs }, (dy, into) => {
    for (const x of inputs) writeGradient(x, shape, into, target => { native.copy(dy, target) })
  })
}

/** a - b with NumPy's broadcasting. @throws ShapeError, DTypeError if shapes do not broadcast or dtypes differ */
export function sub(a: Operand, b: Operand): Tensor {
  const y = binary('sub', a, b), { shape } = y, left = tensorOf(a), right = tensorOf(b)
  return recorded(y, { name: 'sub', inputs: [left, right] }, (dy, into) => {
    writeGradient(left, shape, into, target => { native.copy(dy, target) })
    writeGradient(right, shape, into, target => { native.unaryBackward(dy, 0, target, unaryOps.neg) })
  })
}
