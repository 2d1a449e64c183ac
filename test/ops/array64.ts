import type { Array64 } from './opCases.js'
import { values } from './opCases.js'

// NumPy in miniature, in float64: what references are written with.

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

export const map = (x: Array64, f: (v: number) => number): Array64 => ({ shape: x.shape, data: x.data.map(f) })

/** The indices of element `i` of a tensor of the given shape. */
export function indicesOf(shape: readonly number[], i: number): number[] {
  const indices = new Array<number>(shape.length)
  for (let d = shape.length - 1; d >= 0; d--) {
    indices[d] = i % shape[d]!
    i = Math.floor(i / shape[d]!)
  }
  return indices
}

/** The element of `x` at `indices`, whose last ones count; sizes of 1 are repeated. */
export function at(x: Array64, indices: readonly number[]): number {
  const lead = indices.length - x.shape.length
  return x.data[x.shape.reduce((offset, n, d) => offset * n + (n === 1 ? 0 : indices[lead + d]!), 0)]!
}

export function broadcastShapes(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map(s => s.length))
  return Array.from({ length: rank }, (_, d) => shapes.map(s => s[d - rank + s.length] ?? 1).reduce((m, n) => m === 1 ? n : m))
}

/** f(a, b, …) element by element with broadcasting. */
export function zip(arrays: readonly Array64[], f: (...v: number[]) => number): Array64 {
  const shape = broadcastShapes(...arrays.map(a => a.shape))
  return values(shape, i => {
    const indices = indicesOf(shape, i)
    return f(...arrays.map(a => at(a, indices)))
  })
}

/** f(the elements that fall together) for every result of a reduction over `dims` (all by default). */
export function reduceOver(x: Array64, dims: readonly number[] | undefined, f: (group: number[]) => number, keepDim = false): Array64 {
  const gone = new Set((dims ?? x.shape.map((_, d) => d)).map(d => d < 0 ? d + x.shape.length : d))
  const kept = x.shape.map((n, d) => gone.has(d) ? 1 : n)
  const groups = Array.from({ length: sizeOf(kept) }, (): number[] => [])
  for (let i = 0; i < x.data.length; i++) {
    const indices = indicesOf(x.shape, i)
    groups[kept.reduce((offset, n, d) => offset * n + (n === 1 ? 0 : indices[d]!), 0)]!.push(x.data[i]!)
  }
  return { shape: keepDim ? kept : x.shape.filter((_, d) => !gone.has(d)), data: Float64Array.from(groups, f) }
}

export const total = (group: readonly number[]): number => group.reduce((a, b) => a + b, 0)
