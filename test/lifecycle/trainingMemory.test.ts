import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { Linear } from '#lib/nn/layers.js'
import { Module } from '#lib/nn/module.js'
import * as ops from '#lib/ops/index.js'
import { AdamW } from '#lib/optim/adamW.js'
import { ones, tensor } from '#lib/tensor/create.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

// In a file of its own: elsewhere tensors that earlier tests forgot are collected at any time, and counts fall.

describe('the memory of training', () => {
  class Net extends Module {
    readonly first = new Linear(6, 8)
    readonly second = new Linear(8, 3)
    forward(x: Tensor): Tensor { return this.second.forward(ops.dropout(ops.layerNorm(this.first.forward(x, 'gelu'), ones([8]), ones([8])), 0.1)) }
  }

  test('2,000 steps leave the count of tensors and the bytes where they were', async () => {
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
    for (let i = 0; i < 2000; i++) step()
    await cpu.synchronize()
    const after = memory()
    expect(after).toMatchObject({ tensors: before.tensors, bytes: before.bytes, allocatedBytes: before.allocatedBytes })
    expect(after.reservedBytes).toBeLessThanOrEqual(2 * before.reservedBytes)
    for (const owner of [optimizer, model, x, labels]) owner.dispose()
  }, 30_000)

  test('a step that throws half-way leaves nothing behind', () => {
    const model = new Net(), x = ones([4, 6]), wrong = ones([4, 5]), before = memory()
    for (let i = 0; i < 5; i++) expect(() => scope(() => { ops.add(model.forward(x), model.forward(wrong)) })).toThrow(/linear/)
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
    for (const owner of [model, x, wrong]) owner.dispose()
  })
})
