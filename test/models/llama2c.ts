import { readFileSync } from 'node:fs'
import type { LlamaConfig } from '#lib/models/llama.js'

type Weights = Map<string, { shape: readonly number[], data: Float32Array }>

/**
 * Reads the weights of llama2.c (its version 0: seven int32 and float32 after them, each kind of weight for all layers) under the names of transformers.
 * There a pair that turns are neighbours, here halves of a head: rows of queries and keys change places.
 */
export function readLlama2c(path: string): { config: Partial<LlamaConfig>, weights: Weights } {
  const bytes = readFileSync(path), header = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 28)), values = new Float32Array(bytes.buffer.slice(bytes.byteOffset + 28))
  const [C, F, L, H, G, V, P] = [...header] as [number, number, number, number, number, number, number], D = C / H
  const weights: Weights = new Map()
  let at = 0
  const take = (...shape: number[]): Float32Array => values.subarray(at, at += shape.reduce((a, b) => a * b, 1))
  const each = (name: string, shape: number[], change = (data: Float32Array): Float32Array => data): void => {
    for (let l = 0; l < L; l++) weights.set(`model.layers.${l}.${name}.weight`, { shape, data: change(take(...shape)) })
  }
  const halves = (data: Float32Array): Float32Array => Float32Array.from(data, (_, i) => {
    const row = Math.floor(i / C), within = row % D, from = within < D / 2 ? 2 * within : 2 * (within - D / 2) + 1
    return data[(row - within + from) * C + i % C]!
  })
  weights.set('model.embed_tokens.weight', { shape: [V, C], data: take(V, C) })
  each('input_layernorm', [C])
  each('self_attn.q_proj', [H * D, C], halves)
  each('self_attn.k_proj', [G * D, C], halves)
  each('self_attn.v_proj', [G * D, C])
  each('self_attn.o_proj', [C, H * D])
  each('post_attention_layernorm', [C])
  each('mlp.gate_proj', [F, C])
  each('mlp.down_proj', [C, F])
  each('mlp.up_proj', [F, C])
  weights.set('model.norm.weight', { shape: [C], data: take(C) })
  return {
    config: {
      vocab_size: V, hidden_size: C, intermediate_size: F, num_hidden_layers: L, num_attention_heads: H, num_key_value_heads: G, max_position_embeddings: P, rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
    },
    weights,
  }
}

/** The bytes of each token: `<0x0A>` is a byte. */
export function readLlama2cTokens(path: string, count: number): Uint8Array[] {
  const bytes = readFileSync(path), tokens: Uint8Array[] = []
  for (let at = 4; tokens.length < count;) {
    const length = bytes.readInt32LE(at + 4), token = bytes.subarray(at + 8, at + 8 + length), byte = /^<0x([0-9A-F]{2})>$/.exec(token.toString('latin1'))
    tokens.push(byte ? Uint8Array.of(parseInt(byte[1]!, 16)) : token)
    at += 8 + length
  }
  return tokens
}
