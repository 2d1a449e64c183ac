import { describe, expect, test } from '@jest/globals'
import { Alibi, alibiSlopes } from '#lib/nn/alibi.js'
import { splitHeads } from '#lib/nn/fusedHeads.js'
import { tokenPositions } from '#lib/nn/promptMask.js'
import { reshape } from '#lib/ops/view.js'
import { arange, tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

const values = (x: Tensor): number[] => Array.from(x.dataSync() as Float32Array, v => v + 0)   // -0 is 0
const mask = (...rows: number[][]): Tensor => tensor(rows, null, { dtype: 'int32' })

describe('ALiBi', () => {
  test('slopes are those of the paper; heads that are no power of two take every second slope of twice as many', () => {
    expect(Array.from(alibiSlopes(8))).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map(k => 2 ** -k))
    expect(Array.from(alibiSlopes(1))).toEqual([2 ** -8])
    const six = [2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3]
    alibiSlopes(6).forEach((slope, h) => { expect(slope).toBeCloseTo(six[h]!, 7) })
    expect(alibiSlopes(112)).toHaveLength(112)
  })

  test('the bias is one row for each head: slope times position, of which padding has none', () => {
    const before = memory().tensors
    scope(() => {
      const alibi = new Alibi(2), all = alibi.at(4)
      expect(all.shape).toEqual([1, 2, 1, 4])
      expect(values(all)).toEqual([0, 1, 2, 3].flatMap((_, i, p) => [p[i]! / 16]).concat([0, 1, 2, 3].map(p => p / 256)))
      const masked = alibi.at(4, mask([0, 0, 1, 1], [1, 0, 1, 0]))
      expect(masked.shape).toEqual([2, 2, 1, 4])
      expect(values(masked).map(v => v * 256)).toEqual([0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 1, 0])
      alibi.dispose()
    })
    expect(memory().tensors).toBe(before)
  })

  test("Falcon's slopes, positions and products are rounded to bfloat16, then scaled", () => {
    scope(() => {
      const alibi = new Alibi(6, { bfloat16: true, scale: 0.5 }), S = 600, bias = values(alibi.at(S))
      for (const [p, rounded] of [[1, 1], [255, 255], [257, 256], [301, 300], [303, 304], [514, 512]] as const)
        expect(bias[4 * S + p]).toBe(0.5 * 0.5 * rounded)   // its fifth slope is a half
      alibi.dispose()
    })
  })
})

test('positions of a mask count the tokens before; padding has 0, wherever it is', () => {
  scope(() => {
    expect(values(tokenPositions(mask([0, 0, 1, 1, 0, 1], [1, 1, 1, 0, 0, 0])))).toEqual([0, 0, 0, 1, 0, 2, 0, 1, 2, 0, 0, 0])
    expect(values(tokenPositions(tensor([[1, 0, 1]], null, { dtype: 'bool' })))).toEqual([0, 0, 1])
  })
})

test.each([[4, 4], [4, 2], [4, 1]])('%d heads of %d groups lie group by group in one product', (heads, groups) => {
  scope(() => {
    const D = 3, width = (heads + 2 * groups) * D, { q, k, v } = splitHeads(reshape(arange(2 * width), [1, 2, width]), heads, groups)
    const shared = heads / groups, at = (t: number, g: number, part: number): number[] => [0, 1, 2].map(d => t * width + (g * (shared + 2) + part) * D + d)
    const each = (n: number, of: (t: number, i: number) => number[]): number[] => [0, 1].flatMap(t => Array.from({ length: n }, (_, i) => of(t, i)).flat())
    expect([q.shape, k.shape, v.shape]).toEqual([[1, 2, heads, D], [1, 2, groups, D], [1, 2, groups, D]])
    expect(values(q)).toEqual(each(heads, (t, h) => at(t, Math.floor(h / shared), h % shared)))
    expect(values(k)).toEqual(each(groups, (t, g) => at(t, g, shared)))
    expect(values(v)).toEqual(each(groups, (t, g) => at(t, g, shared + 1)))
  })
})
