import { describe, expect, test } from '@jest/globals'
import { CheckpointError, ConfigError, ShapeError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { GatedFeedForward } from '#lib/nn/gatedFeedForward.js'
import { GroupedQueryAttention } from '#lib/nn/groupedQueryAttention.js'
import { KeyValueCache } from '#lib/nn/keyValueCache.js'
import { Dropout, Embedding, LayerNorm, Linear } from '#lib/nn/layers.js'
import { Module } from '#lib/nn/module.js'
import { MultiHeadAttention } from '#lib/nn/multiHeadAttention.js'
import { TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer, type TransformerLayerOptions } from '#lib/nn/transformerLayers.js'
import * as ops from '#lib/ops/index.js'
import { ones, tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
const wave = (...shape: number[]): Tensor => tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + 0.3)), shape)
const options: TransformerLayerOptions = { dModel: 12, heads: 3, feedForward: 20, dropout: 0, activation: 'relu', normFirst: false, eps: 1e-5 }

function expectClose(got: Tensor, expected: Tensor, bound = 2e-6): void {
  expect(got.shape).toEqual(expected.shape)
  const e = numbers(expected)
  expect(Math.max(...numbers(got).map((v, i) => Math.abs(v - e[i]!)))).toBeLessThan(bound)
}

/** No norm or bias at its first value, where one that is left out would go unseen. */
function varied<M extends Module>(module: M): M {
  module.parameters().forEach((p, k) => { if (p.rank === 1) p.assign(Float32Array.from({ length: p.size }, (_, i) => 1 + 0.3 * Math.sin(i + k))) })
  return module
}

// The paper's formulas, one plain op at a time; nothing fused.

const projected = (x: Tensor, weight: Tensor, bias: Tensor): Tensor => ops.add(ops.matmul(x, ops.transpose(weight)), bias)

/** @param x `[B, T, C]` @param memory `[B, S, C]` @param visible bool, broadcast to `[B, 1, T, S]` */
function attended(m: MultiHeadAttention, x: Tensor, source: Tensor, visible?: Tensor): Tensor {
  const { width: C, heads: H } = m, [wq, wk, wv] = ops.split(m.in_proj_weight, C, 0) as [Tensor, Tensor, Tensor], [bq, bk, bv] = ops.split(m.in_proj_bias!, C, 0) as [Tensor, Tensor, Tensor]
  const heads = (y: Tensor): Tensor => ops.clone(ops.permute(ops.reshape(y, [y.shape[0]!, y.shape[1]!, H, C / H]), [0, 2, 1, 3]))
  const q = heads(projected(x, wq, bq)), k = heads(projected(source, wk, bk)), v = heads(projected(source, wv, bv))
  const scores = ops.div(ops.matmul(q, ops.transpose(k)), Math.sqrt(C / H))
  const y = ops.matmul(ops.softmax(visible ? ops.where(visible, scores, -Infinity) : scores), v)
  return projected(ops.reshape(ops.clone(ops.permute(y, [0, 2, 1, 3])), [...x.shape]), m.out_proj.weight, m.out_proj.bias!)
}

function normed(n: LayerNorm, x: Tensor): Tensor {
  const centered = ops.sub(x, ops.mean(x, -1, { keepDim: true }))
  return ops.add(ops.mul(ops.mul(centered, ops.rsqrt(ops.add(ops.mean(ops.square(centered), -1, { keepDim: true }), 1e-5))), n.weight!), n.bias!)
}

const fed = (l: { linear1: Linear, linear2: Linear }, x: Tensor): Tensor =>
  projected(ops.relu(projected(x, l.linear1.weight, l.linear1.bias!)), l.linear2.weight, l.linear2.bias!)

const causal = (T: number): Tensor => tensor(Array.from({ length: T }, (_, i) => Array.from({ length: T }, (_, j) => j <= i)), null, { dtype: 'bool' })
const padding = (): Tensor => tensor([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], null, { dtype: 'bool' })

