import { DTypeError } from '../errors.js'
import { isFloating } from '../tensor/dtype.js'
import type { Tensor } from '../tensor/tensor.js'

/** @throws DTypeError unless `x` is float32, float16 or bfloat16 */
export function requireFloating(name: string, x: Tensor): void {
  if (!isFloating(x.dtype)) throw new DTypeError(`${name}: the tensor is ${x.dtype}, expected a floating one. Convert it with .to('float32')`)
}

/** @throws DTypeError for bool, which has no arithmetic */
export function requireNumbers(name: string, x: Tensor): void {
  if (x.dtype === 'bool') throw new DTypeError(`${name}: the tensor is bool, which has no arithmetic. Use logicalAnd, logicalOr, logicalXor or logicalNot, or .to('int32')`)
}

/** @throws DTypeError if the dtypes differ: nothing is converted silently */
export function requireSameDtype(name: string, a: Tensor, b: Tensor): void {
  if (a.dtype !== b.dtype) throw new DTypeError(`${name}: one tensor is ${a.dtype}, the other ${b.dtype}. Convert one of them with .to(dtype)`)
}
