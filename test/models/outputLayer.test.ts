import { expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { BartForConditionalGeneration } from '#lib/models/bart.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { T5ForConditionalGeneration } from '#lib/models/t5.js'
import { Transformer } from '#lib/models/transformer.js'
import type { Module } from '#lib/nn/module.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { cast } from '#lib/ops/copy.js'
import { getPeftModel } from '#lib/peft/index.js'
import { tensor } from '#lib/tensor/create.js'
import { defaultDevice, memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { Random } from '#lib/data/random.js'

// Losses of more rows than there are logits at a time, against the composition that holds all logits.

const V = 67, T = 80, batch = 8   // 640 rows, of which a piece has 512
const drawn = (seed: number, below = V): Tensor => {
  const random = new Random(seed, 'output layers')
  return tensor(Array.from({ length: batch * T }, () => 3 + Math.floor(random.uniform() * (below - 3))), [batch, T], { dtype: 'int32' })
}
const numbers = (t: Tensor): number[] => Array.from(cast(t, 'float32').dataSync() as Float32Array)

/** Both losses and the gradients of all parameters, which must be the same but for rounding. */
function compare(model: Module, fused: () => Tensor, composed: () => Tensor, bound = 1e-5): void {
  model.eval()
  const results = [fused, composed].map(loss => {
    let value = 0
    scope(() => {
      const y = loss()
      backward(y)
      value = numbers(y)[0]!
    })
    const gradients = new Map([...model.namedParameters()].flatMap(([name, p]) => p.grad ? [[name, numbers(p.grad)] as const] : []))
    for (const p of model.parameters()) { p.grad?.dispose(); p.grad = undefined }
    return { value, gradients }
  })
  const [a, b] = results as [typeof results[0], typeof results[0]]
  expect(Math.abs(a!.value - b!.value)).toBeLessThanOrEqual(bound * Math.abs(b!.value))
  expect([...a!.gradients.keys()]).toEqual([...b!.gradients.keys()])
  for (const [name, expected] of b!.gradients) {
    const size = Math.max(...expected.map(Math.abs), 1e-6), got = a!.gradients.get(name)!
    const error = Math.max(...expected.map((v, i) => Math.abs(v - got[i]!))) / size
    if (error > 20 * bound) throw new Error(`${name}: the gradient is off by ${error} of its size`)
  }
}

const ids = drawn(1), labels = drawn(2), source = drawn(3)
const options = { labelSmoothing: 0.1, reduction: 'mean' } as const
const small = { vocab_size: V, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: T }
const gpt2 = () => { manualSeed(1); return new GPT2({ vocab_size: V, n_positions: T, n_embd: 16, n_layer: 1, n_head: 2 }) }
const llama = () => { manualSeed(2); return new Llama({ ...small, tie_word_embeddings: false }) }

test.each([['GPT2 with a tied output', gpt2], ['Llama with a layer of its own', llama]] as const)('%s', (_, make) => {
  const model = make()
  compare(model, () => model.loss({ ids, labels }, options), () => crossEntropy(model.forward(ids), labels, options))
  compare(model, () => autocast('bfloat16', () => model.loss({ ids, labels }, options)), () => autocast('bfloat16', () => crossEntropy(model.forward(ids), labels, options)), 2e-3)
})

test("the paper's Transformer, tied and with a layer that has a bias", () => {
  for (const tied of [true, false]) {
    manualSeed(3)
    const model = new Transformer({ vocabSize: V, dModel: 16, heads: 2, layers: 1, tied, maxPositions: T })
    compare(model, () => model.loss({ source, decoderInput: ids, labels }, options), () => crossEntropy(model.forward(source, ids), labels, options))
  }
})

test('BART, whose logits have a bias of their own, and T5, which may scale what the layer is given', () => {
  manualSeed(4)
  const bart = new BartForConditionalGeneration({ vocab_size: V, d_model: 16, encoder_layers: 1, decoder_layers: 1, encoder_attention_heads: 2, decoder_attention_heads: 2, encoder_ffn_dim: 16, decoder_ffn_dim: 16, max_position_embeddings: T })
  bart.final_logits_bias.assign(Float32Array.from({ length: V }, (_, i) => i / V))
  compare(bart, () => bart.loss({ source, decoderInput: ids, labels }, options), () => crossEntropy(bart.forward(source, ids), labels, options))
  for (const tie_word_embeddings of [true, false]) {
    const t5 = new T5ForConditionalGeneration({ vocab_size: V, d_model: 16, d_kv: 8, d_ff: 16, num_layers: 1, num_heads: 2, tie_word_embeddings })
    compare(t5, () => t5.loss({ source, decoderInput: ids, labels }, options), () => crossEntropy(t5.forward(source, ids), labels, options))
  }
})

test('an adapter in the place of the output layer takes part in the loss', () => {
  const model = llama(), tuned = getPeftModel(model, { peft_type: 'LORA', r: 2, target_modules: ['lm_head'], init_lora_weights: false })
  compare(model, () => model.loss({ ids, labels }, options), () => crossEntropy(model.forward(ids), labels, options))
  expect([...tuned.namedParameters()].some(([name, p]) => /lm_head.*lora/.test(name) && p.requiresGrad)).toBe(true)
})

test('all logits of a long batch are never there', () => {
  manualSeed(1)
  const model = new GPT2({ vocab_size: 4096, n_positions: 256, n_embd: 8, n_layer: 1, n_head: 2 }), wide = 32 * 256 * 4096 * 4
  const random = new Random(5, 'output layers'), many = () => tensor(Array.from({ length: 32 * 256 }, () => Math.floor(random.uniform() * 4096)), [32, 256], { dtype: 'int32' })
  const [long, next] = [many(), many()]
  const peakOf = (loss: () => Tensor): number => {
    const { bytes } = memory()
    defaultDevice().resetPeakMemory()
    scope(() => { backward(loss()) })
    return memory().peakBytes - bytes
  }
  expect(peakOf(() => model.loss({ ids: long, labels: next }))).toBeLessThan(wide / 5)
  expect(peakOf(() => crossEntropy(model.forward(long), next))).toBeGreaterThan(wide)
})
