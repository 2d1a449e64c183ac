import { recorded } from '../autograd/tape.js'
import { ConfigError } from '../errors.js'
import { native } from '../tensor/native.js'
import { scope } from '../tensor/scope.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { binary, type Operand } from './binary.js'
import { giveGradient, savedTensor, tensorAt } from './broadcasting.js'
import { binaryOps } from './codes.js'
import { eq, ge, gt, le, logicalAnd, lt } from './compare.js'
import { requireNumbers } from './dtypeChecks.js'
import { mul } from './mul.js'
import { where } from './where.js'

/** The larger of a and b, broadcast; NaN if either is. Equal ones get half of the gradient each; a tensor that equals a number gets all. @throws ShapeError, DTypeError */
export const maximum = (a: Operand, b: Operand): Tensor => extremum('max', a, b)

/** The smaller of a and b, broadcast; NaN if either is. Equal ones get half of the gradient each; a tensor that equals a number gets all. @throws ShapeError, DTypeError */
export const minimum = (a: Operand, b: Operand): Tensor => extremum('min', a, b)

function extremum(op: 'max' | 'min', a: Operand, b: Operand): Tensor {
  if (typeof a === 'number') return extremum(op, b, a)
  if (typeof b === 'number') return clamp(a, op === 'max' ? { min: b } : { max: b })
  const y = binary(op, a, b), { shape } = y, [loses, wins] = op === 'max' ? [lt, gt] : [gt, lt]
  return recorded(y, { name: op === 'max' ? 'maximum' : 'minimum', inputs: [a, b], saved: [a, b] }, (dy, into, [a_, b_]) => {
    scope(() => {
      const left = savedTensor(a_!, a), right = savedTensor(b_!, b), d = tensorAt(dy, shape, a), share = where(eq(left, right), mul(d, 0.5), d)
      giveGradient(a, into, () => where(loses(left, right), 0, share))
      giveGradient(b, into, () => where(wins(left, right), 0, share))
    })
  })
}

export interface Bounds { min?: number | undefined, max?: number | undefined }

/** `x` held between `min` and `max`; NaN stays. The gradient passes where `x` is within, the bounds included. @throws ConfigError if neither is given, or min > max */
export function clamp(x: Tensor, { min = -Infinity, max = Infinity }: Bounds): Tensor {
  if (!(min <= max) || (min === -Infinity && max === Infinity)) throw new ConfigError(`clamp: min is ${min} and max ${max}, expected at least one of them, and min <= max`)
  requireNumbers('clamp', x)
  const y = emptyLike(x)
  if (min > -Infinity) native.scalarBinary(x.handle, y.raw, binaryOps.max, min, false)
  if (max < Infinity) native.scalarBinary(min > -Infinity ? y.raw : x.handle, y.raw, binaryOps.min, max, false)
  const { shape } = x
  return recorded(y, { name: 'clamp', inputs: [x], saved: [x] }, (dy, into, [x_]) => {
    scope(() => {
      const values = savedTensor(x_!, x)
      giveGradient(x, into, () => where(logicalAnd(ge(values, min), le(values, max)), tensorAt(dy, shape, x), 0))
    })
  })
}
