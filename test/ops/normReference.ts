import { values, type Array64 } from './opCases.js'

/** y = (s - mean) / sqrt(mean((s - mean)²) + eps) * weight + bias of each row; without `centred` the mean is left at 0 (RMSNorm). */
export function normReference(s: Array64, weight?: Array64, bias?: Array64, { eps = 1e-5, centred = true, offset = 0 } = {}): Array64 {
  const C = s.shape.at(-1)!
  const statistics = new Map<number, { mean: number, scale: number }>()
  const of = (row: number) => {
    let found = statistics.get(row)
    if (!found) {
      const x = s.data.subarray(row * C, (row + 1) * C)
      const mean = centred ? x.reduce((a, b) => a + b, 0) / C : 0
      found = { mean, scale: 1 / Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / C + eps) }
      statistics.set(row, found)
    }
    return found
  }
  return values(s.shape, i => {
    const { mean, scale } = of(Math.floor(i / C)), c = i % C
    return (s.data[i]! - mean) * scale * (weight ? weight.data[c]! + offset : 1) + (bias?.data[c] ?? 0)
  })
}

export const sumOf = (a: Array64, b: Array64): Array64 => values(a.shape, i => a.data[i]! + b.data[i]!)
