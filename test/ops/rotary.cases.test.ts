import { describe, expect, test } from '@jest/globals'
import { IndexError, ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { rotary } from '#lib/ops/rotary.js'
import { split } from '#lib/ops/view.js'
import { ones, tensor, zeros } from '#lib/tensor/create.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { integers, normal, opCases, values, type Array64, type OpCase } from './opCases.js'

/** The definition, pair by pair. */
function turned(x: Array64, cos: Array64, sin: Array64, positionOf: (n: number) => number, interleaved: boolean): Array64 {
  const [, T, H, D] = x.shape as [number, number, number, number], half = cos.shape[1]!
  return values(x.shape, i => {
    const d = i % D, head = i - d, n = Math.floor(i / (H * D)), at = positionOf(Math.floor(n / T) * T + n % T) * half
    if (d >= 2 * half) return x.data[i]!
    const pair = interleaved ? d >> 1 : d % half, first = interleaved ? d % 2 === 0 : d < half
    const [a, b] = (interleaved ? [2 * pair, 2 * pair + 1] : [pair, pair + half]).map(place => x.data[head + place]!) as [number, number]
    const c = cos.data[at + pair]!, s = sin.data[at + pair]!
    return first ? a * c - b * s : b * c + a * s
  })
}

/** A fixed table: no gradient goes to it. */
const table = (P: number, half: number, seed: number) => ({ ...normal([P, half], { seed }), dtype: 'float32' as const, gradient: false })

const shapes: [B: number, T: number, H: number, D: number, R: number][] = [[1, 1, 1, 2, 2], [2, 5, 3, 8, 8], [2, 3, 2, 20, 12], [1, 4, 2, 7, 6], [3, 2, 1, 64, 64], [2, 0, 2, 4, 4], [40, 3, 5, 66, 34]]
opCases('rotary', shapes.flatMap(([B, T, H, D, R]) => [false, true].flatMap(interleaved => ['start', 'positions'].map((how): OpCase => ({
  name: `[${[B, T, H, D].join(', ')}], ${R} of ${D} turn${interleaved ? ', neighbours' : ''}, ${how}`,
  large: B === 40,
  inputs: {
    x: normal([B, T, H, D]), cos: table(9, R / 2, 1), sin: table(9, R / 2, 2),
    ...(how === 'positions' ? { positions: integers([B, T], 9, { dtype: interleaved ? 'int64' : 'int32' }) } : {}),
  },
  run: ({ x, cos, sin, positions }) => rotary(x!, cos!, sin!, { positions: positions ?? 3, interleaved }),
  reference: ({ x, cos, sin, positions }) => turned(x!, cos!, sin!, n => positions ? positions.data[n]! : 3 + (T ? n % T : 0), interleaved),
  strided: ['x'],
})))))

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

describe('rotary', () => {
  test('a position outside of the table rejects the read, gives zeros and no gradient; a start outside is an error at once', async () => {
    await scope(async () => {
      const x = ones([1, 2, 1, 2], { requiresGrad: true }), cos = zeros([4, 1]), sin = ones([4, 1])
      const y = rotary(x, cos, sin, { positions: tensor([[1, 4]], null, { dtype: 'int32' }) })
      await expect(y.data()).rejects.toThrow(IndexError)
      expect(numbers(rotary(x, cos, sin, { positions: 2 }))).toEqual([-1, 1, -1, 1])
      expect(() => rotary(x, cos, sin, { positions: 3 })).toThrow(/cos is float32 \[4, 1\], expected a row for each of the positions 3 to 4/)
      expect(() => rotary(x, cos, sin, { positions: -1 })).toThrow(ShapeError)
    })
  })

  test('tables that are wider than a head, and positions of another batch, are errors', () => {
    scope(() => {
      expect(() => rotary(ones([1, 2, 1, 5]), zeros([4, 3]), zeros([4, 3]))).toThrow(/cos is float32 \[4, 3\], expected at most 2 columns/)
      expect(() => rotary(ones([1, 2, 1, 4]), zeros([4, 2]), zeros([4, 1]))).toThrow(/sin is float32 \[4, 1\], expected \[4, 2\]/)
      expect(() => rotary(ones([1, 2, 1, 4]), zeros([4, 2]), zeros([4, 2]), { positions: tensor([[0]], null, { dtype: 'int32' }) })).toThrow(/positions is int32 \[1, 1\]/)
      expect(() => rotary(ones([2, 2, 4]), zeros([4, 2]), zeros([4, 2]))).toThrow(/x is float32 \[2, 2, 4\]/)
    })
  })

  test('parts of one product give their gradients to it, and several uses add up', () => {
    scope(() => {
      const product = ones([1, 2, 1, 8], { requiresGrad: true }), [q, k] = split(product, 4, -1) as [Tensor, Tensor]
      const cos = zeros([4, 2]), sin = ones([4, 2])
      backward(rotary(q, cos, sin), tensor([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 1, 4]))
      backward(rotary(k, cos, sin), ones([1, 2, 1, 4]))
      backward(rotary(k, cos, sin), ones([1, 2, 1, 4]))
      expect(numbers(product.grad!)).toEqual([3, 4, -1, -2, 2, 2, -2, -2, 7, 8, -5, -6, 2, 2, -2, -2])
    })
  })
})
