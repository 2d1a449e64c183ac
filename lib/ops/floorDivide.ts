import { withoutGradient } from '../autograd/tape.js'
import type { Tensor } from '../tensor/tensor.js'
import { binary, tensorOf, type Operand } from './binary.js'

/** a / b rounded toward minus infinity, as Python's `//`; integers divided by 0 give 0. Without a gradient. @throws AutogradError, ShapeError, DTypeError */
export function floorDivide(a: Operand, b: Operand): Tensor {
  withoutGradient('floorDivide', tensorOf(a), tensorOf(b))
  return binary('floorDivide', a, b)
}

/** What `floorDivide` leaves: it has the sign of b, as Python's `%`. Without a gradient. @throws AutogradError, ShapeError, DTypeError */
export function remainder(a: Operand, b: Operand): Tensor {
  withoutGradient('remainder', tensorOf(a), tensorOf(b))
  return binary('remainder', a, b)
}
