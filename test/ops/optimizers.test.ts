import { describe, expect, test } from '@jest/globals'
import { ConfigError, IndexError } from '#lib/errors.js'
import { Module } from '#lib/nn/module.js'
import { Parameter } from '#lib/nn/parameter.js'
import { indexSelect } from '#lib/ops/indexSelect.js'
import { Adam, AdamW, type AdamOptions } from '#lib/optim/adamW.js'
import type { Optimizer, StepOptions } from '#lib/optim/optimizer.js'
import { SGD, type SGDOptions } from '#lib/optim/sgd.js'
import { tensor } from '#lib/tensor/create.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { Random } from '#lib/data/random.js'

// Against torch.optim's formulas in plain float64, one number at a time.

const shapes = [[3, 17], [1], [257]]

class Weights extends Module {
  readonly a = new Parameter(shapes[0]!, { kind: 'normal', std: 1 })
  readonly b = new Parameter(shapes[1]!, { kind: 'normal', std: 1 })
  readonly c = new Parameter(shapes[2]!, { kind: 'normal', std: 1 })
}

interface Cell { p: number, m: number, v: number, fresh: boolean }
type Update = (cell: Cell, g: number, t: number) => void

const adam = ({ learningRate, betas: [b1, b2], eps, weightDecay }: AdamOptions, decoupled: boolean): Update => (cell, g, t) => {
  if (decoupled) cell.p *= 1 - learningRate * weightDecay
  else g += weightDecay * cell.p
  cell.m = b1 * cell.m + (1 - b1) * g
  cell.v = b2 * cell.v + (1 - b2) * g * g
  cell.p -= learningRate * (cell.m / (1 - b1 ** t)) / (Math.sqrt(cell.v / (1 - b2 ** t)) + eps)
}

const sgd = ({ learningRate, momentum, dampening, nesterov, weightDecay }: SGDOptions): Update => (cell, g) => {
  g += weightDecay * cell.p
  if (momentum !== 0) {
    cell.m = cell.fresh ? g : momentum * cell.m + (1 - dampening) * g
    cell.fresh = false
    g = nesterov ? g + momentum * cell.m : cell.m
  }
  cell.p -= learningRate * g
}

/** Steps of both on the same gradients; `missing` says which parameters have none at a step. */
function compare(make: (model: Weights) => Optimizer<AdamOptions> | Optimizer<SGDOptions>, update: Update, options: StepOptions = {}, { steps = 12, missing = (_step: number, _parameter: number): boolean => false } = {}): void {
  const model = new Weights(), optimizer = make(model), random = new Random(3, 'optimizers'), { gradientScale = 1, maxNorm = Infinity } = options
  const cells = model.parameters().map(p => Array.from(p.dataSync() as Float32Array, (v): Cell => ({ p: v, m: 0, v: 0, fresh: true })))
  for (let step = 1; step <= steps; step++) {
    const gradients = model.parameters().map((p, k) => missing(step, k) ? undefined : Float32Array.from({ length: p.size }, () => random.normal() * (step % 3 + 0.1)))
    model.parameters().forEach((p, k) => { p.grad = gradients[k] && tensor(gradients[k], p.shape).keep() })
    const norm = Math.sqrt(gradients.reduce((s, g) => s + (g?.reduce((q, v) => q + (v * gradientScale) ** 2, 0) ?? 0), 0))
    const given = optimizer.step(options)
    expect(Math.abs(given.itemSync() / norm - 1)).toBeLessThan(1e-6)
    given.dispose()
    const factor = gradientScale * Math.min(1, maxNorm / (norm + 1e-6))
    gradients.forEach((g, k) => { g?.forEach((v, i) => { update(cells[k]![i]!, v * factor, step) }) })
    optimizer.zeroGrad()
  }
  model.parameters().forEach((p, k) => {
    const worst = Math.max(...Array.from(p.dataSync() as Float32Array, (v, i) => Math.abs(v - cells[k]![i]!.p) / (Math.abs(cells[k]![i]!.p) + 0.1)))
    expect(worst).toBeLessThan(steps * 2 ** -22)
  })
  optimizer.dispose()
  model.dispose()
}

