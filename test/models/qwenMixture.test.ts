import { describe, expect, test } from '@jest/globals'
import { classOf } from '#lib/models/registry.js'
import { create, decoderTests, lastOf, refusalTests } from './decoderTests.js'

const sizes = { num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 10, shared_expert_intermediate_size: 12 }

decoderTests([
  { name: 'qwen2_moe', architecture: 'Qwen2MoeForCausalLM', options: { ...sizes, use_sliding_window: true, sliding_window: 3 } },
  { name: 'qwen2_moe, a layer of which has no experts', architecture: 'Qwen2MoeForCausalLM', options: { ...sizes, mlp_only_layers: [0], norm_topk_prob: true, qkv_bias: false } },
  { name: 'qwen3_moe with the loss of its routers', architecture: 'Qwen3MoeForCausalLM', options: { ...sizes, head_dim: 8, decoder_sparse_step: 2, output_router_logits: true, router_aux_loss_coef: 0.5 } },
  { name: 'qwen3_moe with windows', architecture: 'Qwen3MoeForCausalLM', options: { ...sizes, attention_bias: true, use_sliding_window: true, sliding_window: 4, tie_word_embeddings: true } },
])

refusalTests('Qwen2MoeForCausalLM', [
  ['a window without a size', { ...sizes, use_sliding_window: true, sliding_window: null }, /layer 0 is 'sliding_attention' with sliding_window null/],
  ['a window that is switched off', { ...sizes, layer_types: ['full_attention', 'sliding_attention'] }, /layer 1 is 'sliding_attention' with sliding_window 4096 and use_sliding_window false/],
  ['layers that are no list', { ...sizes, mlp_only_layers: { a: 1 } }, /mlp_only_layers is \{"a":1\}, expected a list of layers/],
  ['experts without a size', { ...sizes, moe_intermediate_size: 0 }, /moe_intermediate_size is 0, expected a positive integer/],
  ['quantised weights', { ...sizes, quantization_config: {} }, /quantization_config/],
])

describe("Qwen's mixtures", () => {
  test('read how many experts there are under either name', () => {
    const { num_experts, ...rest } = sizes
    expect(lastOf(create('Qwen3MoeForCausalLM', { ...rest, num_local_experts: num_experts }), [1, 2, 3])).toEqual(lastOf(create('Qwen3MoeForCausalLM', sizes), [1, 2, 3]))
  })

  test('say in config.json what their own family reads, and no more', () => {
    const keys = (architecture: string) => { const model = create(architecture, sizes); return Object.keys(classOf(model)!.config(model)) }
    expect(keys('Qwen3MoeForCausalLM').filter(key => /qkv_bias|shared_expert|layer_types|max_window/.test(key))).toEqual([])
    expect(keys('Qwen2MoeForCausalLM')).toEqual(expect.arrayContaining(['qkv_bias', 'shared_expert_intermediate_size', 'max_window_layers']))
    expect(keys('Qwen2MoeForCausalLM')).not.toContain('attention_bias')
  })
})
