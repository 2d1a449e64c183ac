import { recorded } from '../autograd/tape.js'
import { DTypeError, ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { tensorOf, type Operand } from './binary.js'
import { withNumber, withRepeated, writeGradient } from './broadcasting.js'
import { requireSameDtype } from './dtypeChecks.js'
import { broadcastShape, withBroadcast } from './view.js'

/**
 * `a` where the condition holds, else `b`; all three broadcast.
 * @param condition bool   @param a a tensor or a number   @param b a tensor of the dtype of `a`, or a number; not both numbers
 * @throws ShapeError if the shapes do not broadcast; DTypeError if the condition is not bool, or the dtypes differ
 */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const left = tensorOf(a), right = tensorOf(b), like = left ?? right
  if (condition.dtype !== 'bool') throw new DTypeError(`where: the condition is ${condition.dtype}, expected bool. Compare it, as in x.ne(0)`)
  if (!like) throw new ShapeError('where: both values are numbers, expected at least one tensor')
  if (left && right) requireSameDtype('where', left, right)
  const shape = [left, right].reduce((s, x) => x ? broadcastShape('where', s, x.shape) : s, condition.shape as number[])
  const y = emptyLike(like, shape)
  const withOperand = (x: Operand, use: (handle: number) => void): void => {
    if (typeof x === 'number') withNumber(x, shape, like, use)
    else withBroadcast(x, shape, use)
  }
  withBroadcast(condition, shape, c => { withOperand(a, a_ => { withOperand(b, b_ => { native.where(c, a_, b_, y.raw) }) }) })
  return recorded(y, { name: 'where', inputs: [left, right], saved: [condition] }, (dy, into, [condition_]) => {
    withRepeated(condition_!, condition, shape, c => {
      withNumber(0, shape, like, zero => {
        writeGradient(left, shape, into, target => { native.where(c, dy, zero, target) })
        writeGradient(right, shape, into, target => { native.where(c, zero, dy, target) })
      })
    })
  })
}
