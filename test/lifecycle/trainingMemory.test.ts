import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { Linear } from '#lib/nn/layers.js'
import { Module } from '#lib/nn/module.js'
import * as ops from '#lib/ops/index.js'
import { Transformer } from '#lib/models/transformer.js'
import { AdamW, type AdamOptions } from '#lib/optim/adamW.js'
import { ExponentialMovingAverage } from '#lib/optim/ema.js'
import { decayGroups } from '#lib/optim/groups.js'
import { ones, tensor } from '#lib/tensor/create.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { autocast, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

// In a file of its own: elsewhere tensors that earlier tests forgot are collected at any time, and counts fall.

describe('the memory of training', () => {
  class Net extends Module {
    readonly first = new Linear(6, 8)
    readonly second = new Linear(8, 3)
    forward(x: Tensor): Tensor { return this.second.forward(ops.dropout(ops.layerNorm(this.first.forward(x, 'gelu'), ones([8]), ones([8])), 0.1)) }
  }

  // WARPWEFT_STEPS=10000 for the figure of the documentation; it takes no path that fewer do not.
  const steps = Number(process.env['WARPWEFT_STEPS'] ?? 1500)

  test(`${steps} steps leave the count of tensors and the bytes where they were`, async () => {
    const model = new Net(), optimizer = new AdamW(model), x = ones([4, 6]), labels = tensor([0, 1, 2, 1], null, { dtype: 'int32' })
    const step = (): void => {
      scope(() => {
        backward(ops.crossEntropy(model.forward(x), labels))
        optimizer.step({ maxNorm: 1 })
        optimizer.zeroGrad()
      })
    }
    for (let i = 0; i < 20; i++) step()
    await cpu.synchronize()
    const before = memory()
    for (let i = 0; i < steps; i++) step()
    await cpu.synchronize()
    const after = memory()
    expect(after).toMatchObject({ tensors: before.tensors, bytes: before.bytes, allocatedBytes: before.allocatedBytes })
    expect(after.reservedBytes).toBeLessThanOrEqual(2 * before.reservedBytes)
    for (const owner of [optimizer, model, x, labels]) owner.dispose()
  }, 600_000)

  test.each([['float32', false], ['bfloat16', false], ['float32', true], ['float32', 'attention']] as const)(
    "a step of the paper's model in %s (checkpointing: %p) makes no tensor that neither its scope nor an owner accounts for", async (precision, checkpointing) => {
      const model = new Transformer({ vocabSize: 19, dModel: 16, heads: 2, layers: 2, dropout: 0.1, positions: 'learned', maxPositions: 12 })
      model.activationCheckpointing = checkpointing
      const optimizer = new AdamW(decayGroups<AdamOptions>(model, 0.01)), ema = new ExponentialMovingAverage(model, 0.9)
      const source = tensor([[4, 5, 6, 2], [7, 2, 0, 0]], null, { dtype: 'int32' }), target = tensor([[1, 8, 9], [1, 10, 0]], null, { dtype: 'int32' })
      const labels = tensor([[8, 9, 2], [10, 2, -100]], null, { dtype: 'int32' }), mask = tensor([[1, 1, 1, 1], [1, 1, 0, 0]], null, { dtype: 'bool' })
      const step = (): void => {
        scope(() => {
          backward(autocast(precision, () => ops.crossEntropy(model.forward(source, target, { sourceMask: mask }), labels, { labelSmoothing: 0.1 })))
          optimizer.step({ maxNorm: 1 })
          optimizer.zeroGrad()
          ema.update()
        })
      }
      step()   // the optimizer's state and the tables of positions are made at the first
      const before = memory()
      for (let i = 0; i < 3; i++) {
        step()
        expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
      }
      await cpu.synchronize()
      for (const owner of [optimizer, ema, model, source, target, labels, mask]) owner.dispose()
    })

  test('a step that throws half-way leaves nothing behind', () => {
    const model = new Net(), x = ones([4, 6]), wrong = ones([4, 5]), before = memory()
    for (let i = 0; i < 5; i++) expect(() => scope(() => { ops.add(model.forward(x), model.forward(wrong)) })).toThrow(/linear/)
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
    for (const owner of [model, x, wrong]) owner.dispose()
  })
})
