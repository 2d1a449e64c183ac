import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { binaryOps } from './codes.js'
import { requireNumbers, requireSameDtype } from './dtypeChecks.js'
import { broadcastShape, withBroadcast } from './view.js'

/** A tensor, or a number that stands for a tensor of any shape filled with it. */
export type Operand = Tensor | number

/** @internal The tensor among two operands; undefined for a number. */
export const tensorOf = (x: Operand): Tensor | undefined => typeof x === 'number' ? undefined : x

/**
 * @internal a op b, elementwise and broadcast, outside of the graph: the public ops add their gradients.
 * @throws ShapeError if the shapes do not broadcast; DTypeError if the dtypes differ, or are bool where arithmetic is meant
 */
export function binary(op: keyof typeof binaryOps, a: Operand, b: Operand): Tensor {
  const code = binaryOps[op], givesBool = code >= binaryOps.eq
  const first = tensorOf(a) ?? tensorOf(b)
  if (!first) throw new ShapeError(`${op}: both operands are numbers, expected at least one tensor`)
  if (!givesBool) requireNumbers(op, first)
  const dtype = givesBool ? 'bool' : first.dtype
  if (typeof a === 'number' || typeof b === 'number') {
    const y = emptyLike(first, first.shape, dtype)
    native.scalarBinary(first.handle, y.raw, code, typeof a === 'number' ? a : b as number, typeof a === 'number')
    return y
  }
  requireSameDtype(op, a, b)
  const shape = broadcastShape(op, a.shape, b.shape), y = emptyLike(a, shape, dtype)
  withBroadcast(a, shape, a_ => { withBroadcast(b, shape, b_ => { native.binary(a_, b_, y.raw, code) }) })
  return y
}