describe('MultiHeadAttention', () => {
  const make = (): MultiHeadAttention => varied(new MultiHeadAttention(12, 3)).eval()

  test('is the composition of products and a softmax: plain, causal, with padding, over another sequence', () => {
    const m = make()
    scope(() => {
      const x = wave(2, 5, 12), source = ops.mul(wave(2, 5, 12), -0.5), seen = ops.reshape(padding(), [2, 1, 1, 5])
      expectClose(m.forward(x), attended(m, x, x))
      expectClose(m.forward(x, { causal: true }), attended(m, x, x, causal(5)))
      expectClose(m.forward(x, { causal: true, keyPadding: padding() }), attended(m, x, x, ops.logicalAnd(causal(5), seen)))
      expectClose(m.cross(ops.slice(x, 1, 0, 3), m.project(source), { keyPadding: padding() }), attended(m, ops.slice(x, 1, 0, 3), source, seen))
    })
    m.dispose()
  })

  test('has the gradients of that composition, for self-attention and over another sequence', () => {
    const m = make()
    const gradients = (run: (x: Tensor, source: Tensor) => Tensor): number[][] => scope(() => {
      const x = wave(2, 5, 12), source = ops.mul(wave(2, 5, 12), -0.5)
      x.requiresGrad = source.requiresGrad = true
      backward(run(x, source), wave(2, 5, 12))
      const result = [x, source, ...m.parameters()].map(t => t.grad ? numbers(t.grad) : [])
      m.zeroGrad()
      return result
    })
    const pairs: [(x: Tensor, s: Tensor) => Tensor, (x: Tensor, s: Tensor) => Tensor][] = [
      [x => m.forward(x, { causal: true }), x => attended(m, x, x, causal(5))], [(x, s) => m.cross(x, m.project(s)), (x, s) => attended(m, x, s)],
    ]
    for (const [fused, composed] of pairs) {
      const got = gradients(fused), expected = gradients(composed)
      got.forEach((g, i) => {
        expect(g).toHaveLength(expected[i]!.length)
        g.forEach((v, j) => { expect(Math.abs(v - expected[i]![j]!)).toBeLessThan(2e-5) })
      })
    }
    m.dispose()
  })

  test.each([[[1, 1, 1, 1, 1, 1, 1]], [[3, 1, 1, 2]], [[1, 6]]])('with a cache, in pieces of %p positions, equals the uncached pass', pieces => {
    const m = make()
    scope(() => {
      noGrad(() => {
        const x = wave(2, 7, 12), whole = m.forward(x, { causal: true }), cache = new KeyValueCache({ capacity: 2 })   // it has to grow on the way
        let at = 0
        const parts = pieces.map(n => m.forward(ops.slice(x, 1, at, at += n), { causal: true }, cache))
        expectClose(ops.concat(parts, 1), whole)
        expect(cache.length).toBe(7)
        cache.dispose()
      })
    })
    m.dispose()
  })

  test('a cache whose rows were reordered goes on as those rows', () => {
    const m = make()
    scope(() => {
      noGrad(() => {
        const x = wave(2, 6, 12), rows = tensor([1, 1, 0], null, { dtype: 'int32' }), chosen = ops.indexSelect(x, rows), cache = new KeyValueCache()
        m.forward(ops.slice(x, 1, 0, 4), { causal: true }, cache)
        cache.reorder(rows)
        expectClose(m.forward(ops.slice(chosen, 1, 4), { causal: true }, cache), ops.slice(m.forward(chosen, { causal: true }), 1, 4))
        expect(() => cache.append(wave(2, 1, 3, 4), wave(2, 1, 3, 4))).toThrow(ShapeError)
        cache.dispose()
      })
    })
    m.dispose()
  })

  test('a cache frees what it held', () => {
    const before = memory()
    scope(() => {
      const cache = new KeyValueCache({ capacity: 1 })
      for (let i = 0; i < 9; i++) cache.append(wave(2, 1, 3, 4), wave(2, 1, 3, 4))
      cache.reorder(tensor([1, 0], null, { dtype: 'int32' }))
      cache.dispose()
    })
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
  })

  test('a width that the heads do not divide is an error', () => { expect(() => new MultiHeadAttention(10, 3)).toThrow(ConfigError) })
})

