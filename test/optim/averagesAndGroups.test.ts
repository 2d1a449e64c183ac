import { describe, expect, test } from '@jest/globals'
import { ConfigError } from '#lib/errors.js'
import { backward } from '#lib/autograd/backward.js'
import { Linear } from '#lib/nn/layers.js'
import { TransformerEncoderLayer } from '#lib/nn/transformerLayers.js'
import * as ops from '#lib/ops/index.js'
import { AdamW, type AdamOptions } from '#lib/optim/adamW.js'
import { ExponentialMovingAverage } from '#lib/optim/ema.js'
import { decayGroups } from '#lib/optim/groups.js'
import { ones, zeros } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

const numbers = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)

describe('exponential moving average', () => {
  test('follows decay * average + (1 - decay) * parameter from the first values on', () => {
    const model = new Linear(17, 5), ema = new ExponentialMovingAverage(model, 0.9), expected = model.parameters().map(numbers)
    for (let step = 1; step <= 20; step++) {
      model.parameters().forEach((p, k) => { p.assign(Float32Array.from({ length: p.size }, (_, i) => Math.sin(step * 1.3 + i + k))) })
      ema.update()
      model.parameters().forEach((p, k) => { numbers(p).forEach((v, i) => { expected[k]![i] = 0.9 * expected[k]![i]! + (1 - 0.9) * v }) })
    }
    ;[...ema.stateDict().values()].forEach((average, k) => { numbers(average).forEach((v, i) => { expect(Math.abs(v - expected[k]![i]!)).toBeLessThan(1e-6) }) })
    expect([...ema.stateDict().keys()]).toEqual(['weight', 'bias'])
    ema.dispose()
    model.dispose()
  })

  test('swap puts the averages into the model and back again, with the same bits', () => {
    const model = new Linear(3, 2), ema = new ExponentialMovingAverage(model, 0.5), first = model.parameters().map(numbers)
    model.parameters().forEach(p => { p.assign(new Float32Array(p.size).fill(2)) })
    ema.swap()
    expect(model.parameters().map(numbers)).toEqual(first)
    expect(() => { ema.update() }).toThrow(ConfigError)   // it would average the averages
    ema.swap()
    for (const p of model.parameters()) expect(new Set(numbers(p))).toEqual(new Set([2]))
    ema.update()
    model.parameters().forEach((_, k) => { numbers([...ema.stateDict().values()][k]!).forEach((v, i) => { expect(v).toBeCloseTo(1 + first[k]![i]! / 2, 6) }) })
    ema.dispose()
    model.dispose()
  })

  test('what was saved can be loaded, no scope frees the averages, dispose does', () => {
    const model = new Linear(3, 2), before = memory()
    const ema = scope(() => {
      const made = new ExponentialMovingAverage(model, 0.99)
      made.loadStateDict(new Map([['bias', { data: Float32Array.of(7, 8) }]]))
      made.update()
      return { made }   // not among what a scope looks for: its tensors stay all the same
    }).made
    const bias = numbers(model.bias!), averages = numbers(ema.stateDict().get('bias')!)
    averages.forEach((v, i) => { expect(v).toBeCloseTo(0.99 * (7 + i) + 0.01 * bias[i]!, 5) })
    ema.dispose()
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
    model.dispose()
  })

  test.each([0, 1, -0.1, NaN])('a decay of %p is an error', decay => {
    const model = new Linear(2, 2)
    expect(() => new ExponentialMovingAverage(model, decay)).toThrow(ConfigError)
    model.dispose()
  })
})

describe('groups without decay', () => {
  test('hold biases and norms, and leave out what is frozen', () => {
    const layer = new TransformerEncoderLayer({ dModel: 8, heads: 2, feedForward: 12, dropout: 0, activation: 'gelu', normFirst: true, eps: 1e-5 })
    layer.requireGradients(false, /^linear1\./)
    const [decayed, plain] = decayGroups<AdamOptions>(layer, 0.3)
    expect(decayed!.parameters.map(([name]) => name)).toEqual(['self_attn.in_proj_weight', 'self_attn.out_proj.weight', 'linear2.weight'])
    expect(plain!.parameters.map(([name]) => name).sort()).toEqual([
      'linear2.bias', 'norm1.bias', 'norm1.weight', 'norm2.bias', 'norm2.weight', 'self_attn.in_proj_bias', 'self_attn.out_proj.bias',
    ])
    expect([decayed!.options.weightDecay, plain!.options.weightDecay]).toEqual([0.3, 0])
    expect(() => decayGroups(layer, -1)).toThrow(ConfigError)
    layer.dispose()
  })

  test('a step without gradients to speak of shrinks weights and nothing else', () => {
    const model = new Linear(3, 2), before = model.parameters().map(numbers)
    const optimizer = new AdamW(decayGroups<AdamOptions>(model, 0.5), { learningRate: 0.1 })
    scope(() => {
      backward(ops.sum(ops.mul(model.forward(ones([1, 3])), zeros([1, 2]))))
      optimizer.step()
    })
    numbers(model.weight).forEach((v, i) => { expect(v).toBeCloseTo(before[0]![i]! * (1 - 0.1 * 0.5), 6) })
    expect(numbers(model.bias!)).toEqual(before[1])
    optimizer.dispose()
    model.dispose()
  })
})
