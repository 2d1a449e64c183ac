import { writeFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { CheckpointError } from '#lib/errors.js'
import { openSafetensors } from '#lib/io/safetensorsShards.js'
import { writeSafetensors } from '#lib/io/safetensorsWriter.js'
import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { Mixtral } from '#lib/models/mixtral.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { create, decoderTests, ids, lastOf, refusalTests, values } from './decoderTests.js'

decoderTests([
  { name: 'mixtral', architecture: 'MixtralForCausalLM', options: { num_local_experts: 4 } },
  { name: 'mixtral, tied, one expert a token, with a window', architecture: 'MixtralForCausalLM', options: { num_local_experts: 5, num_experts_per_tok: 1, sliding_window: 3, tie_word_embeddings: true } },
  { name: 'mixtral with the loss of its routers', architecture: 'MixtralForCausalLM', options: { num_local_experts: 4, output_router_logits: true, router_aux_loss_coef: 0.5, head_dim: 6 } },
])

refusalTests('MixtralForCausalLM', [
  ['more experts a token than there are', { num_local_experts: 2, num_experts_per_tok: 3 }, /each token is for 3 experts, expected an integer from 1 to 2/],
  ['no experts', { num_local_experts: 0 }, /num_local_experts is 0, expected a positive integer/],
  ['quantised weights', { quantization_config: {} }, /quantization_config/],
  ['a number as text', { router_aux_loss_coef: 'much' }, /router_aux_loss_coef is "much", expected a number/],
])

describe('Mixtral', () => {
  const batch = { ids: ids([1, 2, 3, 4], [5, 6, 7, 0]), labels: ids([2, 3, 4, -100], [6, 7, -100, -100]), attentionMask: ids([1, 1, 1, 1], [1, 1, 1, 0]) }

  test('its loss has that of the routers where the configuration asks for it, masked as the text is', () => {
    const options = { num_local_experts: 4, router_aux_loss_coef: 0.5 }
    const plain = create('MixtralForCausalLM', options).eval() as Mixtral, both = create('MixtralForCausalLM', { ...options, output_router_logits: true }).eval() as Mixtral
    scope(() => noGrad(() => {
      const { logits, auxLoss } = both.routed(batch.ids, batch), aux = auxLoss.itemSync()
      expect(values(logits)).toEqual(values(plain.forward(batch.ids, batch)))
      expect(both.loss(batch).itemSync()).toBeCloseTo(plain.loss(batch).itemSync() + 0.5 * aux, 6)
      expect(aux).not.toBeCloseTo(both.routed(batch.ids).auxLoss.itemSync(), 4)
    }))
    for (const model of [plain, both]) model.dispose()
  })

  test('jitters what a mixture reads while training alone', () => {
    const model = create('MixtralForCausalLM', { num_local_experts: 4, router_jitter_noise: 0.3 }), read = () => scope(() => noGrad(() => values(model.forward(batch.ids))))
    expect(read()).not.toEqual(read())
    model.eval()
    expect(read()).toEqual(read())
    model.dispose()
  })

  test('experts that no token chose have gradients of zero, and the others the same as alone', () => {
    const model = create('MixtralForCausalLM', { num_local_experts: 23, num_experts_per_tok: 1, num_hidden_layers: 1 })
    scope(() => { backward(model.loss(batch)) })
    const sizes = [...model.namedParameters()].filter(([name]) => name.endsWith('w1.weight')).map(([, p]) => Math.max(...values(p.grad!).map(Math.abs)))
    expect(sizes.length).toBe(23)
    expect(sizes.filter(size => size === 0).length).toBeGreaterThanOrEqual(23 - 8)
    expect(sizes.filter(size => size > 0).length).toBeGreaterThan(1)
    model.dispose()
  })

  describe('with the experts of a layer in one tensor, as transformers 5 can save them', () => {
    const at = temporaryFolder(), model = create('MixtralForCausalLM', { num_local_experts: 3 }), [E, F, C] = [3, 20, 16]

    async function fused(change: (tensors: Map<string, { shape: number[], data: Float32Array }>) => void = () => undefined): Promise<string> {
      await saveModel(at('model'), model)
      const file = await openSafetensors(at('model')), tensors = new Map<string, { shape: number[], data: Float32Array }>()
      for (const [name, { shape }] of file.tensors) if (!name.includes('experts')) tensors.set(name.replace('block_sparse_moe', 'mlp'), { shape: [...shape], data: await file.float32(name) })
      for (const layer of [0, 1]) {
        const read = (e: number, w: string) => file.float32(`model.layers.${layer}.block_sparse_moe.experts.${e}.${w}.weight`)
        const joined = async (names: string[]) => Float32Array.from((await Promise.all(Array.from({ length: E }, (_, e) => names.map(w => read(e, w))).flat())).flatMap(part => [...part]))
        tensors.set(`model.layers.${layer}.mlp.experts.gate_up_proj`, { shape: [E, 2 * F, C], data: await joined(['w1', 'w3']) })
        tensors.set(`model.layers.${layer}.mlp.experts.down_proj`, { shape: [E, C, F], data: await joined(['w2']) })
      }
      await file.close()
      change(tensors)
      await writeSafetensors(at('model', 'model.safetensors'), [...tensors].map(([name, { shape, data }]) => ({ name, dtype: 'F32' as const, shape, data: () => data })))
      return at('model')
    }

    test('it is the same model', async () => {
      const { model: loaded } = await loadModel(await fused())
      expect(lastOf(loaded as CausalLanguageModel, [1, 2, 3])).toEqual(lastOf(model, [1, 2, 3]))
      loaded.dispose()
    })

    test('what does not fit is named by the part', async () => {
      const short = fused(tensors => { tensors.set('model.layers.0.mlp.experts.down_proj', { shape: [E, C, F - 1], data: new Float32Array(E * C * (F - 1)) }) })
      await expect(short.then(loadModel)).rejects.toThrow(/experts.0.w2.weight is \[16, 19\], the model has \[16, 20\]/)
      const twice = fused(tensors => { tensors.set('model.layers.0.mlp.experts.1.w2.weight', { shape: [C, F], data: new Float32Array(C * F) }) })
      await expect(twice.then(loadModel)).rejects.toThrow(/has model.layers.0.mlp.experts.1.w2.weight, and model.layers.0.mlp.experts.down_proj which has it as well/)
      await expect(loadModel(at('model'))).rejects.toThrow(CheckpointError)
      writeFileSync(at('model', 'config.json'), '{"model_type": "mamba"}')
      await expect(loadModel(at('model'))).rejects.toThrow(/known are .*mixtral/)
    })
  })
})
