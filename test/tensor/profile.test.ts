import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { add } from '#lib/ops/add.js'
import { attention } from '#lib/ops/attention.js'
import { embedding } from '#lib/ops/embedding.js'
import { matmul } from '#lib/ops/matmul.js'
import { mul } from '#lib/ops/mul.js'
import { full, ones, tensor } from '#lib/tensor/create.js'
import { profile } from '#lib/tensor/profile.js'
import { scope } from '#lib/tensor/scope.js'

const pairs = (n: number, m: number, sees: (i: number, j: number) => boolean): number => {
  let count = 0
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) if (sees(i, j)) count++
  return count
}

describe('profile', () => {
  test('calls, operations and bytes of a product and its gradients', async () => {
    await scope(async () => {
      const a = ones([5, 7]), b = ones([7, 11])
      for (const t of [a, b]) t.requiresGrad = true
      const { ops, result, milliseconds, busyMilliseconds, lostCalls } = await profile(() => {
        backward(matmul(a, b), ones([5, 11]))
        return 'done'
      }, { byArguments: true })
      expect(result).toBe('done')
      expect(lostCalls).toBe(0)
      const products = ops.filter(({ op }) => op === 'matmul')
      expect(products.reduce((sum, { calls }) => sum + calls, 0)).toBe(3)
      expect(products.every(({ flop, calls }) => flop === 2 * 5 * 7 * 11 * calls)).toBe(true)
      expect(new Set(products.map(({ arguments: text }) => text))).toEqual(new Set([
        'a float32 [5, 7], b float32 [7, 11], c float32 [5, 11]', 'a float32 [5, 11], b float32 [11, 7], c float32 [5, 7]', 'a float32 [7, 5], b float32 [5, 11], c float32 [7, 11]',
      ]))
      expect(products.every(({ bytes, calls }) => bytes === 4 * (5 * 7 + 7 * 11 + 5 * 11) * calls)).toBe(true)
      expect(ops.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9)
      expect(busyMilliseconds).toBeGreaterThan(0)
      expect(busyMilliseconds).toBeLessThan(milliseconds)
    })
  })

  test.each([
    { causal: false, window: 0 }, { causal: true, window: 0 }, { causal: true, window: 3 }, { causal: false, window: 3 },
  ])('attention counts the pairs that see each other: %o', async ({ causal, window }) => {
    const [B, n, m, H, D] = [2, 5, 9, 3, 4] as const
    const { ops } = await scope(() => profile(() => { attention(ones([B, n, H, D]), ones([B, m, H, D]), ones([B, m, H, D]), { causal, window }) }))
    const seen = pairs(n, m, (i, j) => (!causal || j <= i + m - n) && (window === 0 || j > i + m - n - window))
    expect(ops.find(({ op }) => op === 'attention')?.flop).toBe(4 * B * H * D * seen)
  })

  test('of a table only the rows that are looked up count, of a broadcast argument what is there', async () => {
    await scope(async () => {
      const table = ones([1000, 8]), ids = tensor([1, 2, 3], null, { dtype: 'int32' }), x = ones([64, 8]), row = ones([8])
      const { ops } = await profile(() => { embedding(ids, table); add(x, row) })
      expect(ops.find(({ op }) => op === 'embedding')?.bytes).toBe(3 * (4 + 2 * 8 * 4))
      expect(ops.find(({ op }) => op === 'binary')?.bytes).toBe(4 * (2 * 64 * 8 + 8))
    })
  })

  test('work of before and after is not in it; a table and a trace', async () => {
    await scope(async () => {
      const x = full([300, 300], 2)
      add(x, x)
      const measured = await profile(async () => { await mul(x, x).data() })
      add(x, x)
      expect(measured.ops.map(({ op, calls }) => [op, calls])).toEqual([['binary', 1]])
      expect(measured.table()).toMatch(/^op +calls +ms +share +GFLOP\/s +GB\/s +of peak\nbinary +1 +\d/)
      expect(measured.table()).toMatch(/peak of \w+, \d+ threads?, measured: \d+ GFLOP\/s, \d+\.\d GB\/s$/)
      const { traceEvents } = JSON.parse(JSON.stringify(measured.chromeTrace())) as { traceEvents: Record<string, unknown>[] }
      expect(traceEvents.at(-1)).toMatchObject({ name: 'binary', ph: 'X', cat: 'op', args: { bytes: 3 * 4 * 300 * 300 } })
      expect(traceEvents.at(-1)!['dur']).toBeGreaterThan(0)
    })
  })

  test('the peak is above what a product reaches', async () => {
    const { ops, peaks } = await scope(() => profile(() => { matmul(ones([512, 512]), ones([512, 512])) }))
    const { flop, milliseconds } = ops.find(({ op }) => op === 'matmul')!
    expect(flop / milliseconds * 1000).toBeLessThan(1.5 * peaks.flops)   // both vary on a machine that does other work
    expect(peaks.bandwidth).toBeGreaterThan(1e8)
  })

  test('refuses to be nested, and ends where the function throws', async () => {
    await expect(profile(() => profile(() => 1))).rejects.toThrow('profile: one is under way already; a profile cannot be taken inside another')
    await expect(profile(() => { throw new Error('from inside') })).rejects.toThrow('from inside')
    expect((await profile(() => 5)).result).toBe(5)
    await expect(profile(3 as never)).rejects.toThrow('profile: expected a function, got number')
  })
})
