import { describe, expect, test } from '@jest/globals'
import { DTypeError, ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { noGrad } from '#lib/tensor/scope.js'
import { matmul } from '#lib/ops/matmul.js'
import { transpose } from '#lib/ops/view.js'
import { normal, opCases, type Array64, type OpCase } from './opCases.js'

/** alpha a b with the batch dimensions repeated as NumPy does. */
function product(a: Array64, b: Array64, alpha = 1): Array64 {
  const [M, K] = a.shape.slice(-2) as [number, number], N = b.shape.at(-1)!
  const rank = Math.max(a.shape.length, b.shape.length) - 2
  const leading = (x: Array64) => [...new Array<number>(rank - x.shape.length + 2).fill(1), ...x.shape.slice(0, -2)]
  const aLead = leading(a), bLead = leading(b), batch = aLead.map((n, d) => n === 1 ? bLead[d]! : n)
  const count = batch.reduce((x, y) => x * y, 1), data = new Float64Array(count * M * N)
  for (let p = 0; p < count; p++) {
    let rest = p, i = 0, j = 0, aStep = 1, bStep = 1
    for (let d = rank - 1; d >= 0; d--) {
      const at = rest % batch[d]!
      rest = Math.floor(rest / batch[d]!)
      if (aLead[d] !== 1) i += at * aStep
      if (bLead[d] !== 1) j += at * bStep
      aStep *= aLead[d]!
      bStep *= bLead[d]!
    }
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) {
        let sum = 0
        for (let k = 0; k < K; k++) sum += a.data[(i * M + m) * K + k]! * b.data[(j * K + k) * N + n]!
        data[(p * M + m) * N + n] = alpha * sum
      }
    }
  }
  return { shape: [...batch, M, N], data }
}

const inShape = (x: Array64, shape: number[]): Array64 => ({ shape, data: x.data })
const turned = (x: Array64): Array64 => {
  const [R, C] = x.shape as [number, number]
  return { shape: [C, R], data: Float64Array.from({ length: R * C }, (_, i) => x.data[(i % R) * C + Math.floor(i / R)]!) }
}

const plain = (a: number[], b: number[], alpha?: number): OpCase => ({
  name: `[${a.join(', ')}] [${b.join(', ')}]${alpha === undefined ? '' : ` times ${alpha}`}`,
  inputs: { a: normal(a, { seed: 1 }), b: normal(b, { seed: 2 }) },
  run: ({ a, b }) => matmul(a!, b!, alpha === undefined ? {} : { alpha }),
  reference: ({ a, b }) => product(a!, b!, alpha),
  ulps: 4 + Math.sqrt(a.at(-1)!),
})