describe.each([['post-norm', false], ['pre-norm', true]])('%s layers', (_, normFirst) => {
  test('an encoder layer is the composed reference', () => {
    const l = varied(new TransformerEncoderLayer({ ...options, normFirst })).eval()
    scope(() => {
      const x = wave(2, 5, 12), seen = ops.reshape(padding(), [2, 1, 1, 5]), self = (y: Tensor): Tensor => attended(l.self_attn, y, y, seen)
      let r = normFirst ? ops.add(x, self(normed(l.norm1, x))) : normed(l.norm1, ops.add(x, self(x)))
      r = normFirst ? ops.add(r, fed(l, normed(l.norm2, r))) : normed(l.norm2, ops.add(r, fed(l, r)))
      expectClose(l.forward(x, { keyPadding: padding() }), r, 1e-5)
    })
    l.dispose()
  })

  test('a decoder layer is the composed reference, and so it is token by token with caches', () => {
    const l = varied(new TransformerDecoderLayer({ ...options, normFirst })).eval()
    scope(() => {
      noGrad(() => {
        const x = wave(2, 4, 12), source = ops.mul(wave(2, 5, 12), 0.7), seen = ops.reshape(padding(), [2, 1, 1, 5])
        const sublayers: [LayerNorm, (y: Tensor) => Tensor][] = [
          [l.norm1, y => attended(l.self_attn, y, y, causal(4))], [l.norm2, y => attended(l.multihead_attn, y, source, seen)], [l.norm3, y => fed(l, y)],
        ]
        const r = sublayers.reduce((y, [norm, f]) => normFirst ? ops.add(y, f(normed(norm, y))) : normed(norm, ops.add(y, f(y))), x)
        expectClose(l.forward(x, source, { memoryKeyPadding: padding() }), r, 1e-5)
        const { keys, values } = l.multihead_attn.project(source), cache = { self: new KeyValueCache({ capacity: 1 }), memory: KeyValueCache.of(keys, values) }
        const steps = [0, 1, 2, 3].map(t => l.forward(ops.slice(x, 1, t, t + 1), undefined, { memoryKeyPadding: padding() }, cache))
        expectClose(ops.concat(steps, 1), r, 1e-5)
        cache.self.dispose()
        cache.memory.dispose()
      })
    })
    l.dispose()
  })

  test('stacks with checkpointing have the bits of those without, dropout on', () => {
    const gradients = (checkpointing: boolean): number[][] => scope(() => {
      manualSeed(11)
      const encoder = new TransformerEncoder(2, { ...options, dropout: 0.2, normFirst }), decoder = new TransformerDecoder(2, { ...options, dropout: 0.2, normFirst })
      encoder.checkpointing = decoder.checkpointing = checkpointing
      const source = wave(2, 5, 12), x = wave(2, 4, 12)
      source.requiresGrad = x.requiresGrad = true
      const y = decoder.forward(x, encoder.forward(source, { keyPadding: padding() }), { memoryKeyPadding: padding() })
      backward(y, wave(2, 4, 12))
      const result = [y, x.grad!, source.grad!, ...encoder.parameters().map(p => p.grad!), ...decoder.parameters().map(p => p.grad!)].map(numbers)
      encoder.dispose()
      decoder.dispose()
      return result
    })
    expect(gradients(true)).toEqual(gradients(false))
  })
})

