import { backward } from '../autograd/backward.js'
import type { Device } from '../tensor/device.js'
import type { DType } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import { add, sub } from './add.js'
import { argmax } from './argmax.js'
import type { Operand } from './binary.js'
import { eq, ge, gt, le, logicalAnd, logicalOr, logicalXor, lt, ne } from './compare.js'
import { clone, contiguous } from './copy.js'
import { cumsum } from './cumsum.js'
import { floorDivide, remainder } from './floorDivide.js'
import { gather, scatterAdd } from './gather.js'
import { indexSelect } from './indexSelect.js'
import { matmul } from './matmul.js'
import { clamp, maximum, minimum, type Bounds } from './maximum.js'
import { div, mul } from './mul.js'
import { pow } from './pow.js'
import { all, any, max, mean, min, prod, sum, sumOfSquares, type Dims, type ReduceOptions } from './reduce.js'
import { logSoftmax, softmax } from './softmax.js'
import { to } from './to.js'
import { topK } from './topK.js'
import * as unary from './unary.js'
import * as view from './view.js'

// The ops as methods of Tensor, with the names and meanings of PyTorch in camelCase. Importing this file adds them; `Tensor` declares them.

export interface TensorMethods {
  /** Computes gradients of everything this tensor depends on; see `backward`. */
  backward(gradient?: Tensor): void

  add(other: Operand): Tensor
  sub(other: Operand): Tensor
  mul(other: Operand): Tensor
  div(other: Operand): Tensor
  pow(exponent: Operand): Tensor
  maximum(other: Operand): Tensor
  minimum(other: Operand): Tensor
  clamp(bounds: Bounds): Tensor
  floorDivide(other: Operand): Tensor
  remainder(other: Operand): Tensor
  eq(other: Operand): Tensor
  ne(other: Operand): Tensor
  lt(other: Operand): Tensor
  le(other: Operand): Tensor
  gt(other: Operand): Tensor
  ge(other: Operand): Tensor
  logicalAnd(other: Tensor): Tensor
  logicalOr(other: Tensor): Tensor
  logicalXor(other: Tensor): Tensor
  logicalNot(): Tensor
  isNan(): Tensor
  isFinite(): Tensor

  neg(): Tensor
  abs(): Tensor
  square(): Tensor
  exp(): Tensor
  log(): Tensor
  log1p(): Tensor
  sqrt(): Tensor
  rsqrt(): Tensor
  reciprocal(): Tensor
  erf(): Tensor
  sin(): Tensor
  cos(): Tensor
  relu(): Tensor
  gelu(options?: { approximate?: 'none' | 'tanh' }): Tensor
  silu(): Tensor
  tanh(): Tensor
  sigmoid(): Tensor
  softplus(): Tensor
  sign(): Tensor
  floor(): Tensor
  ceil(): Tensor
  round(): Tensor
  trunc(): Tensor

  sum(dims?: Dims, options?: ReduceOptions): Tensor
  mean(dims?: Dims, options?: ReduceOptions): Tensor
  max(dims?: Dims, options?: ReduceOptions): Tensor
  min(dims?: Dims, options?: ReduceOptions): Tensor
  prod(dims?: Dims, options?: ReduceOptions): Tensor
  sumOfSquares(dims?: Dims, options?: ReduceOptions): Tensor
  any(dims?: Dims, options?: ReduceOptions): Tensor
  all(dims?: Dims, options?: ReduceOptions): Tensor
  argmax(dim?: number, options?: ReduceOptions): Tensor
  topK(k: number, dim?: number): { values: Tensor, indices: Tensor }
  cumsum(dim?: number): Tensor
  softmax(dim?: number): Tensor
  logSoftmax(dim?: number): Tensor

  matmul(other: Tensor): Tensor
  indexSelect(ids: Tensor, dim?: number): Tensor
  gather(index: Tensor, dim?: number): Tensor
  scatterAdd(index: Tensor, source: Tensor, dim?: number): Tensor

  reshape(shape: readonly number[]): Tensor
  permute(dims: readonly number[]): Tensor
  transpose(a?: number, b?: number): Tensor
  slice(dim: number, start?: number, end?: number, step?: number): Tensor
  select(dim: number, index: number): Tensor
  split(sizes: number | readonly number[], dim?: number): Tensor[]
  unsqueeze(dim: number): Tensor
  squeeze(dim?: number): Tensor
  flatten(from?: number, to?: number): Tensor
  expand(shape: readonly number[]): Tensor
  detach(): Tensor
  clone(): Tensor
  contiguous(): Tensor
  /** On another device (or its name), in another dtype (`to('bfloat16')`), or both; itself where neither differs. */
  to(where: string | Device, dtype?: DType): Tensor
}

const { neg, abs, square, exp, log, log1p, sqrt, rsqrt, reciprocal, erf, sin, cos, relu, gelu, silu, tanh, sigmoid, softplus, sign, floor, ceil, round, trunc, logicalNot, isNan,
  isFinite } = unary
const { reshape, permute, transpose, slice, select, split, unsqueeze, squeeze, flatten, expand, detach } = view

const functions: { [K in keyof TensorMethods]: (x: Tensor, ...rest: Parameters<TensorMethods[K]>) => ReturnType<TensorMethods[K]> } = {
  backward, add, sub, mul, div, pow, maximum, minimum, clamp, floorDivide, remainder, eq, ne, lt, le, gt, ge, logicalAnd, logicalOr, logicalXor, logicalNot, isNan, isFinite,
  neg, abs, square, exp, log, log1p, sqrt, rsqrt, reciprocal, erf, sin, cos, relu, gelu, silu, tanh, sigmoid, softplus, sign, floor, ceil, round, trunc,
  sum, mean, max, min, prod, sumOfSquares, any, all, argmax, topK, cumsum, softmax, logSoftmax, matmul, indexSelect, gather, scatterAdd,
  reshape, permute, transpose, slice, select, split, unsqueeze, squeeze, flatten, expand, detach, clone, contiguous, to,
}

for (const [name, f] of Object.entries(functions) as [string, (x: Tensor, ...rest: unknown[]) => unknown][]) {
  const method = function (this: Tensor, ...rest: unknown[]): unknown { return f(this, ...rest) }
  Object.defineProperty(Tensor.prototype, name, { value: method, writable: true, configurable: true })
}