opCases('matmul', [
  plain([1, 1], [1, 1]),
  plain([3, 17], [17, 65]),
  plain([17, 257], [257, 3]),
  plain([65, 65], [65, 65], -0.5),
  plain([1, 65], [65, 257]),
  plain([257, 17], [17, 1]),
  plain([2, 3, 17], [17, 5]),
  plain([2, 3, 17], [2, 17, 5], 0.25),
  plain([3, 1, 5, 4], [2, 4, 3]),
  plain([5, 4], [2, 3, 4, 3]),
  plain([1, 5, 4], [3, 4, 3]),
  plain([63, 17], [17, 1000]),
  plain([24, 40], [40, 72], 0.5),   // rows at multiples of 16 bytes
  plain([3, 24, 40], [3, 40, 72]),
  { ...plain([300, 260], [260, 300]), large: true },
  { ...plain([20, 4000], [4000, 24]), large: true },   // so deep that the depth is split
  { ...plain([3, 65, 257], [3, 257, 65]), large: true },
  {
    name: 'transposed on both sides',
    inputs: { a: normal([17, 33], { seed: 3 }), b: normal([65, 17], { seed: 4 }) },
    run: ({ a, b }) => matmul(transpose(a!), transpose(b!)),
    reference: ({ a, b }) => product(turned(a!), turned(b!)),
  },
  {
    name: 'two vectors',
    inputs: { a: normal([65], { seed: 5 }), b: normal([65], { seed: 6 }) },
    run: ({ a, b }) => matmul(a!, b!),
    reference: ({ a, b }) => inShape(product(inShape(a!, [1, 65]), inShape(b!, [65, 1])), []),
    ulps: 64,
  },
  {
    name: 'a vector on the left of a batch',
    inputs: { a: normal([17], { seed: 7 }), b: normal([3, 17, 5], { seed: 8 }) },
    run: ({ a, b }) => matmul(a!, b!),
    reference: ({ a, b }) => inShape(product(inShape(a!, [1, 17]), b!), [3, 5]),
  },
  {
    name: 'a vector on the right of a batch',
    inputs: { a: normal([2, 3, 17], { seed: 9 }), b: normal([17], { seed: 10 }) },
    run: ({ a, b }) => matmul(a!, b!),
    reference: ({ a, b }) => inShape(product(a!, inShape(b!, [17, 1])), [2, 3]),
  },
  {
    name: 'a matrix with itself',
    inputs: { a: normal([17, 17], { seed: 11 }) },
    run: ({ a }) => matmul(a!, a!),
    reference: ({ a }) => product(a!, a!),
  },
])

describe('matmul', () => {
  test('of no columns of a is zero, and of no rows nothing', () => {
    expect([...matmul(zeros([2, 0]), zeros([0, 3])).dataSync()]).toEqual([0, 0, 0, 0, 0, 0])
    expect(matmul(zeros([0, 4]), zeros([4, 3])).shape).toEqual([0, 3])
    expect(matmul(zeros([0, 2, 4]), zeros([4, 3])).shape).toEqual([0, 2, 3])
  })

  test('passes NaN and infinity on to their rows and columns', () => {
    const a = tensor([[1, NaN], [1, 1]]), b = tensor([[1, Infinity, 0], [1, 1, 2]])
    expect([...matmul(a, b).dataSync()]).toEqual([NaN, NaN, NaN, 2, Infinity, 2])
  })

  test('refuses what does not fit, and says what came', () => {
    expect(() => matmul(zeros([2, 3]), zeros([4, 5]))).toThrow(ShapeError)
    expect(() => matmul(zeros([2, 3]), zeros([4, 5]))).toThrow(/\[2, 3\] and b \[4, 5\]/)
    expect(() => matmul(zeros([2, 3, 4]), zeros([3, 4, 5]))).toThrow(ShapeError)
    expect(() => matmul(zeros([]), zeros([2, 2]))).toThrow(ShapeError)
    expect(() => matmul(zeros([2, 2]), zeros([2, 2], { dtype: 'bfloat16' }))).toThrow(DTypeError)
    expect(() => matmul(zeros([2, 2], { dtype: 'int32' }), zeros([2, 2], { dtype: 'int32' }))).toThrow(DTypeError)
  })

  test('leaves nothing behind, whatever the shapes', () => {
    const shapes: [number[], number[]][] = [[[3, 4], [4, 5]], [[4], [4]], [[2, 3, 4], [4, 5]], [[2, 3, 4], [4]], [[4], [2, 4, 5]], [[5, 4], [2, 4, 3]]]
    for (const [left, right] of shapes) {
      const a = zeros(left, { requiresGrad: true }), b = zeros(right, { requiresGrad: true })
      const before = memory().tensors
      noGrad(() => { matmul(a, b).dispose() })
      expect(memory().tensors).toBe(before)
      const y = matmul(a, b)
      backward(y, y.rank === 0 ? undefined : zeros(y.shape))
      expect([a.grad!.shape, b.grad!.shape]).toEqual([left, right])
      for (const t of [a, b]) { t.grad?.dispose(); t.dispose() }
      y.dispose()
    }
  })
})
