import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { causalCollator, flatCollator } from '#lib/data/collators/causal.js'
import { Random } from '#lib/data/random.js'
import { ConfigError, ShapeError } from '#lib/errors.js'
import { Bloom } from '#lib/models/bloom.js'
import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import { Falcon } from '#lib/models/falcon.js'
import { Gemma } from '#lib/models/gemma.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { GPTJ } from '#lib/models/gptj.js'
import { GPTNeoX } from '#lib/models/gptNeox.js'
import { Llama } from '#lib/models/llama.js'
import { Mixtral } from '#lib/models/mixtral.js'
import { OPT } from '#lib/models/opt.js'
import { Phi3 } from '#lib/models/phi3.js'
import { QwenMixture } from '#lib/models/qwenMixture.js'
import { getPeftModel } from '#lib/peft/index.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { levels } from './recomputed.js'

const sizes = { vocab_size: 40, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, max_position_embeddings: 64, initializer_range: 0.5 }
const models: Readonly<Record<string, () => CausalLanguageModel>> = {
  'GPT-2': () => new GPT2({ vocab_size: 40, n_positions: 16, n_embd: 16, n_layer: 2, n_head: 2, initializer_range: 0.5, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 }),
  'LLaMA': () => new Llama(sizes), 'Qwen2 with a window': () => new Llama({ ...sizes, model_type: 'qwen2', use_sliding_window: true, sliding_window: 3, max_window_layers: 1 }),
  'LLaMA with YaRN': () => new Llama({ ...sizes, rope_parameters: { rope_type: 'yarn', rope_theta: 100, factor: 2, original_max_position_embeddings: 16 } }),
  'Gemma 2': () => new Gemma({ ...sizes, model_type: 'gemma2', query_pre_attn_scalar: 8, sliding_window: 4, attn_logit_softcapping: 2 }),
  'Phi-3': () => new Phi3({ ...sizes, pad_token_id: null }), 'Mixtral': () => new Mixtral({ ...sizes, num_local_experts: 3 }),
  'Qwen3\'s mixture': () => new QwenMixture({ ...sizes, model_type: 'qwen3_moe', num_experts: 3, num_experts_per_tok: 2, moe_intermediate_size: 12 }),
  'GPT-NeoX': () => new GPTNeoX({ ...sizes, rotary_pct: 0.5 }), 'GPT-J': () => new GPTJ({ vocab_size: 40, n_positions: 16, n_embd: 16, n_layer: 2, n_head: 2, rotary_dim: 4, initializer_range: 0.5 }),
  'Falcon': () => new Falcon({ ...sizes, new_decoder_architecture: true, num_kv_heads: 1 }),
}
const examples = [5, 11, 1, 8].map((length, i) => ({ ids: Array.from({ length }, (_, t) => (7 * t + 3 * i * t + i) % 40), counts: Array.from({ length }, (_, t) => t % 4 !== 3) }))

type Batch = Record<'ids' | 'labels', Tensor> & { attentionMask?: Tensor, documentOffsets?: Tensor }
const tensors = (collate: typeof inRows): Batch =>
  Object.fromEntries(Object.entries(collate(examples, new Random(1, 'none')).inputs).map(([name, { data, shape }]) => [name, tensor(data, shape)])) as Batch
const inRows = causalCollator({ padId: 0 }), flat = flatCollator()

function lossAndGradients(model: CausalLanguageModel, batch: () => Batch): { loss: number, gradients: Map<string, Float32Array> } {
  return scope(() => {
    const loss = model.loss(batch(), { reduction: 'sum' })
    backward(loss)
    const gradients = new Map([...model.namedParameters()].map(([name, p]) => [name, (p.grad?.dataSync() as Float32Array | undefined)?.slice() ?? new Float32Array(p.size)]))
    for (const p of model.parameters()) {
      p.grad?.dispose()
      p.grad = undefined
    }
    return { loss: loss.itemSync(), gradients }
  })
}

describe('texts packed into one row', () => {
  test.each(Object.entries(models))('of %s have the loss and the gradients of a row for each', (_, create) => {
    manualSeed(3)
    const model = create()
    for (const activationCheckpointing of levels) {
      model.activationCheckpointing = activationCheckpointing
      const apart = lossAndGradients(model, () => tensors(inRows)), together = lossAndGradients(model, () => tensors(flat))
      expect(Math.abs(together.loss - apart.loss)).toBeLessThan(1e-5 * apart.loss)
      const largest = Math.max(...[...apart.gradients.values()].flatMap(gradient => [...gradient].map(Math.abs)))
      const worst = (name: string, gradient: Float32Array): number => gradient.reduce((m, g, i) => Math.max(m, Math.abs(g - apart.gradients.get(name)![i]!)), 0)
      expect([...together.gradients].filter(([name, gradient]) => !(worst(name, gradient) <= 1e-5 * largest)).map(([name]) => name)).toEqual([])
    }
    model.dispose()
  })

  test('do not see each other: another first text changes nothing in the second', () => {
    manualSeed(1)
    const model = new Llama(sizes), logits = (first: number[]): number[] => scope(() => {
      const y = model.forward(tensor(Int32Array.from([...first, 4, 5, 6]), [1, first.length + 3]), { documentOffsets: tensor(Int32Array.from([0, first.length, first.length + 3]), [3]) })
      return [...y.dataSync() as Float32Array].slice(-3 * 40)
    })
    const wanted = logits([1, 2, 3])
    for (const [i, y] of logits([9, 9, 9, 9, 9, 9, 9]).entries()) expect(Math.abs(y - wanted[i]!)).toBeLessThan(1e-5)
    model.dispose()
  })

  test('are refused where there is no place for them, with what to do instead', () => {
    const offsets = () => tensor(Int32Array.from([0, 2, 4]), [3]), ids = (rows: number) => tensor(new Int32Array(4 * rows), [rows, 4])
    const withRope = new Llama({ ...sizes, rope_parameters: { rope_type: 'dynamic', rope_theta: 1e4, factor: 2 } }), llama = new Llama(sizes)
    for (const model of [withRope, new Bloom({ vocab_size: 40, hidden_size: 16, n_layer: 1, n_head: 2 }), new Falcon({ ...sizes, alibi: true, multi_query: true }),
      new OPT({ vocab_size: 40, hidden_size: 16, ffn_dim: 16, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 8 })])
      expect(() => model.forward(ids(1), { documentOffsets: offsets() })).toThrow(ConfigError)
    expect(() => llama.forward(ids(2), { documentOffsets: offsets() })).toThrow(/expected \[N \+ 1\] int32 for N texts in one row/)
    expect(() => llama.forward(ids(1), { documentOffsets: offsets(), attentionMask: tensor(new Int32Array(4).fill(1), [1, 4]) })).toThrow(ShapeError)
    const prompted = getPeftModel(llama, { peft_type: 'PROMPT_TUNING', num_virtual_tokens: 2 })
    expect(() => prompted.forward(ids(1), { documentOffsets: offsets() })).toThrow(/Give a row for each text/)
  })
})