describe('optimizers against float64', () => {
  const adamDefaults: AdamOptions = { learningRate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 }
  test.each<[string, Partial<AdamOptions>, StepOptions]>([
    ['default options', {}, {}],
    ['a large rate and decay', { learningRate: 0.05, weightDecay: 0.3 }, {}],
    ["the Transformer paper's betas", { betas: [0.9, 0.98], eps: 1e-9, learningRate: 0.01 }, {}],
    ['clipping and a gradient scale', { learningRate: 0.01, weightDecay: 0.1 }, { maxNorm: 0.5, gradientScale: 1 / 512 }],
    ['clipping that bites', { learningRate: 0.01 }, { maxNorm: 0.5 }],
  ])('AdamW and Adam: %s', (_, options, step) => {
    compare(m => new AdamW(m, options), adam({ ...adamDefaults, weightDecay: 0.01, ...options }, true), step)
    compare(m => new Adam(m, options), adam({ ...adamDefaults, ...options }, false), step)
  })

  const sgdDefaults: SGDOptions = { learningRate: 1e-2, momentum: 0, dampening: 0, nesterov: false, weightDecay: 0 }
  test.each<[string, Partial<SGDOptions>, StepOptions]>([
    ['default options', {}, {}],
    ['momentum', { momentum: 0.9 }, {}],
    ['momentum, dampening and decay', { momentum: 0.9, dampening: 0.3, weightDecay: 0.1 }, {}],
    ['Nesterov with clipping', { momentum: 0.8, nesterov: true, weightDecay: 0.01 }, { maxNorm: 2, gradientScale: 0.25 }],
  ])('SGD: %s', (_, options, step) => { compare(m => new SGD(m, options), sgd({ ...sgdDefaults, ...options }), step) })

  test('a parameter without a gradient stays, and begins its momentum with the first gradient it gets', () => {
    const missing = (step: number, k: number): boolean => k === 1 && step < 5 || k === 2 && step % 2 === 0
    compare(m => new SGD(m, { momentum: 0.9, dampening: 0.5 }), sgd({ ...sgdDefaults, momentum: 0.9, dampening: 0.5 }), {}, { missing })
    compare(m => new AdamW(m), adam({ ...adamDefaults, weightDecay: 0.01 }, true), {}, { missing })
  })

  test('a gradient that is not finite changes nothing where that is asked', () => {
    for (const make of [(m: Weights) => new AdamW(m), (m: Weights) => new SGD(m, { momentum: 0.9 })]) {
      const model = new Weights(), optimizer = make(model), before = model.parameters().map(p => p.dataSync())
      model.parameters().forEach((p, k) => { p.grad = tensor(new Float32Array(p.size).fill(k === 1 ? NaN : 1), p.shape).keep() })
      expect(optimizer.step({ skipNonFinite: true }).itemSync()).toBeNaN()
      expect(model.parameters().map(p => p.dataSync())).toEqual(before)
      for (const state of optimizer.stateDict().tensors.values()) expect(new Set(state.dataSync() as Float32Array)).toEqual(new Set([0]))
      optimizer.dispose()
      model.dispose()
    }
  })

  test('a gradient that came of a bad index changes nothing, and the next one counts', async () => {
    for (const make of [(m: Weights) => new AdamW(m), (m: Weights) => new SGD(m, { momentum: 0.9 })]) {
      const model = new Weights(), optimizer = make(model), before = model.parameters().map(p => p.dataSync())
      const sound = (p: Tensor): Tensor => tensor(new Float32Array(p.size).fill(1), p.shape).keep()
      model.parameters().forEach((p, k) => {
        p.grad = k === 1 ? scope(() => indexSelect(sound(p), tensor([7], null, { dtype: 'int32' })).keep()) : sound(p)
      })
      await expect(optimizer.step({ maxNorm: 1 }).data()).rejects.toThrow(IndexError)
      expect(model.parameters().map(p => p.dataSync())).toEqual(before)
      for (const state of optimizer.stateDict().tensors.values()) expect(new Set(state.dataSync() as Float32Array)).toEqual(new Set([0]))
      optimizer.zeroGrad()
      for (const p of model.parameters()) p.grad = sound(p)
      optimizer.step().dispose()
      expect(model.parameters().map(p => p.dataSync())).not.toEqual(before)
      optimizer.dispose()
      model.dispose()
    }
  })

  test('state that was saved and loaded goes on with the same bits', () => {
    const bits = (resume: boolean): Buffer => {
      const model = new Weights(), random = new Random(1, 'state')
      model.parameters().forEach(p => { p.assign(Float32Array.from({ length: p.size }, () => random.normal())) })
      let optimizer = new AdamW(model, { learningRate: 0.01 })
      for (let step = 0; step < 6; step++) {
        if (resume && step === 3) {
          const { step: count, tensors } = optimizer.stateDict()
          const saved = new Map(Array.from(tensors, ([name, t]) => [name, { shape: t.shape, data: t.dataSync() as Float32Array }] as const))
          optimizer.dispose()
          optimizer = new AdamW(model, { learningRate: 0.01 })
          optimizer.loadStateDict({ step: count, tensors: saved })
        }
        model.parameters().forEach(p => { p.grad = tensor(Float32Array.from({ length: p.size }, () => random.normal()), p.shape).keep() })
        optimizer.step().dispose()
        optimizer.zeroGrad()
      }
      const result = Buffer.concat(model.parameters().map(p => Buffer.from((p.dataSync() as Float32Array).buffer as ArrayBuffer)))
      optimizer.dispose()
      model.dispose()
      return result
    }
    expect(bits(true)).toEqual(bits(false))
  })

  test('options that mean nothing are errors', () => {
    const model = new Weights(), named = [...model.namedParameters()]
    expect(() => new SGD(model, { nesterov: true })).toThrow(ConfigError)
    expect(() => new AdamW([])).toThrow(ConfigError)
    expect(() => new AdamW([{ parameters: named, options: {} }, { parameters: named, options: {} }])).toThrow(/more than one group/)
    expect(() => new AdamW(model).step({ maxNorm: 0 })).toThrow(ConfigError)
    model.dispose()
  })

  test('groups keep the ratio of their learning rates under a schedule', () => {
    const model = new Weights(), [a, b] = [...model.namedParameters()]
    const optimizer = new SGD([{ parameters: [a!], options: { learningRate: 0.5 } }, { parameters: [b!], options: { learningRate: 0.125 } }])
    optimizer.setLearningRate(1)
    expect(optimizer.groups.map(g => g.options.learningRate)).toEqual([1, 0.25])
    model.dispose()
  })
})
