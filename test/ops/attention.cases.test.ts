import { describe, expect } from '@jest/globals'
import { IndexError } from '#lib/errors.js'
import { ones, tensor, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { backward } from '#lib/autograd/backward.js'
import { attention, type AttentionOptions } from '#lib/ops/attention.js'
import { add } from '#lib/ops/add.js'
import { ne } from '#lib/ops/compare.js'
import { cast, clone } from '#lib/ops/copy.js'
import { matmul } from '#lib/ops/matmul.js'
import { mul } from '#lib/ops/mul.js'
import { softmax } from '#lib/ops/softmax.js'
import { detach, permute, reshape, slice, split, transpose } from '#lib/ops/view.js'
import { where } from '#lib/ops/where.js'
import { normal, opCases, values, type Array64, type Input, type OpCase } from './opCases.js'
import { needing } from '../testDevice.js'

const onDevice = needing('attention', 'attentionBackward')

interface Masks { causal?: boolean, window?: number, softcap?: number, keyPadding?: Array64 | undefined, bias?: Array64 | undefined, offsets?: readonly [readonly number[], readonly number[]] }

/** softmax(cap(q kᵀ / sqrt(D)) + bias) v with every score in float64. */
function reference(q: Array64, k: Array64, v: Array64, { causal = false, window = 0, softcap = 0, keyPadding, bias, offsets }: Masks = {}): Array64 {
  const [B, T, H, D] = q.shape as [number, number, number, number], [, S, G] = k.shape as [number, number, number]
  const y = values(q.shape, () => 0), { data: Q } = q, { data: K } = k, { data: V } = v, { data: Y } = y
  const lead = 4 - (bias?.shape.length ?? 4)
  const biasAt = (...at: number[]): number => bias ? bias.data[bias.shape.reduce((n, size, d) => n * size + (size === 1 ? 0 : at[d + lead]!), 0)]! : 0
  const sequences = offsets ? offsets[0].slice(1).map((end, s) => ({ b: 0, from: offsets[0][s]!, end, first: offsets[1][s]!, last: offsets[1][s + 1]! }))
    : Array.from({ length: B }, (_, b) => ({ b, from: 0, end: T, first: 0, last: S }))
  for (const { b, from, end, first, last } of sequences)
    for (let h = 0; h < H; h++)
      for (let i = from; i < end; i++) {
        const row = ((b * T + i) * H + h) * D, diagonal = i - from + (last - first) - (end - from)
        const scores: number[] = [], rows: number[] = []   // of the keys that i sees, and where they lie
        for (let j = first; j < last; j++) {
          if ((causal && j - first > diagonal) || (window > 0 && j - first <= diagonal - window) || keyPadding?.data[b * S + j] === 0) continue
          const key = ((b * S + j) * G + Math.floor(h * G / H)) * D
          let s = 0
          for (let d = 0; d < D; d++) s += Q[row + d]! * K[key + d]!
          const score = s / Math.sqrt(D)
          scores.push((softcap > 0 ? softcap * Math.tanh(score / softcap) : score) + biasAt(b, h, i, j))
          rows.push(key)
        }
        const most = Math.max(...scores)
        if (most === -Infinity) continue   // sees nothing: zeros
        const weights = scores.map(s => Math.exp(s - most)), sum = weights.reduce((a, w) => a + w, 0)
        rows.forEach((key, n) => {
          const weight = weights[n]! / sum
          for (let d = 0; d < D; d++) Y[row + d]! += weight * V[key + d]!
        })
      }
  return y
}

interface Sizes { B?: number, T: number, S: number, H?: number, G?: number, D: number }

function attentionCase(name: string, { B = 1, T, S, H = 2, G = H, D }: Sizes, masks: Omit<Masks, 'keyPadding' | 'bias'> & { keyPadding?: Input, bias?: Input } = {}): OpCase {
  const { causal = false, window = 0, softcap = 0, keyPadding, bias, offsets } = masks
  return {
    name,
    inputs: { q: normal([B, T, H, D], { seed: 1 }), k: normal([B, S, G, D], { seed: 2 }), v: normal([B, S, G, D], { seed: 3 }), ...keyPadding && { keyPadding }, ...bias && { bias } },
    run: inputs => {
      const { q, k, v } = inputs, options: AttentionOptions = { causal, window, softcap }
      if (inputs.keyPadding) options.keyPadding = inputs.keyPadding
      if (inputs.bias) options.bias = inputs.bias
      if (offsets) [options.queryOffsets, options.keyOffsets] = offsets.map(o => tensor([...o], null, { dtype: 'int32' })) as [Tensor, Tensor]
      return attention(q!, k!, v!, options)
    },
    reference: x => reference(x.q!, x.k!, x.v!, { causal, window, softcap, keyPadding: x.keyPadding, bias: x.bias, ...offsets && { offsets } }),
    ulps: 8,
    gradientUlps: 64,
  }
}
const padding = (B: number, S: number, dtype: 'bool' | 'int32' | 'uint8', attended: (b: number, j: number) => boolean): Input =>
  ({ ...values([B, S], i => attended(Math.floor(i / S), i % S) ? 1 : 0), dtype })

opCases('attention', [
  attentionCase('one query, one key', { T: 1, S: 1, D: 1 }),
  attentionCase('B 2, 3 queries, 17 keys', { B: 2, T: 3, S: 17, D: 8 }),
  attentionCase('65 queries, 63 keys, width 17', { T: 65, S: 63, H: 1, D: 17 }),
  attentionCase('more than a tile each way', { T: 66, S: 130, H: 1, D: 9 }),
  attentionCase('width 80', { T: 17, S: 17, D: 80 }),
  attentionCase('causal', { B: 2, T: 33, S: 33, D: 16 }, { causal: true }),
  attentionCase('causal, with earlier keys', { T: 3, S: 17, D: 16 }, { causal: true }),
  attentionCase('causal, with queries that see nothing', { T: 20, S: 13, D: 16 }, { causal: true }),
  attentionCase('causal window', { T: 65, S: 70, H: 1, D: 8 }, { causal: true, window: 9 }),
  attentionCase('window', { T: 33, S: 30, D: 8 }, { window: 5 }),
  attentionCase('grouped heads', { B: 2, T: 17, S: 19, H: 6, G: 2, D: 16 }),
  attentionCase('one key/value head', { T: 17, S: 19, H: 4, G: 1, D: 16 }, { causal: true }),
  attentionCase('a step of generation', { B: 2, T: 1, S: 257, H: 4, G: 2, D: 8 }, { causal: true }),
  attentionCase('key padding', { B: 2, T: 17, S: 33, D: 16 }, { keyPadding: padding(2, 33, 'bool', (b, j) => j < 33 - 14 * b) }),
  attentionCase('key padding with holes', { B: 2, T: 17, S: 33, D: 16 }, { causal: true, keyPadding: padding(2, 33, 'int32', (b, j) => (b + j) % 3 !== 0) }),
  attentionCase('a row without keys', { B: 2, T: 5, S: 9, D: 8 }, { keyPadding: padding(2, 9, 'uint8', b => b === 1) }),
  attentionCase('bias', { B: 2, T: 17, S: 19, D: 8 }, { bias: normal([2, 2, 17, 19], { seed: 4 }) }),
  attentionCase('bias of every head', { B: 2, T: 17, S: 19, D: 8 }, { bias: normal([2, 17, 19], { seed: 4 }), causal: true }),
  attentionCase('bias of every key', { B: 2, T: 17, S: 19, D: 8 }, { bias: normal([2, 1, 1, 19], { seed: 4 }) }),
  { ...attentionCase('more than a tile for every thread', { B: 2, T: 130, S: 140, H: 4, G: 2, D: 16 }, { causal: true, bias: normal([4, 130, 140], { seed: 4 }) }), large: true },
  attentionCase('soft cap', { B: 2, T: 33, S: 70, H: 4, G: 2, D: 8 }, { causal: true, softcap: 0.8 }),
  attentionCase('soft cap of a few queries, with a window', { B: 2, T: 3, S: 70, H: 4, G: 2, D: 8 }, { causal: true, window: 40, softcap: 1.5 }),
  attentionCase('soft cap, padding and a bias that it does not bound', { B: 2, T: 17, S: 19, D: 8 }, { bias: normal([2, 1, 17, 19], { seed: 4 }), keyPadding: padding(2, 19, 'bool', (b, j) => (b + j) % 4 !== 0), softcap: 0.5 }),
  attentionCase('packed sequences', { T: 40, S: 45, H: 2, G: 1, D: 8 }, { offsets: [[0, 5, 5, 39, 40], [0, 7, 9, 40, 45]], causal: true }),
  {
    name: 'thirds of one product',
    inputs: { qkv: normal([2, 33, 3 * 2 * 16], { seed: 1 }) },
    run: ({ qkv }) => {
      const [q, k, v] = split(qkv!, 32).map(part => reshape(part, [2, 33, 2, 16])) as [Tensor, Tensor, Tensor]
      return attention(q, k, v, { causal: true })
    },
    reference: ({ qkv }) => {
      const third = (n: number) => values([2, 33, 2, 16], i => qkv!.data[Math.floor(i / 32) * 96 + n * 32 + i % 32]!)
      return reference(third(0), third(1), third(2), { causal: true })
    },
    ulps: 8,
    gradientUlps: 64,
  },
])

const random = (shape: number[], seed: number, requiresGrad = true): Tensor => tensor(Float32Array.from(normal(shape, { seed }).data), shape, { requiresGrad })
const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
const close = (got: number[], expected: number[], bound = 1e-5): void => {
  expect(got.length).toBe(expected.length)
  const off = got.map((v, i) => Math.abs(v - expected[i]!) <= bound * (1 + Math.abs(expected[i]!)) ? undefined : [i, v, expected[i]]).filter(Boolean)
  expect(off.slice(0, 3)).toEqual([])
}

describe('attention', () => {
  onDevice('the same tensor as queries, keys and values gets the sum of three gradients', () => {
    scope(() => {
      const x = random([2, 9, 2, 8], 1), dy = random([2, 9, 2, 8], 2, false)
      backward(attention(x, x, x, { causal: true }), dy)
      const parts = [0, 1, 2].map(() => random([2, 9, 2, 8], 1)) as [Tensor, Tensor, Tensor]
      backward(attention(...parts, { causal: true }), dy)
      const [q, k, v] = parts.map(p => numbers(p.grad!)) as [number[], number[], number[]]
      close(numbers(x.grad!), q.map((n, i) => n + k[i]! + v[i]!))
    })
  })

  onDevice('heads whose elements are not adjacent are copied, and gradients come back to their places', () => {
    scope(() => {
      const wide = random([1, 2, 8, 9], 1), dy = random([1, 9, 2, 8], 2, false)
      const turned = permute(wide, [0, 3, 1, 2])
      const plain = tensor(numbers(turned), turned.shape, { requiresGrad: true })
      const y = attention(turned, turned, turned), expected = attention(plain, plain, plain)
      close(numbers(y), numbers(expected))
      backward(y, dy)
      backward(expected, dy)
      close(numbers(permute(wide.grad!, [0, 3, 1, 2])), numbers(plain.grad!))
    })
  })

  onDevice('a bias that every key shares changes nothing and gets no gradient', () => {
    scope(() => {
      const x = random([2, 9, 2, 8], 1, false), bias = random([9, 1], 2)
      const y = attention(x, x, x, { bias })
      close(numbers(y), numbers(attention(x, x, x)))
      backward(y, random([2, 9, 2, 8], 3, false))
      expect(bias.grad!.shape).toEqual([9, 1])
      close(numbers(bias.grad!), new Array<number>(9).fill(0))
    })
  })

  onDevice('queries, keys and values interleaved head by head share one gradient buffer', () => {
    scope(() => {
      const fused = random([2, 7, 3, 24], 1), dy = random([2, 7, 3, 8], 2, false)
      const parts = [0, 8, 16].map(at => slice(fused, 3, at, at + 8)) as [Tensor, Tensor, Tensor]
      const alone = parts.map(p => tensor(numbers(p), p.shape, { requiresGrad: true })) as [Tensor, Tensor, Tensor]
      backward(attention(...parts), dy)
      backward(attention(...alone), dy)
      ;[0, 8, 16].forEach((at, n) => { close(numbers(slice(fused.grad!, 3, at, at + 8)), numbers(alone[n]!.grad!)) })
    })
  })

  onDevice('rows that see no key are zeros with zero gradients; what hidden keys hold is never seen', () => {
    scope(() => {
      const [q, k, v] = [1, 2, 3].map(seed => random([2, 4, 1, 8], seed)) as [Tensor, Tensor, Tensor]
      const poisoned = numbers(k).map((n, i) => Math.floor(i / 8) % 4 === 3 ? NaN : n)
      const keys = tensor(poisoned, k.shape, { requiresGrad: true })
      const y = attention(q, keys, v, { keyPadding: tensor([[1, 1, 1, 0], [0, 0, 0, 0]], null, { dtype: 'bool' }) })
      expect(numbers(y).every(Number.isFinite)).toBe(true)
      expect(numbers(y).slice(32)).toEqual(new Array(32).fill(0))
      backward(y, ones([2, 4, 1, 8]))
      for (const t of [q, keys, v]) {
        expect(numbers(t.grad!).every(Number.isFinite)).toBe(true)
        expect(numbers(t.grad!).slice(32)).toEqual(new Array(32).fill(0))
      }
      expect(numbers(q.grad!).slice(0, 32).some(n => n !== 0)).toBe(true)
    })
  })

  onDevice('no queries give no rows, no keys give zeros', () => {
    scope(() => {
      const none = zeros([2, 0, 2, 8], { requiresGrad: true }), some = random([2, 5, 2, 8], 1)
      expect(attention(none, some, some).shape).toEqual([2, 0, 2, 8])
      const y = attention(some, none, none)
      expect(numbers(y)).toEqual(new Array(160).fill(0))
      backward(y, ones([2, 5, 2, 8]))
      expect(numbers(some.grad!)).toEqual(new Array(160).fill(0))
    })
  })

  onDevice('generating step by step equals the causal whole', () => {
    scope(() => {
      const [q, k, v] = [1, 2, 3].map(seed => random([2, 33, 4, 16], seed, false)) as [Tensor, Tensor, Tensor]
      const whole = numbers(attention(q, k, v, { causal: true, window: 20 }))
      for (const t of [0, 1, 18, 32]) {
        const step = attention(slice(q, 1, t, t + 1), slice(k, 1, 0, t + 1), slice(v, 1, 0, t + 1), { causal: true, window: 20 })
        close(numbers(step), [0, 1].flatMap(b => whole.slice((b * 33 + t) * 64, (b * 33 + t + 1) * 64)), 1e-6)
      }
    })
  })

  onDevice('dropout drops the asked share of the weights, scales the others, and backward has the same mask', () => {
    scope(() => {
      const T = 80, S = 96, p = 0.25
      const q = random([1, T, 2, S], 1), k = random([1, S, 2, S], 2)
      const unit = Float32Array.from({ length: S * 2 * S }, (_, i) => Math.floor(i / (2 * S)) === i % S ? 1 : 0)   // y then is the weights
      const v = tensor(unit, [1, S, 2, S], { requiresGrad: true })
      const weights = numbers(attention(q, k, v))
      manualSeed(3)
      const y = attention(q, k, v, { dropout: p }), dropped = numbers(y)
      manualSeed(3)
      expect(numbers(attention(q, k, v, { dropout: p }))).toEqual(dropped)
      expect(numbers(attention(q, k, v, { dropout: p }))).not.toEqual(dropped)   // the next call of the same step
      const zerosIn = (list: number[]): number => list.filter(n => n === 0).length / list.length
      expect(Math.abs(zerosIn(dropped) - p)).toBeLessThan(4 * Math.sqrt(p * (1 - p) / dropped.length))
      close(dropped.filter(n => n !== 0), weights.filter((_, i) => dropped[i] !== 0).map(w => w / (1 - p)))
      const [first, second] = [0, 1].map(h => dropped.filter((_, i) => Math.floor(i / S) % 2 === h).map(n => n === 0)) as [boolean[], boolean[]]
      expect(first.filter((zero, i) => zero === second[i]).length / first.length).toBeLessThan(0.7)   // heads are independent: 0.625

      const dy = random([1, T, 2, S], 4, false), seed = numbers(dy)
      backward(y, dy)
      const dv = numbers(v.grad!)
      for (const [j, h, d] of [[0, 0, 0], [17, 1, 5], [95, 0, 95]] as const) {
        let expected = 0
        for (let i = 0; i < T; i++) expected += dropped[(i * 2 + h) * S + j]! * seed[(i * 2 + h) * S + d]!
        expect(Math.abs(dv[(j * 2 + h) * S + d]! - expected)).toBeLessThan(1e-4)
      }
    })
  })

  needing('attention', 'attentionBackward', 'matmul')('with dropout, gradients of queries, keys, values and bias are those of the composition under the same mask', () => {
    scope(() => {
      const B = 2, T = 19, S = 23, H = 2, D = S, p = 0.3
      const run = (fused: boolean): number[][] => {
        const [q, k, v] = [[B, T, H, D], [B, S, H, D], [B, S, H, D]].map((shape, i) => random(shape, i + 1)) as [Tensor, Tensor, Tensor], bias = random([H, T, S], 4), dy = random([B, T, H, D], 5, false)
        const attend = (values: Tensor): Tensor => {
          manualSeed(3)
          return attention(q, k, values, { dropout: p, causal: true, bias })
        }
        let y: Tensor
        if (fused) {
          y = attend(v)
        } else {
          // With a unit matrix for values the result is the weights themselves: dropped ones are 0.
          const unit = tensor(Float32Array.from({ length: B * S * H * S }, (_, i) => Number(Math.floor(i / (H * S)) % S === i % S)), [B, S, H, S])
          const mask = noGrad(() => cast(ne(permute(attend(unit), [0, 2, 1, 3]), 0), 'float32'))
          const heads = (x: Tensor): Tensor => permute(x, [0, 2, 1, 3])
          const causal = tensor(Array.from({ length: T }, (_, i) => Array.from({ length: S }, (_, j) => j <= i + S - T)), null, { dtype: 'bool' })
          const scores = where(causal, add(mul(matmul(heads(q), transpose(heads(k), -2, -1)), 1 / Math.sqrt(D)), bias), -Infinity)
          y = permute(matmul(mul(mul(softmax(scores), mask), 1 / (1 - p)), heads(v)), [0, 2, 1, 3])
        }
        backward(y, dy)
        return [numbers(clone(detach(y))), ...[q, k, v, bias].map(x => numbers(x.grad!))]
      }
      const fused = run(true), composed = run(false)
      fused.forEach((got, i) => { close(got, composed[i]!, 2e-5) })
      expect(fused[1]!.some(g => Math.abs(g) > 0.01)).toBe(true)
    })
  })

  onDevice('NaN in a key reaches the queries that see it, and no other', () => {
    scope(() => {
      const [q, k, v] = [1, 2, 3].map(seed => random([1, 70, 1, 8], seed, false)) as [Tensor, Tensor, Tensor]
      const poisoned = tensor(numbers(k).map((x, i) => Math.floor(i / 8) === 40 ? NaN : x), k.shape)
      const y = numbers(attention(q, poisoned, v, { causal: true })), expected = numbers(attention(q, k, v, { causal: true }))
      expect(y.slice(0, 40 * 8)).toEqual(expected.slice(0, 40 * 8))
      expect(y.slice(40 * 8).every(Number.isNaN)).toBe(true)
    })
  })

  onDevice('everything dropped gives zeros and finite gradients', () => {
    scope(() => {
      const x = random([1, 20, 1, 8], 1)
      const y = attention(x, x, x, { dropout: 1 })
      expect(numbers(y)).toEqual(new Array(160).fill(0))
      backward(y, ones([1, 20, 1, 8]))
      expect(numbers(x.grad!)).toEqual(new Array(160).fill(0))
    })
  })

  onDevice('offsets that leave the tensor reject with IndexError when the result is read', async () => {
    await scope(async () => {
      const x = random([1, 10, 2, 8], 1, false), offsets = tensor([0, 4, 11], null, { dtype: 'int32' })
      await expect(attention(x, x, x, { queryOffsets: offsets, keyOffsets: offsets }).data()).rejects.toThrow(IndexError)
      expect(numbers(attention(x, x, x)).every(Number.isFinite)).toBe(true)
    })
  })

  onDevice('shapes and options that do not fit are named', () => {
    scope(() => {
      const q = zeros([2, 5, 4, 8]), k = zeros([2, 6, 2, 8])
      expect(() => attention(zeros([5, 8]), k, k)).toThrow(/attention: q is \[5, 8\], expected 4 dimensions/)
      expect(() => attention(q, zeros([2, 6, 3, 8]), zeros([2, 6, 3, 8]))).toThrow(/k has 3 heads, expected a divisor of the 4 heads of q/)
      expect(() => attention(q, k, zeros([2, 7, 2, 8]))).toThrow(/v is float32 \[2, 7, 2, 8\], expected \[2, 6, 2, 8\]/)
      expect(() => attention(q, k, k, { bias: zeros([4, 5, 7]) })).toThrow(/bias is \[4, 5, 7\], which does not broadcast to the scores \[2, 4, 5, 6\]/)
      expect(() => attention(q, k, k, { keyPadding: zeros([2, 6]) })).toThrow(/keyPadding is float32 \[2, 6\], expected one of: bool, int32, uint8/)
      expect(() => attention(q, k, k, { dropout: 1.5 })).toThrow(/dropout is 1.5/)
      expect(() => attention(q, k, k, { window: -1 })).toThrow(/window is -1/)
      expect(() => attention(q, k, k, { softcap: -1 })).toThrow(/softcap is -1/)
      expect(() => attention(q, k, k, { softcap: Infinity })).toThrow(/softcap is inf/)
      expect(() => attention(q, k, k, { queryOffsets: zeros([3], { dtype: 'int32' }) })).toThrow(/queryOffsets and keyOffsets go together/)
    })
  })

  onDevice('without a tape only the result is left, with one nothing after the backward pass', () => {
    const x = random([1, 9, 8, 2], 1), bias = random([2, 1], 3), dy = random([1, 2, 9, 8], 2, false)
    const run = () => {
      using heads = permute(x, [0, 3, 1, 2])
      return attention(heads, heads, heads, { bias, dropout: 0.1 })
    }
    const warm = run()
    backward(warm, dy)
    warm.dispose()
    const before = memory().tensors
    noGrad(run).dispose()
    const y = run()
    backward(y, dy)
    y.dispose()
    expect(memory().tensors).toBe(before)
  })
})
