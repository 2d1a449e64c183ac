import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError } from '#lib/errors.js'
import { GatedFeedForward } from '#lib/nn/gatedFeedForward.js'
import { loadBalancingLoss, MixtureOfExperts, type MixtureOptions } from '#lib/nn/mixtureOfExperts.js'
import { cast } from '#lib/ops/copy.js'
import { mul } from '#lib/ops/mul.js'
import { sum } from '#lib/ops/reduce.js'
import { reshape } from '#lib/ops/view.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

const C = 6, values = (x: Tensor): number[] => Array.from(x.dataSync() as Float32Array)
const mixture = (experts: number, options: Partial<MixtureOptions> = {}): MixtureOfExperts => {
  manualSeed(2)
  return new MixtureOfExperts(Array.from({ length: experts }, () => new GatedFeedForward(C, 5, 'silu', 0.5)), { width: C, perToken: 2, std: 1, ...options })
}
const input = (N: number): Tensor => tensor(Float32Array.from({ length: N * C }, (_, i) => Math.sin(1.7 * i)), [N, C], { requiresGrad: true })

/** The definition: every expert on every token, in the order of experts. */
function everyExpert(m: MixtureOfExperts, x: Tensor, k: number, normalised = true): number[] {
  const [N] = x.shape as [number], logits = values(m.gate.forward(x)), E = m.experts.length, outputs = m.experts.map(e => values(e.forward(x)))
  return Array.from({ length: N }, (_, n) => {
    const row = logits.slice(n * E, (n + 1) * E), total = row.reduce((a, v) => a + Math.exp(v), 0), p = row.map(v => Math.exp(v) / total)
    const chosen = [...p.keys()].sort((a, b) => p[b]! - p[a]! || a - b).slice(0, k), share = normalised ? chosen.reduce((a, e) => a + p[e]!, 0) : 1
    return Array.from({ length: C }, (_, c) => chosen.reduce((y, e) => y + p[e]! / share * outputs[e]![n * C + c]!, 0))
  }).flat()
}

