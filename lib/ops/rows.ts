import type { Tensor } from '../tensor/tensor.js'
import { contiguous } from './copy.js'

// Native ops over the last dimension walk a tensor row by row: the elements of a row lie next to each other, and rows at equal distances.

function hasRows({ shape, strides }: Tensor): boolean {
  if (shape.some(n => n === 0)) return true
  if (shape.length > 0 && shape.at(-1) !== 1 && strides.at(-1) !== 1) return false
  let expected = -1
  for (let d = shape.length - 2; d >= 0; d--) {
    if (shape[d] === 1) continue
    if (expected >= 0 && strides[d] !== expected) return false
    expected = strides[d]! * shape[d]!
  }
  return true
}

/** Calls `use` with `x`, or with a copy that lies in such rows and is freed afterwards (the tape keeps what it saved). */
export function withRows<T>(x: Tensor, use: (x: Tensor) => T): T {
  if (!x.geometry || hasRows(x)) return use(x)
  const copy = contiguous(x)
  try {
    return use(copy)
  } finally {
    copy.dispose()
  }
}
