/** Row-major. */
export interface Matrix { rows: number, columns: number, data: Float64Array }

/** Householder's reduced A = Q R: Q `[m, k]`, R `[k, n]` with k = min(m, n). @see Golub, Van Loan, Matrix Computations, 5.2 */
export function qr({ rows: m, columns: n, data }: Matrix): { Q: Matrix, R: Matrix } {
  const k = Math.min(m, n), R = Float64Array.from(data), reflectors: Float64Array[] = []
  const reflect = (X: Float64Array, width: number, v: Float64Array, from: number): void => {
    for (let j = 0; j < width; j++) {
      let dot = 0
      for (let i = from; i < m; i++) dot += v[i]! * X[i * width + j]!
      for (let i = from; i < m; i++) X[i * width + j]! -= 2 * dot * v[i]!
    }
  }
  for (let c = 0; c < k; c++) {
    const v = new Float64Array(m)
    let norm = 0
    for (let i = c; i < m; i++) norm += R[i * n + c]! ** 2
    norm = Math.sqrt(norm)
    for (let i = c; i < m; i++) v[i] = R[i * n + c]!
    v[c]! += v[c]! >= 0 ? norm : -norm
    const length = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0))
    if (length > 0) {
      for (let i = c; i < m; i++) v[i]! /= length
      reflect(R, n, v, c)
    }
    reflectors.push(v)
  }
  const Q = new Float64Array(m * k)
  for (let i = 0; i < k; i++) Q[i * k + i] = 1
  for (let c = k - 1; c >= 0; c--) reflect(Q, k, reflectors[c]!, c)
  for (let i = 0; i < k; i++) R.fill(0, i * n, i * n + Math.min(i, n))
  return { Q: { rows: m, columns: k, data: Q }, R: { rows: k, columns: n, data: R.slice(0, k * n) } }
}

/**
 * A = U diag(S) Vᵀ with S descending: U `[m, k]`, V `[n, k]`, k = min(m, n). One-sided Jacobi, which is slow and exact to rounding: O(m n²) a sweep, about ten sweeps.
 * @see Demmel, Veselić 1992
 */
export function singularValues(A: Matrix): { U: Matrix, S: Float64Array, V: Matrix } {
  if (A.rows < A.columns) {
    const { U, S, V } = singularValues(transposed(A))
    return { U: V, S, V: U }
  }
  const { rows: m, columns: n } = A
  // Columns of A and V one after the other, so that a rotation walks along memory.
  const columns = transposed(A).data, V = new Float64Array(n * n)
  for (let i = 0; i < n; i++) V[i * n + i] = 1
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) {
        let a = 0, b = 0, c = 0
        for (let i = 0; i < m; i++) {
          const x = columns[p * m + i]!, y = columns[q * m + i]!
          a += x * x
          b += y * y
          c += x * y
        }
        if (Math.abs(c) <= 1e-15 * Math.sqrt(a * b) || c === 0) continue
        turned = true
        const zeta = (b - a) / (2 * c), t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.hypot(1, zeta)), cos = 1 / Math.hypot(1, t), sin = cos * t
        rotate(columns, p * m, q * m, m, cos, sin)
        rotate(V, p * n, q * n, n, cos, sin)
      }
    }
  }
  const lengths = Float64Array.from({ length: n }, (_, j) => Math.sqrt(columns.subarray(j * m, (j + 1) * m).reduce((s, x) => s + x * x, 0)))
  const order = [...lengths.keys()].sort((i, j) => lengths[j]! - lengths[i]!)
  const U = new Float64Array(m * n), right = new Float64Array(n * n)
  order.forEach((from, to) => {
    for (let i = 0; i < m; i++) U[i * n + to] = lengths[from] === 0 ? 0 : columns[from * m + i]! / lengths[from]!
    for (let i = 0; i < n; i++) right[i * n + to] = V[from * n + i]!
  })
  return { U: { rows: m, columns: n, data: U }, S: Float64Array.from(order, j => lengths[j]!), V: { rows: n, columns: n, data: right } }
}

function rotate(X: Float64Array, p: number, q: number, length: number, cos: number, sin: number): void {
  for (let i = 0; i < length; i++) {
    const x = X[p + i]!, y = X[q + i]!
    X[p + i] = cos * x - sin * y
    X[q + i] = sin * x + cos * y
  }
}

function transposed({ rows, columns, data }: Matrix): Matrix {
  const out = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!
  return { rows: columns, columns: rows, data: out }
}
