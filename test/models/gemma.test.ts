import { describe, expect, test } from '@jest/globals'
import type { Gemma } from '#lib/models/gemma.js'
import { classOf } from '#lib/models/registry.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import { close, create, decoderTests, ids, lastOf, refusalTests, values } from './decoderTests.js'

decoderTests([
  { name: 'gemma', architecture: 'GemmaForCausalLM', options: { head_dim: 8 } },
  { name: 'gemma, untied, with biases', architecture: 'GemmaForCausalLM', options: { head_dim: 6, attention_bias: true, tie_word_embeddings: false, num_key_value_heads: 1 } },
  { name: 'gemma 2', architecture: 'Gemma2ForCausalLM', options: { head_dim: 8, sliding_window: 3, query_pre_attn_scalar: 7, attn_logit_softcapping: 0.8, final_logit_softcapping: 2 } },
  { name: 'gemma 2 without caps', architecture: 'Gemma2ForCausalLM', options: {
    head_dim: 8, attn_logit_softcapping: null, final_logit_softcapping: null, sliding_window: 4, layer_types: ['full_attention', 'sliding_attention'] } },
])

refusalTests('GemmaForCausalLM', [
  ['attention to both sides', { use_bidirectional_attention: true }, /use_bidirectional_attention: true is not supported/],
  ['an activation with a typo', { hidden_act: 'gelu_pytorch_tan' }, /hidden_act is "gelu_pytorch_tan"; do you mean gelu_pytorch_tanh\?/],
  ['quantised weights', { quantization_config: { bits: 4 } }, /quantization_config/],
  ['heads that cannot be shared', { num_key_value_heads: 3 }, /4 heads of queries cannot share 3/],
])
refusalTests('Gemma2ForCausalLM', [
  ['a cap of nothing', { attn_logit_softcapping: 0 }, /attn_logit_softcapping is 0, expected a positive number, or null for none/],
  ['a cap as text', { final_logit_softcapping: '30' }, /final_logit_softcapping is "30", expected a number/],
  ['a scalar below zero', { query_pre_attn_scalar: -1 }, /query_pre_attn_scalar is -1, expected a positive number/],
  ['a window without a size', { sliding_window: null }, /layer 0 is 'sliding_attention' with sliding_window null/],
  ['a layer of no known type', { layer_types: ['full_attention', 'chunked_attention'] }, /layer 1 is 'chunked_attention'/],
  ['an unknown activation', { hidden_activation: 'misch' }, /hidden_activation is "misch"; do you mean mish\?/],
])

describe('Gemma', () => {
  test('scales embeddings by sqrt(C), rounded to the precision of products', () => {
    for (const precision of ['float32', 'bfloat16'] as const) {
      const scaled = scope(() => noGrad(() => autocast(precision, () => {
        const model = create('GemmaForCausalLM', { hidden_size: 3072, num_hidden_layers: 1, intermediate_size: 4, head_dim: 2 }) as Gemma, { weight } = model.model.embed_tokens
        weight.assign(new Float32Array(weight.size).fill(1))
        let first = 0
        model.model.layers[0]!.forward = x => { first = values(x)[0]!; return x }
        model.forward(ids([3]))
        model.dispose()
        return first
      })))
      expect(scaled).toBe(precision === 'float32' ? Math.fround(Math.sqrt(3072)) : 55.5)
    }
  })

  test("takes 'gelu' for the one with tanh, as its first files mean it; Gemma 2 does not", () => {
    const of = (architecture: string, options: object) => lastOf(create(architecture, { head_dim: 8, ...options }), [3, 4, 5])
    expect(of('GemmaForCausalLM', { hidden_act: 'gelu' })).toEqual(of('GemmaForCausalLM', {}))
    expect(of('Gemma2ForCausalLM', { hidden_activation: 'gelu' })).not.toEqual(of('Gemma2ForCausalLM', {}))
  })

  test('2 bounds its logits', () => {
    const model = create('Gemma2ForCausalLM', { head_dim: 8, final_logit_softcapping: 0.5, initializer_range: 3 }), logits = lastOf(model, [3, 4, 5])
    expect(Math.max(...logits.map(Math.abs))).toBeLessThanOrEqual(0.5)
    const free = lastOf(create('Gemma2ForCausalLM', { head_dim: 8, final_logit_softcapping: null, initializer_range: 3 }), [3, 4, 5])
    close(logits, free.map(x => 0.5 * Math.tanh(x / 0.5)))
    model.dispose()
  })

  test('says in config.json what its own family reads, and no more', () => {
    const keys = (architecture: string) => { const model = create(architecture, { head_dim: 8 }); return Object.keys(classOf(model)!.config(model)) }
    expect(keys('GemmaForCausalLM')).toContain('hidden_act')
    expect(keys('GemmaForCausalLM').filter(key => /softcapping|window|layer_types|query_pre/.test(key))).toEqual([])
    expect(keys('Gemma2ForCausalLM')).toEqual(expect.arrayContaining(['hidden_activation', 'sliding_window', 'attn_logit_softcapping', 'query_pre_attn_scalar']))
    expect(keys('Gemma2ForCausalLM')).not.toContain('hidden_act')
  })
})
