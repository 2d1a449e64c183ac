import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import type { Tensor } from '../tensor/tensor.js'
import { binary, tensorOf, type Operand } from './binary.js'
import { withRepeated, withTemporary, writeGradient } from './broadcasting.js'
import { binaryOps } from './codes.js'
import { requireFloating } from './dtypeChecks.js'

const { mul: times, div: over } = binaryOps

/** a b with NumPy's broadcasting, element by element. @throws ShapeError, DTypeError if shapes do not broadcast or dtypes differ */
export function mul(a: Operand, b: Operand): Tensor {
  const y = binary('mul', a, b), { shape } = y
  if (typeof a === 'number' || typeof b === 'number') {
    const x = tensorOf(a) ?? tensorOf(b)!, factor = typeof a === 'number' ? a : b as number
    return recorded(y, { name: 'mul', inputs: [x] }, (dy, into) => { native.scalarBinary(dy, into(x), times, factor, false) })
  }
  return recorded(y, { name: 'mul', inputs: [a, b], saved: [b.requiresGrad ? a : undefined, a.requiresGrad ? b : undefined] }, (dy, into, [a_, b_]) => {
    writeGradient(a, shape, into, target => { withRepeated(b_!, b, shape, other => { native.binary(dy, other, target, times) }) })
    writeGradient(b, shape, into, target => { withRepeated(a_!, a, shape, other => { native.binary(dy, other, target, times) }) })
  })
}

/**
 * a / b with NumPy's broadcasting, element by element, for floating tensors.
 * @throws ShapeError if shapes do not broadcast; DTypeError if dtypes differ or are integers: see `floorDivide`
 */
export function div(a: Operand, b: Operand): Tensor {
  const left = tensorOf(a), right = tensorOf(b)
  for (const x of [left, right]) if (x) requireFloating('div (for integers there is floorDivide)', x)
  const y = binary('div', a, b), { shape } = y
  if (!right) return recorded(y, { name: 'div', inputs: [left] }, (dy, into) => { native.scalarBinary(dy, into(left), over, b as number, false) })
  return recorded(y, { name: 'div', inputs: [left, right], saved: [right.requiresGrad ? y : undefined, right] }, (dy, into, [y_, b_]) => {
    withRepeated(b_!, right, shape, divisor => {
      writeGradient(left, shape, into, target => { native.binary(dy, divisor, target, over) })
      // d(a / b) / db = -(a / b) / b
      writeGradient(right, shape, into, target => {
        withTemporary(shape, right, t => {
          native.binary(dy, y_!, t, times)
          native.scalarBinary(t, t, times, -1, false)
          native.binary(t, divisor, target, over)
        })
      })
    })
  })
}