describe('a mixture of experts', () => {
  test.each([[4, 2, true], [4, 4, true], [7, 1, true], [5, 3, false]])('of %i, %i a token, is the weighted sum of those chosen', (E, k, normalised) => {
    scope(() => noGrad(() => {
      const m = mixture(E, { perToken: k, normalised }), x = input(9), expected = everyExpert(m, x, k, normalised)
      for (const shape of [[9, C], [3, 3, C]]) {
        const { y, logits } = m.forward(reshape(x, shape))
        expect([y.shape, logits.shape]).toEqual([shape, [...shape.slice(0, -1), E]])
        values(y).forEach((v, i) => { expect(Math.abs(v - expected[i]!)).toBeLessThan(1e-5) })
      }
      m.dispose()
    }))
  })

  test('its gradients are those of finite differences, through the router as well', () => {
    const m = mixture(5), x = input(4), weights = tensor(Float32Array.from({ length: 4 * C }, (_, i) => Math.cos(i)), [4, C])
    const loss = (): Tensor => sum(mul(m.forward(x).y, weights))
    scope(() => { backward(loss()) })
    for (const p of [x, ...m.parameters()]) {
      const grad = values(p.grad!), at = p.dataSync() as Float32Array
      for (let i = 0; i < p.size; i += 1 + Math.floor(p.size / 3)) {
        const shifted = (by: number): number => {
          const moved = Float32Array.from(at)
          moved[i]! += by
          if (p === x) return scope(() => noGrad(() => sum(mul(m.forward(tensor(moved, [4, C])).y, weights)).itemSync()))
          ;(p as typeof m.gate.weight).assign(moved)
          const value = scope(() => noGrad(() => loss().itemSync()))
          ;(p as typeof m.gate.weight).assign(at)
          return value
        }
        expect(Math.abs((shifted(0.01) - shifted(-0.01)) / 0.02 - grad[i]!)).toBeLessThan(5e-3 * (1 + Math.abs(grad[i]!)))
      }
    }
    m.dispose()
  })

  test('experts that nobody chose compute nothing without a tape, and have gradients of zero with one, unless they are frozen', () => {
    const m = mixture(12, { perToken: 1 }), x = input(3), calls = m.experts.map(() => 0), rows = m.experts.map(() => 0)
    m.experts.forEach((expert, e) => {
      const forward = expert.forward.bind(expert)
      expert.forward = y => { calls[e]!++; rows[e]! += y.shape[0]!; return forward(y) }
    })
    scope(() => noGrad(() => m.forward(x)))
    expect(calls.filter(n => n > 0).length).toBeLessThanOrEqual(3)
    expect(rows.reduce((a, n) => a + n, 0)).toBe(3)
    scope(() => { backward(sum(m.forward(x).y)) })
    for (const [e, expert] of m.experts.entries())
      expect(expert.parameters().map(p => values(p.grad!).some(g => g !== 0))).toEqual(expert.parameters().map(() => rows[e]! > 0))
    expect(rows.reduce((a, n) => a + n, 0)).toBe(6)
    calls.fill(0)
    m.requireGradients(false, /experts/)
    scope(() => { backward(sum(m.forward(x).y)) })
    expect(calls.filter(n => n > 0).length).toBeLessThanOrEqual(3)
    m.dispose()
  })

  test('gives the same bits again, and in bfloat16 the dtype of its input', () => {
    const m = mixture(4), x = input(33)
    scope(() => noGrad(() => {
      expect(values(m.forward(x).y)).toEqual(values(m.forward(x).y))
      autocast('bfloat16', () => {
        const { y } = m.forward(cast(x, 'bfloat16'))
        expect(y.dtype).toBe('bfloat16')
        const expected = everyExpert(m, x, 2)
        expect(values(y).filter((v, i) => Math.abs(v - expected[i]!) > 0.1).length).toBeLessThan(C * 3)   // a token that is nearly undecided may choose another expert
      })
    }))
    m.dispose()
  })

  test('of less experts than a token needs is refused', () => {
    expect(() => mixture(2, { perToken: 3 })).toThrow(ConfigError)
    expect(() => mixture(2, { perToken: 0 })).toThrow(/each token is for 0 experts, expected an integer from 1 to 2/)
  })
})

describe('the loss that balances loads', () => {
  test('is k where all are used alike, and grows to E where one is', () => {
    const even = tensor([[[9, 9, 0, 0], [0, 0, 9, 9]]]), alone = tensor([[[40, 0, 0, 0], [40, 0, 0, 0]]])
    expect(loadBalancingLoss([even], 2).itemSync()).toBeCloseTo(2, 5)
    expect(loadBalancingLoss([alone, alone], 1).itemSync()).toBeCloseTo(4, 5)
  })

  test('does not count padding, and its gradient is that of the probabilities', () => {
    const a = tensor([[[1, 0, -1], [5, 5, 5]], [[0.5, 2, 0], [0, 1, 3]]], null, { requiresGrad: true }), mask = tensor([[1, 0], [1, 1]], null, { dtype: 'int32' })
    const alone = tensor([[[1, 0, -1], [0.5, 2, 0], [0, 1, 3]]], null, { requiresGrad: true })
    const masked = loadBalancingLoss([a], 2, mask), three = loadBalancingLoss([alone], 2)
    expect(masked.itemSync()).toBeCloseTo(three.itemSync(), 6)
    backward(masked)
    backward(three)
    const grad = values(a.grad!)
    expect(grad.slice(3, 6)).toEqual([0, 0, 0])
    ;[...grad.slice(0, 3), ...grad.slice(6)].forEach((g, i) => { expect(g).toBeCloseTo(values(alone.grad!)[i]!, 6) })
  })
})
