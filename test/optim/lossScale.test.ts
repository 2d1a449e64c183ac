import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError } from '#lib/errors.js'
import { Linear } from '#lib/nn/layers.js'
import { cast } from '#lib/ops/copy.js'
import { mul } from '#lib/ops/mul.js'
import { sum } from '#lib/ops/reduce.js'
import { AdamW, LossScale, SGD } from '#lib/optim/index.js'
import { full, tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, scope } from '#lib/tensor/scope.js'

const bits = (model: Linear): number[] => model.parameters().flatMap(p => [...p.dataSync() as Float32Array])

describe('the loss scale', () => {
  test('saves gradients that float16 would lose', () => {
    // Gradients on their way through float16: 2e-8 is below half of its least number, 6e-8.
    const gradientAt = (scale: number): number => scope(() => {
      const x = full([4], 1, { requiresGrad: true }), half = cast(x, 'float16')
      using lossScale = new LossScale({ initialScale: scale })
      backward(mul(sum(cast(half, 'float32')), 2e-8), lossScale.gradient)
      const g = (x.grad!.dataSync() as Float32Array)[0]! / scale
      x.grad!.dispose()
      return g
    })
    expect(gradientAt(1)).toBe(0)
    expect(Math.abs(gradientAt(4096) / 2e-8 - 1)).toBeLessThan(1e-3)
  })

  test.each([['AdamW', AdamW], ['SGD', SGD]] as const)('%s takes the same steps in the same bits as without it, in float32', (_, Optimizer) => {
    const trained = (scale: number | undefined) => scope(() => {
      manualSeed(4)
      const model = new Linear(5, 3), optimizer = new Optimizer(model, { learningRate: 0.05 }), lossScale = scale === undefined ? undefined : new LossScale({ initialScale: scale })
      const norms: number[] = []
      for (let step = 0; step < 6; step++) {
        const loss = sum(mul(model.forward(tensor([[1, -2, 0.5, step, 3]])), 0.3))
        backward(loss, lossScale?.gradient)
        norms.push(optimizer.step({ gradientScale: 0.5, maxNorm: 0.7, lossScale }).itemSync())
        optimizer.zeroGrad()
      }
      const result = { values: bits(model), norms, state: lossScale?.valuesSync() }
      lossScale?.dispose()
      optimizer.dispose()
      model.dispose()
      return result
    })
    const plain = trained(undefined), scaled = trained(2 ** 20)
    expect(scaled.values).toEqual(plain.values)
    expect(scaled.norms).toEqual(plain.norms)
    expect(scaled.state).toEqual({ scale: 2 ** 20, good: 6, skipped: 0 })
  })

  test('a step that overflows leaves the weights as they were and is not counted by the bias correction', () => {
    const trained = (scale: number) => scope(() => {
      manualSeed(4)
      const model = new Linear(5, 3), optimizer = new AdamW(model, { learningRate: 0.05 }), lossScale = new LossScale({ initialScale: scale })
      while (optimizer.stepCount - lossScale.valuesSync().skipped < 4) {
        const before = bits(model)
        backward(autocast('float16', () => sum(cast(model.forward(tensor([[1, -2, 0.5, 100, 3]])), 'float32'))), lossScale.gradient)
        const norm = optimizer.step({ lossScale }).itemSync()
        optimizer.zeroGrad()
        if (!Number.isFinite(norm)) expect(bits(model)).toEqual(before)
      }
      const result = { values: bits(model), state: lossScale.valuesSync() }
      lossScale.dispose()
      optimizer.dispose()
      model.dispose()
      return result
    })
    const clean = trained(64), overflowing = trained(2 ** 18)   // the output's gradient is the scale itself
    expect(clean.state).toEqual({ scale: 64, good: 4, skipped: 0 })
    expect(overflowing.state).toEqual({ scale: 2 ** 15, good: 4, skipped: 3 })
    overflowing.values.forEach((v, i) => { expect(Math.abs(v - clean.values[i]!)).toBeLessThan(2e-7) })
  })

  test('goes on from its values, and frees what it has', async () => {
    const { tensors } = memory()
    const first = new LossScale({ initialScale: 8, growthInterval: 2 }), norm = full([1], 1), bad = full([1], NaN)
    for (const of of [norm, bad, norm, norm, norm]) first.update(of)
    const values = await first.values(), second = new LossScale()
    expect(values).toEqual({ scale: 8, good: 1, skipped: 1 })
    second.restore(values)
    expect(await second.values()).toEqual(values)
    for (const t of [first, second, norm, bad]) t.dispose()
    expect(memory().tensors).toBe(tensors)
  })

  test('bad values are refused', () => {
    for (const initialScale of [0, 3, -2, NaN, 2 ** 25, 2 ** -15]) expect(() => new LossScale({ initialScale })).toThrow(ConfigError)
    for (const growthInterval of [0, 1.5, NaN]) expect(() => new LossScale({ growthInterval })).toThrow(/growthInterval/)
    const model = new Linear(2, 2), optimizer = new SGD(model)
    using lossScale = new LossScale()
    expect(() => optimizer.step({ lossScale, skipNonFinite: false })).toThrow(/skipNonFinite/)
    model.dispose()
  })
})
