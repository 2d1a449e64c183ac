import type { Tensor } from '../tensor/tensor.js'
import { binary, type Operand } from './binary.js'

// Comparisons broadcast and give bool, through which no gradient flows. NaN equals nothing, itself included.

/** a = b */
export const eq = (a: Operand, b: Operand): Tensor => binary('eq', a, b)
/** a ≠ b */
export const ne = (a: Operand, b: Operand): Tensor => binary('ne', a, b)
/** a < b */
export const lt = (a: Operand, b: Operand): Tensor => binary('lt', a, b)
/** a ≤ b */
export const le = (a: Operand, b: Operand): Tensor => binary('le', a, b)
/** a > b */
export const gt = (a: Operand, b: Operand): Tensor => binary('gt', a, b)
/** a ≥ b */
export const ge = (a: Operand, b: Operand): Tensor => binary('ge', a, b)

// Of any dtype: a value counts as true if it is not 0.

export const logicalAnd = (a: Tensor, b: Tensor): Tensor => binary('logicalAnd', a, b)
export const logicalOr = (a: Tensor, b: Tensor): Tensor => binary('logicalOr', a, b)
export const logicalXor = (a: Tensor, b: Tensor): Tensor => binary('logicalXor', a, b)
