/** One tensor of a case: the largest error and the bound it must keep. */
export interface Comparison { name: string, error: number, bound: number, passed: boolean, note?: string }

export interface Expected { shape: readonly number[], data: ArrayLike<number> }

export function largest(data: ArrayLike<number>): number {
  let m = 0
  for (let i = 0; i < data.length; i++) m = Math.max(m, Math.abs(data[i]!))
  return m
}

/** Compares `got` with `expected`; NaN and infinities that are not expected fail. `absent` says why there is nothing to compare. */
export function compare(name: string, got: Expected | undefined, expected: Expected, bound: number, counts: (i: number) => boolean = () => true): Comparison {
  if (!got) return { name, error: Infinity, bound, passed: false, note: 'nothing produced it' }
  if (got.shape.length !== expected.shape.length || got.shape.some((n, d) => n !== expected.shape[d]))
    return { name, error: Infinity, bound, passed: false, note: `is [${got.shape.join(', ')}], expected [${expected.shape.join(', ')}]` }
  let error = 0
  for (let i = 0; i < expected.data.length; i++) {
    if (!counts(i)) continue
    const g = got.data[i]!, e = expected.data[i]!
    const off = g === e || (Number.isNaN(g) && Number.isNaN(e)) ? 0 : Math.abs(g - e)
    error = Number.isNaN(off) ? Infinity : Math.max(error, off)
  }
  return { name, error, bound, passed: error <= bound }
}
