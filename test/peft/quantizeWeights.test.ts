import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { saveModel } from '#lib/hub/modelDirectory.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { AdamW } from '#lib/optim/adamW.js'
import { getPeftModel, quantizeWeights } from '#lib/peft/index.js'
import { tensor } from '#lib/tensor/create.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'

const llama = (width = 64): Llama => {
  manualSeed(3)
  return new Llama({ vocab_size: 19, hidden_size: width, intermediate_size: 2 * width, num_hidden_layers: 2, num_attention_heads: 4, initializer_range: 0.1 }).eval()
}
const gpt2 = (): GPT2 => {
  manualSeed(3)
  return new GPT2({ vocab_size: 19, n_positions: 32, n_embd: 64, n_layer: 2, n_head: 4, initializer_range: 0.1, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 }).eval()
}
const batch = () => ({ ids: tensor([[3, 5, 1, 7, 2, 11]], null, { dtype: 'int32' }), labels: tensor([[5, 1, 7, 2, 11, -100]], null, { dtype: 'int32' }) })
const logits = (model: { forward: Llama['forward'] }): Float32Array => scope(() => noGrad(() => model.forward(batch().ids).dataSync() as Float32Array))
/** Of the size of the second. */
const relative = (a: Float32Array, b: Float32Array): number => Math.sqrt(a.reduce((s, x, i) => s + (x - b[i]!) ** 2, 0) / b.reduce((s, x) => s + x * x, 0))
const distance = (a: Float32Array, b: Float32Array): number => a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0)

describe('quantizeWeights', () => {
  test('in bfloat16 quantised layers add to the residual stream in float32, and gradients pass through them', () => {
    const model = llama()
    quantizeWeights(model, { to: 'int8' })
    const tuned = getPeftModel(model, { peft_type: 'LORA', r: 4, target_modules: ['q_proj', 'down_proj'], init_lora_weights: false })
    const gradients = (['float32', 'bfloat16'] as const).map(precision => scope(() => autocast(precision, () => {
      expect(tuned.decoder.forward(batch().ids).dtype).toBe('float32')
      backward(tuned.loss(batch()))
      return Float32Array.from([...tuned.namedParameters()].filter(([, p]) => p.requiresGrad).flatMap(([, p]) => {
        const values = [...p.grad!.dataSync() as Float32Array]
        p.grad!.dispose()
        p.grad = undefined
        return values
      }))
    })))
    expect(relative(gradients[1]!, gradients[0]!)).toBeLessThan(0.05)
    tuned.dispose()
  })

  test.each([['int8', 1.08, 0.02], ['nf4', 0.57, 0.4]] as const)('%s: the base takes few bytes, an adapter is trained on it, and merged it is in float32', (to, atMost, error) => {
    llama().dispose()   // the random generator's own tensor is made once and stays
    const before = memory().bytes, model = llama(128), whole = memory().bytes - before
    const unquantised = 4 * (19 * 128 * 2 + 5 * 128)   // embedding, output layer, norms
    const full = logits(model)
    quantizeWeights(model, { to })
    const bytes = memory().bytes - before
    expect((bytes - unquantised) / (whole - unquantised)).toBeLessThan(atMost / 4)
    const quantised = logits(model)
    expect(relative(quantised, full)).toBeGreaterThan(error / 50)
    expect(relative(quantised, full)).toBeLessThan(error)

    const tuned = getPeftModel(model, { peft_type: 'LORA', r: 4, target_modules: ['q_proj', 'down_proj'] })
    expect(distance(logits(tuned), quantised)).toBe(0)
    const optimizer = new AdamW(tuned, { learningRate: 0.02 })
    const losses = Array.from({ length: 4 }, () => scope(() => {
      const loss = tuned.loss(batch())
      backward(loss)
      optimizer.step()
      optimizer.zeroGrad()
      return loss.itemSync()
    }))
    optimizer.dispose()
    expect(losses.at(-1)).toBeLessThan(losses[0]!)
    const after = logits(tuned)
    expect(() => { tuned.mergeAdapter() }).toThrow(/quantised and cannot be merged into/)
    expect(distance(logits(tuned), after)).toBe(0)
    const plain = tuned.mergeAndUnload() as Llama
    expect(distance(logits(plain), after)).toBeLessThan(1e-4)
    using other = llama(64)
    expect([...plain.namedParameters()].map(([name]) => name)).toEqual([...other.namedParameters()].map(([name]) => name))
    for (const m of [plain, other]) m.dispose()
    expect(memory().bytes).toBe(before)
  })

  test('a pass makes one layer at a time in full', async () => {
    const model = quantizeWeights(llama(128), { to: 'nf4' })
    await cpu.synchronize()
    cpu.resetPeakMemory()
    const before = memory().bytes
    scope(() => { noGrad(() => model.forward(batch().ids).dataSync()) })
    expect(memory().peakBytes - before).toBeLessThan(4 * (128 * 256 * 2 + 20 * 6 * 256))   // the largest layer, twice, and activations
    model.dispose()
  })

  test('weights of GPT-2, which are stored transposed; DoRA and IA3 on quantised weights; saving is refused', async () => {
    const model = gpt2(), full = logits(model)
    quantizeWeights(model, { to: 'int8' })
    const quantised = logits(model)
    expect(relative(quantised, full)).toBeLessThan(0.02)
    for (const options of [{ peft_type: 'LORA', use_dora: true } as const, { peft_type: 'IA3', target_modules: ['c_attn', 'mlp.c_proj'] } as const]) {
      const tuned = getPeftModel(model, options)
      expect(distance(logits(tuned), quantised)).toBeLessThan(1e-5)
      scope(() => { backward(tuned.loss(batch())) })
      expect(tuned.parameters().some(p => p.grad)).toBe(true)
      tuned.unload()
    }
    await expect(saveModel('/tmp/nothing is written here', model)).rejects.toThrow(/the model has quantised weights, which are not saved/)
    model.dispose()
  })
})