describe('Module', () => {
  const named = (m: Module): Record<string, readonly number[]> => Object.fromEntries(Array.from(m.stateDict(), ([name, p]) => [name, p.shape]))

  test('names and shapes are those of torch.nn', () => {
    const layer = { 'self_attn.in_proj_weight': [36, 12], 'self_attn.in_proj_bias': [36], 'self_attn.out_proj.weight': [12, 12], 'self_attn.out_proj.bias': [12] }
    const feed = { 'linear1.weight': [20, 12], 'linear1.bias': [20], 'linear2.weight': [12, 20], 'linear2.bias': [12] }
    const norm = (n: number) => ({ [`norm${n}.weight`]: [12], [`norm${n}.bias`]: [12] })
    const encoder = new TransformerEncoderLayer(options), decoder = new TransformerDecoderLayer(options), stack = new TransformerEncoder(2, options)
    expect(named(encoder)).toEqual({ ...layer, ...feed, ...norm(1), ...norm(2) })
    const cross = Object.fromEntries(Object.entries(layer).map(([name, shape]) => [name.replace('self_attn', 'multihead_attn'), shape]))
    expect(named(decoder)).toEqual({ ...layer, ...cross, ...feed, ...norm(1), ...norm(2), ...norm(3) })
    expect(Object.keys(named(stack))).toEqual([...[0, 1].flatMap(i => Object.keys(named(encoder)).map(name => `layers.${i}.${name}`)), 'norm.weight', 'norm.bias'])
    for (const m of [encoder, decoder, stack]) m.dispose()
  })

  test('a tied parameter has one name, is trained once and can be loaded by either', () => {
    class Tied extends Module {
      readonly embedding = new Embedding(5, 3)
      readonly head = new Linear(3, 5, { bias: false })
      constructor() { super(); this.head.weight.dispose(); Object.assign(this.head, { weight: this.embedding.weight }) }
    }
    const m = new Tied(), data = Float32Array.from({ length: 15 }, (_, i) => i)
    expect(named(m)).toEqual({ 'embedding.weight': [5, 3] })
    expect(m.parameterCount).toBe(15)
    m.loadStateDict(new Map([['head.weight', { shape: [5, 3], data }]]))
    expect(m.embedding.weight.dataSync()).toEqual(data)
    m.dispose()
  })

  test('weights that do not fit are listed in one error and change nothing', () => {
    const m = new Linear(2, 3), before = m.parameters().map(p => p.dataSync())
    const load = (): void => { m.loadStateDict(new Map([['weight', { shape: [2, 3], data: new Float32Array(6) }], ['extra', { shape: [1], data: new Float32Array(1) }]])) }
    expect(load).toThrow(CheckpointError)
    expect(load).toThrow(/weight is \[2, 3\], the model has \[3, 2\]; unexpected: extra \[1\]; missing: bias \[3\]/)
    expect(m.parameters().map(p => p.dataSync())).toEqual(before)
    m.dispose()
  })

  test('eval turns dropout off everywhere, train on again', () => {
    const encoder = new TransformerEncoder(1, { ...options, dropout: 0.5 })
    scope(() => {
      noGrad(() => {
        const x = wave(2, 5, 12), run = (): number[] => numbers(encoder.forward(x, {}))
        encoder.eval()
        expect(run()).toEqual(run())
        encoder.train()
        expect(run()).not.toEqual(run())
        expect(new Dropout(0.5).eval().forward(x)).toBe(x)
      })
    })
    encoder.dispose()
  })

  test('dropout on attention weights and behind the activation can differ from that of the residual stream', () => {
    scope(() => {
      noGrad(() => {
        const x = wave(2, 5, 12)
        // A layer with one kind of dropout, on weights of its own: whether two passes differ.
        const varies = (rates: Partial<TransformerLayerOptions>): boolean => {
          const layer = varied(new TransformerEncoderLayer({ ...options, dropout: 0, ...rates })).train()
          const [a, b] = [numbers(layer.forward(x, {})), numbers(layer.forward(x, {}))]
          layer.dispose()
          return a.some((v, i) => v !== b[i])
        }
        expect([{}, { attentionDropout: 0.5 }, { activationDropout: 0.5 }, { dropout: 0.5, attentionDropout: 0, activationDropout: 0 }].map(varies)).toEqual([false, true, true, true])
      })
    })
    const rates = (own: Partial<TransformerLayerOptions>): (number | undefined)[] => {
      const layer = new TransformerDecoderLayer({ ...options, dropout: 0.3, ...own })
      const found = [layer.self_attn.options.dropout, layer.multihead_attn.options.dropout, layer.dropout.p]
      layer.dispose()
      return found
    }
    expect(rates({})).toEqual([0.3, 0.3, 0.3])
    expect(rates({ attentionDropout: 0.1, activationDropout: 0 })).toEqual([0.1, 0.1, 0])
  })

  test('frozen parameters get no gradient and the others still do', () => {
    const l = new TransformerEncoderLayer(options).requireGradients(false, /^self_attn\./)
    scope(() => {
      backward(l.forward(wave(2, 3, 12), {}), ones([2, 3, 12]))
      for (const [name, p] of l.namedParameters()) expect({ name, gradient: p.grad !== undefined }).toEqual({ name, gradient: !name.startsWith('self_attn.') })
    })
    expect(() => l.requireGradients(true, /nothing/)).toThrow(ConfigError)
    l.dispose()
  })
})

describe('half precision', () => {
  /** Whether there are values that bfloat16 has not. */
  const exact = (t: Tensor): boolean => t.dtype === 'float32' && numbers(t).some((v, i) => v !== numbers(ops.cast(ops.cast(t, 'bfloat16'), 'float32'))[i])

  test('what is added to the residual stream keeps the bits of the sums, what goes from product to product does not', () => {
    scope(() => noGrad(() => autocast('bfloat16', () => {
      const x = wave(2, 5, 12), gated = new GatedFeedForward(12, 20, 'silu', 0.3), heads = new MultiHeadAttention(12, 3)
      const grouped = new GroupedQueryAttention({ width: 12, heads: 4, groups: 2, headDim: 3, std: 0.3 })
      for (const y of [gated.forward(x), heads.forward(x), grouped.forward(x, {})]) expect(exact(y)).toBe(true)
      expect([gated.gate_proj.forward(x).dtype, grouped.q_proj.forward(x).dtype]).toEqual(['bfloat16', 'bfloat16'])
      for (const module of [gated, heads, grouped]) module.dispose()
    })))
  })

  test.each([false, true])("the paper's layers add up in float32 (norm first: %p), and the tape keeps operands of products in half of the memory", normFirst => {
    const layer = varied(new TransformerEncoderLayer({ ...options, normFirst })), x = ones([8, 16, 12], { requiresGrad: true })
    const kept = (precision: 'float32' | 'bfloat16'): number => scope(() => {
      const before = memory().bytes, y = autocast(precision, () => layer.forward(x, {}))
      expect(exact(y)).toBe(true)
      return memory().bytes - before
    })
    expect(kept('bfloat16') / kept('float32')).toBeLessThan(0.8)
    layer.dispose()
    x.dispose()
  })
})
