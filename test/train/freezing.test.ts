import { describe, expect, test } from '@jest/globals'
import { GPT2 } from '#lib/models/gpt2.js'
import { heights, layerGroups } from '#lib/optim/groups.js'
import { manualSeed } from '#lib/tensor/random.js'
import { tensor } from '#lib/tensor/create.js'
import { Trainer } from '#lib/train/trainer.js'
import type { TrainingTask } from '#lib/train/task.js'
import type { TrainingOptions } from '#lib/train/trainingOptions.js'

const create = (): GPT2 => {
  manualSeed(5)
  return new GPT2({ vocab_size: 13, n_positions: 8, n_embd: 8, n_layer: 3, n_head: 2, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0, initializer_range: 0.3 })
}
const values = (model: GPT2) => new Map([...model.namedParameters()].map(([name, p]) => [name, Float32Array.from(p.dataSync() as Float32Array)]))
const task = (model: GPT2): TrainingTask => ({
  batches: [0], tokens: () => 5,
  loss: () => model.loss({ ids: tensor([[3, 1, 4, 1, 5]], null, { dtype: 'int32' }), labels: tensor([[1, 4, 1, 5, 9]], null, { dtype: 'int32' }) }, { reduction: 'sum' }),
})

/** What each parameter changes by in training. */
async function changes(options: TrainingOptions): Promise<Map<string, Float32Array>> {
  using model = create()
  const before = values(model)
  using trainer = new Trainer(model, task(model), { disableProgress: true, handleSignals: false, lrSchedulerType: 'constant', learningRate: 0.01, maxGradNorm: 0, ...options })
  await trainer.train()
  expect(model.parameters().every(p => p.requiresGrad)).toBe(true)   // as it was
  return new Map([...values(model)].map(([name, after]) => [name, after.map((x, i) => x - before.get(name)![i]!)]))
}
const size = (x: Float32Array | undefined): number => Math.sqrt(x!.reduce((s, v) => s + v * v, 0))

describe('layers', () => {
  test('heights count down from the top: what follows the layers, the layers, the embeddings', () => {
    using model = create()
    const of = heights(model)
    expect(of.get('transformer.ln_f.weight')).toBe(0)
    expect([2, 1, 0].map(i => of.get(`transformer.h.${i}.attn.c_attn.weight`))).toEqual([1, 2, 3])
    expect([of.get('transformer.wte.weight'), of.get('transformer.wpe.weight')]).toEqual([4, 4])
    const groups = layerGroups(model, { weightDecay: 0.1, learningRate: 1, layerDecay: 0.5 })
    for (const { parameters, options } of groups) for (const [name] of parameters) expect([name, options.learningRate]).toEqual([name, 0.5 ** of.get(name)!])
    expect(groups.flatMap(g => g.parameters).length).toBe([...model.namedParameters()].length)
  })

  test('the learning rate falls from layer to layer', async () => {
    const plain = await changes({ maxSteps: 1, optim: 'sgd' }), layered = await changes({ maxSteps: 1, optim: 'sgd', layerwiseLearningRateDecay: 0.5 })
    for (const [name, height] of [['transformer.ln_f.weight', 0], ['transformer.h.2.mlp.c_fc.weight', 1], ['transformer.h.0.attn.c_attn.weight', 3], ['transformer.wte.weight', 4]] as const)
      expect(size(layered.get(name)) / size(plain.get(name))).toBeCloseTo(0.5 ** height, 3)
  })

  test('frozen parameters stay; patterns that match nothing, or everything, are refused', async () => {
    const changed = await changes({ maxSteps: 2, freeze: ['wte', 'h\\.[01]\\.'] })
    for (const [name, change] of changed) expect([name, size(change) > 0]).toEqual([name, !/wte|h\.[01]\./.test(name)])
    await expect(changes({ maxSteps: 1, freeze: 'nothing' })).rejects.toThrow(/freeze has \/nothing\/, which matches no parameter/)
    await expect(changes({ maxSteps: 1, freeze: '.' })).rejects.toThrow(/freeze leaves nothing to train/)
    await expect(changes({ maxSteps: 1, freeze: '(' })).rejects.toThrow(/freeze has '\(', which is no regular expression/)
  })

  test('layers thaw from the top, and the first update of each is as large as any first update of Adam', async () => {
    const after = async (maxSteps: number): Promise<string[]> => {
      const changed = await changes({ maxSteps, unfreezeEvery: 2 })
      return ['ln_f.weight', 'h.2.ln_1.weight', 'h.1.ln_1.weight', 'h.0.ln_1.weight', 'wte.weight'].filter(name => size(changed.get(`transformer.${name}`)) > 0)
    }
    expect(await after(2)).toEqual(['ln_f.weight'])
    expect(await after(3)).toEqual(['ln_f.weight', 'h.2.ln_1.weight'])
    expect((await after(9)).length).toBe(5)
    const change = (await changes({ maxSteps: 3, unfreezeEvery: 2 })).get('transformer.h.2.ln_1.weight')!
    for (const x of change) expect(Math.abs(x)).toBeCloseTo(0.01, 4)
  })
})
