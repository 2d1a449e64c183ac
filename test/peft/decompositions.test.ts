import { describe, expect, test } from '@jest/globals'
import { Random } from '#lib/data/random.js'
import { type Matrix, qr, singularValues } from '#lib/peft/decompositions.js'

const random = (rows: number, columns: number): Matrix => ({ rows, columns, data: new Random(3, 'matrices').fillNormal(new Float64Array(rows * columns)) })
const at = ({ columns, data }: Matrix, i: number, j: number): number => data[i * columns + j]!

/** The largest error of Σ_k left[i, k] · weight[k] · right(k, j) against A. */
function error(A: Matrix, k: number, term: (i: number, k: number, j: number) => number): number {
  let worst = 0
  for (let i = 0; i < A.rows; i++) for (let j = 0; j < A.columns; j++) {
    let sum = 0
    for (let n = 0; n < k; n++) sum += term(i, n, j)
    worst = Math.max(worst, Math.abs(sum - at(A, i, j)))
  }
  return worst
}

function orthonormal(Q: Matrix): number {
  let worst = 0
  for (let a = 0; a < Q.columns; a++) for (let b = 0; b < Q.columns; b++) {
    let dot = 0
    for (let i = 0; i < Q.rows; i++) dot += at(Q, i, a) * at(Q, i, b)
    worst = Math.max(worst, Math.abs(dot - (a === b ? 1 : 0)))
  }
  return worst
}

describe.each([[5, 5], [9, 4], [4, 9], [1, 3], [30, 17]])('%i x %i', (rows, columns) => {
  const A = random(rows, columns), k = Math.min(rows, columns)

  test('Q R is the matrix, Q has orthonormal columns, R nothing below its diagonal', () => {
    const { Q, R } = qr(A)
    expect(error(A, k, (i, n, j) => at(Q, i, n) * at(R, n, j))).toBeLessThan(1e-13 * rows * columns)
    expect(orthonormal(Q)).toBeLessThan(1e-13)
    for (let i = 0; i < k; i++) for (let j = 0; j < Math.min(i, columns); j++) expect(at(R, i, j)).toBe(0)
  })

  test('U S Vᵀ is the matrix, with orthonormal columns and values from the largest', () => {
    const { U, S, V } = singularValues(A)
    expect(error(A, k, (i, n, j) => at(U, i, n) * S[n]! * at(V, j, n))).toBeLessThan(1e-12)
    expect(Math.max(orthonormal(U), orthonormal(V))).toBeLessThan(1e-12)
    expect([...S]).toEqual([...S].sort((a, b) => b - a))
  })
})
