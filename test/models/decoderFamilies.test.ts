import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError, ShapeError } from '#lib/errors.js'
import { writeSafetensors } from '#lib/io/safetensorsWriter.js'
import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { GPTNeoXModel } from '#lib/models/gptNeox.js'
import type { OPT } from '#lib/models/opt.js'
import { pretrainedClasses } from '#lib/models/registry.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { levels, recomputedPieces } from './recomputed.js'

// OPT, GPT-NeoX, GPT-J, BLOOM and Falcon. What they compute is compared with transformers by the parity cases; here is what must hold whatever the numbers are.

type Options = Record<string, unknown>
const small: Options = {
  vocab_size: 23, hidden_size: 16, intermediate_size: 20, ffn_dim: 20, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 24, initializer_range: 0.3,
  init_std: 0.3, rotary_dim: 4, dropout: 0, pad_token_id: 0,
}
const make = <M = CausalLanguageModel>(architecture: string, options: Options = {}): M => {
  manualSeed(1)
  return pretrainedClasses.find(known => known.architecture === architecture)!.create({ ...small, ...options }) as unknown as M
}
const ids = (...rows: number[][]): Tensor => tensor(rows, null, { dtype: 'int32' })
const values = (x: Tensor): number[] => Array.from(x.dataSync() as Float32Array)
const logits = (model: CausalLanguageModel, ...rows: number[][]): number[] => scope(() => noGrad(() => values(model.eval().forward(ids(...rows)))))
const apart = (a: number[], b: number[]): number => { expect(a.length).toBe(b.length); return Math.max(...a.map((v, i) => Math.abs(v - b[i]!))) }

const rw = { alibi: true, bias: true, multi_query: false, parallel_attn: false }
const kinds: [kind: string, architecture: string, options: Options][] = [
  ['OPT', 'OPTForCausalLM', {}],
  ['OPT-350m', 'OPTForCausalLM', { do_layer_norm_before: false, word_embed_proj_dim: 12 }],
  ['bare OPT with an output of its own', 'OPTForCausalLM', { enable_bias: false, layer_norm_elementwise_affine: false, tie_word_embeddings: false, pad_token_id: null }],
  ['GPT-NeoX', 'GPTNeoXForCausalLM', { rotary_pct: 0.5 }],
  ['GPT-NeoX in turn, tied', 'GPTNeoXForCausalLM', { use_parallel_residual: false, attention_bias: false, tie_word_embeddings: true, rotary_pct: 1, rope_scaling: { type: 'linear', factor: 2 } }],
  ['GPT-J', 'GPTJForCausalLM', {}],
  ['tied GPT-J', 'GPTJForCausalLM', { tie_word_embeddings: true, rotary_dim: 2, n_inner: 12 }],
  ['BLOOM', 'BloomForCausalLM', {}],
  ['BLOOM behind norms', 'BloomForCausalLM', { apply_residual_connection_post_layernorm: true, tie_word_embeddings: false, hidden_size: 18, num_attention_heads: 6 }],
  ['BLOOM of two ranks', 'BloomForCausalLM', { pretraining_tp: 2, slow_but_exact: true }],
  ['Falcon-7B', 'FalconForCausalLM', {}],
  ['Falcon-40B', 'FalconForCausalLM', { new_decoder_architecture: true, num_kv_heads: 2, tie_word_embeddings: false }],
  ['Falcon-11B', 'FalconForCausalLM', { new_decoder_architecture: true, num_kv_heads: 1, num_ln_in_parallel_attn: 1 }],
  ['Falcon-RW', 'FalconForCausalLM', rw],
  ['Falcon in turn with one key', 'FalconForCausalLM', { parallel_attn: false, bias: true }],
]

describe.each(kinds)('%s', (_, architecture, options) => {
  let folder: string
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warpweft-families-')) })
  afterEach(() => { rmSync(folder, { recursive: true }) })

  test('tokens one by one, and in pieces, give what all at once give', () => {
    const model = make(architecture, options), tokens = [1, 5, 9, 2, 7, 7, 3, 11], all = logits(model, tokens)
    for (const pieces of [tokens.map(t => [t]), [tokens.slice(0, 3), tokens.slice(3, 5), tokens.slice(5)]]) {
      scope(() => noGrad(() => {
        const state = model.prepare()
        let end = 0
        for (const piece of pieces) {
          end += piece.length
          expect(apart(values(model.decode(ids(piece), state)), all.slice((end - 1) * 23, end * 23))).toBeLessThan(1e-5)
        }
        state.dispose()
      }))
    }
    model.dispose()
  })

  test('a prompt that is padded on the left goes on as it does alone, also after rows were reordered', () => {
    const model = make(architecture, options).eval(), prompts = [[4, 8, 2], [7, 1, 3, 5, 9]], next = [[6], [10]]
    const before = memory().tensors
    scope(() => noGrad(() => {
      const state = model.prepare({ attentionMask: ids([0, 0, 1, 1, 1], [1, 1, 1, 1, 1]) })
      model.decode(ids([0, 0, ...prompts[0]!], prompts[1]!), state)
      state.reorder(tensor([1, 0], null, { dtype: 'int32' }))
      const found = values(model.decode(ids(next[1]!, next[0]!), state)), after = values(model.decode(ids([2], [2]), state))
      for (const row of [0, 1]) {
        const text = [...prompts[1 - row]!, ...next[1 - row]!]
        expect(apart(found.slice(row * 23, row * 23 + 23), logits(model, text).slice(-23))).toBeLessThan(1e-5)
        expect(apart(after.slice(row * 23, row * 23 + 23), logits(model, [...text, 2]).slice(-23))).toBeLessThan(1e-5)
      }
      state.dispose()
    }))
    expect(memory().tensors - before).toBeLessThanOrEqual(4)   // tables of rotary positions stay with the model
    model.dispose()
  })

  test('padding that the mask names changes nothing for the tokens before it', () => {
    const model = make(architecture, options).eval()
    const padded = scope(() => noGrad(() => values(model.forward(ids([4, 8, 2, 6, 6, 6]), { attentionMask: ids([1, 1, 1, 0, 0, 0]) }))))
    expect(apart(padded.slice(0, 3 * 23), logits(model, [4, 8, 2]))).toBeLessThan(1e-5)
    model.dispose()
  })

  test('recomputed layers give the same gradients, and a pass leaves nothing', () => {
    const gradients = levels.map(on => {
      const model = make(architecture, { ...options, hidden_dropout: 0.2, attention_dropout: 0.2, dropout: 0.2, resid_pdrop: 0.2, attn_pdrop: 0.2 }).train()
      const batch = { ids: ids([1, 2, 3, 4], [5, 6, 7, 0]), labels: ids([2, 3, 4, -100], [6, 7, -100, -100]), attentionMask: ids([1, 1, 1, 1], [1, 1, 1, 0]) }
      model.activationCheckpointing = on
      manualSeed(7)
      let pieces = 0
      const step = (): void => { scope(() => { const loss = model.loss(batch); pieces = recomputedPieces(loss); backward(loss) }) }
      step()
      expect(on ? pieces > 0 : pieces === 0).toBe(true)
      const found = [...model.namedParameters()].map(([name, p]): [string, number[] | undefined] => [name, p.grad && values(p.grad)]), before = memory().tensors
      step()
      expect(memory().tensors).toBe(before)
      model.dispose()
      for (const t of Object.values(batch)) t.dispose()
      return found
    })
    for (const other of gradients.slice(1)) expect(other).toEqual(gradients[0])
    // A bias that the slow path of BLOOM leaves out is the only weight without a gradient.
    const without = gradients[0]!.filter(([, grad]) => !grad).map(([name]) => name)
    expect(without.every(name => options['slow_but_exact'] === true && /dense(_4h_to_h)?\.bias$/.test(name))).toBe(true)
  })

  test('saved and loaded, it computes the same, and so do its layers alone', async () => {
    const model = make(architecture, options), tokens = [1, 5, 9, 2, 7, 3]
    await saveModel(join(folder, 'model'), model)
    const { model: loaded, config } = await loadModel(join(folder, 'model'))
    expect(config['architectures']).toEqual([architecture])
    expect(logits(loaded as CausalLanguageModel, tokens)).toEqual(logits(model, tokens))
    await saveModel(join(folder, 'layers'), model.decoder)
    const { model: layers } = await loadModel(join(folder, 'layers'))
    const hidden = (decoder: CausalLanguageModel['decoder']): number[] => scope(() => noGrad(() => values(decoder.forward(ids(tokens)))))
    expect(hidden(layers as typeof model.decoder)).toEqual(hidden(model.decoder))
    for (const m of [model, loaded, layers]) m.dispose()
  })
})

describe('what changes training alone', () => {
  test('layers of OPT are left out at their rate while it trains, by the seed, and none of them otherwise', () => {
    const gradients = (rate: number): boolean[] => {
      const model = make<OPT>('OPTForCausalLM', { layerdrop: rate, num_hidden_layers: 6 }).train()
      manualSeed(3)
      scope(() => { backward(model.loss({ ids: ids([1, 2, 3]), labels: ids([2, 3, 4]) })) })
      const found = model.model.decoder.layers.map(layer => layer.fc1.weight.grad !== undefined)
      model.dispose()
      return found
    }
    expect(gradients(0)).toEqual(Array(6).fill(true))
    expect(gradients(1)).toEqual(Array(6).fill(false))
    const half = gradients(0.5)
    expect(new Set(half).size).toBe(2)
    expect(gradients(0.5)).toEqual(half)
    const [kept, dropped] = [0, 1].map(layerdrop => make('OPTForCausalLM', { layerdrop }))
    expect(logits(dropped!, [1, 2, 3])).toEqual(logits(kept!, [1, 2, 3]))
    for (const model of [kept, dropped]) model!.dispose()
  })

  test.each<[string, string, Options, boolean]>([
    ['OPT', 'OPTForCausalLM', { dropout: 0.5 }, true], ['OPT on attention', 'OPTForCausalLM', { attention_dropout: 0.5 }, true],
    ['GPT-NeoX', 'GPTNeoXForCausalLM', { hidden_dropout: 0.5, rotary_pct: 1 }, true], ['GPT-NeoX on attention', 'GPTNeoXForCausalLM', { attention_dropout: 0.5, rotary_pct: 1 }, true],
    ['GPT-J', 'GPTJForCausalLM', { resid_pdrop: 0.5 }, true], ['GPT-J on embeddings', 'GPTJForCausalLM', { embd_pdrop: 0.5 }, true],
    ['GPT-J on attention', 'GPTJForCausalLM', { attn_pdrop: 0.5 }, true],
    ['BLOOM', 'BloomForCausalLM', { hidden_dropout: 0.5 }, true], ['BLOOM on attention', 'BloomForCausalLM', { attention_dropout: 0.5 }, true],
    ['Falcon', 'FalconForCausalLM', { hidden_dropout: 0.5 }, true], ['Falcon-RW on attention', 'FalconForCausalLM', { ...rw, attention_dropout: 0.5 }, true],
    ['Falcon-7B on attention, which has none', 'FalconForCausalLM', { attention_dropout: 0.5 }, false],
  ])('dropout of %s', (_, architecture, options, acts) => {
    const model = make(architecture, options), still = logits(model, [1, 2, 3, 4])
    const trained = scope(() => noGrad(() => values(model.train().forward(ids([1, 2, 3, 4])))))
    expect(apart(still, trained) > 1e-3).toBe(acts)
    expect(logits(model, [1, 2, 3, 4])).toEqual(still)
    model.dispose()
  })
})

describe('other names for the same', () => {
  test("common names of sizes count where a family's own are given as well", () => {
    for (const [architecture, own, common] of [
      ['GPTJForCausalLM', { n_layer: 1, n_embd: 8, n_head: 2, n_positions: 9 }, { num_hidden_layers: 3, hidden_size: 24, num_attention_heads: 3, max_position_embeddings: 11 }],
      ['BloomForCausalLM', { n_layer: 1, hidden_size: 8, n_head: 2 }, { num_hidden_layers: 3, n_embed: 24, num_attention_heads: 3 }],
    ] as const) {
      manualSeed(1)
      const known = pretrainedClasses.find(c => c.architecture === architecture)!, model = known.create({ vocab_size: 23, rotary_dim: 4, ...own, ...common }) as CausalLanguageModel
      expect([model.decoder.layerCount, model.decoder.width]).toEqual([3, 24])
      if (architecture.startsWith('GPTJ')) expect(model.maxPositions).toBe(11)
      expect(Object.keys(known.config(model)).filter(key => key in common && key !== 'hidden_size')).toEqual([])
      model.dispose()
    }
  })

  test('GPT-NeoX takes positions from rope_scaling first, and what it lacks from its own names, not from common ones', () => {
    const hidden = (options: Options): number[] => {
      const model = make<GPTNeoXModel>('GPTNeoXModel', options), y = scope(() => noGrad(() => values(model.forward(ids([1, 2, 3, 4])))))
      model.dispose()
      return y
    }
    const linear = { rope_type: 'linear', factor: 4, rope_theta: 300, partial_rotary_factor: 0.5 }
    expect(hidden({ rotary_emb_base: 300, rotary_pct: 0.5, rope_scaling: { type: 'linear', factor: 4 }, rope_parameters: { rope_type: 'default' } })).toEqual(hidden({ rope_parameters: linear }))
    expect(hidden({ rope_theta: 300, partial_rotary_factor: 0.5, num_attention_heads: 2 })).toEqual(hidden({ num_attention_heads: 2 }))
    expect(apart(hidden({ rope_parameters: { ...linear, factor: 1 } }), hidden({ rope_parameters: linear }))).toBeGreaterThan(1e-3)
  })

  test('files of GPT-NeoX name its output embed_out or lm_head, and hold masks and frequencies in old ones', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'warpweft-neox-'))
    const model = make('GPTNeoXForCausalLM', { rotary_pct: 1 })
    await saveModel(folder, model)
    const expected = logits(model, [1, 2, 3])
    for (const name of ['embed_out.weight', 'lm_head.weight']) {
      await writeSafetensors(join(folder, 'model.safetensors'), [
        ...[...model.stateDict()].map(([own, p]) => ({ name: own === 'embed_out.weight' ? name : own, dtype: 'F32' as const, shape: [...p.shape], data: () => p.dataSync() as Float32Array })),
        ...['attention.bias', 'attention.masked_bias', 'attention.rotary_emb.inv_freq'].map(old =>
          ({ name: `gpt_neox.layers.0.${old}`, dtype: 'F32' as const, shape: [1], data: () => Float32Array.of(1) })),
      ])
      const { model: loaded } = await loadModel(folder)
      expect(logits(loaded as CausalLanguageModel, [1, 2, 3])).toEqual(expected)
      loaded.dispose()
    }
    model.dispose()
    rmSync(folder, { recursive: true })
  })
})

describe('refused', () => {
  test.each<[string, string, Options, RegExp]>([
    ['heads that do not divide the width', 'OPTForCausalLM', { num_attention_heads: 3 }, /OPT: hidden_size 16 is not a multiple of num_attention_heads 3/],
    ['the same', 'GPTNeoXForCausalLM', { num_attention_heads: 3 }, /GPTNeoX: hidden_size 16 is not a multiple/],
    ['the same', 'GPTJForCausalLM', { num_attention_heads: 3 }, /GPTJ: n_embd 16 is not a multiple of n_head 3/],
    ['the same', 'BloomForCausalLM', { num_attention_heads: 3 }, /Bloom: hidden_size 16 is not a multiple of n_head 3/],
    ['the same', 'FalconForCausalLM', { num_attention_heads: 3 }, /Falcon: hidden_size 16 is not a multiple/],
    ['an unknown activation', 'OPTForCausalLM', { activation_function: 'rleu' }, /activation_function is "rleu"; do you mean relu\?/],
    ['no layers', 'BloomForCausalLM', { num_hidden_layers: 0 }, /n_layer is 0, expected a positive integer/],
    ['quantised weights', 'FalconForCausalLM', { quantization_config: { bits: 4 } }, /quantization_config: \{"bits":4\} is not supported/],
    ['a part of a head that is no pairs', 'GPTNeoXForCausalLM', {}, /1 of 4 coordinates of a head turn, expected an even number/],
    ['positions of an unknown kind', 'GPTNeoXForCausalLM', { rope_scaling: { type: 'su' } }, /GPTNeoX: rope_type is "su"/],
    ['an odd number of coordinates', 'GPTJForCausalLM', { rotary_dim: 3 }, /rotary_dim is 3, expected an even number from 2 to 4, the width of a head/],
    ['more coordinates than there are', 'GPTJForCausalLM', { rotary_dim: 6 }, /rotary_dim is 6/],
    ['no number of coordinates', 'GPTJForCausalLM', { rotary_dim: null }, /rotary_dim is null/],
    ['scores that are not scaled', 'GPTJForCausalLM', { scale_attn_weights: false }, /scale_attn_weights: false is not supported/],
    ['no ranks', 'BloomForCausalLM', { pretraining_tp: 0 }, /pretraining_tp is 0, expected a positive integer/],
    ['an order that the new architecture has not', 'FalconForCausalLM', { new_decoder_architecture: true, parallel_attn: false }, /parallel_attn is false, expected true with new_decoder_architecture/],
    ['three norms', 'FalconForCausalLM', { new_decoder_architecture: true, num_ln_in_parallel_attn: 3 }, /num_ln_in_parallel_attn is 3, expected 1 or 2/],
    ['two norms of the old architecture', 'FalconForCausalLM', { num_ln_in_parallel_attn: 2 }, /num_ln_in_parallel_attn is 2, expected 1 or null/],
    ['groups that do not divide the heads', 'FalconForCausalLM', { new_decoder_architecture: true, num_kv_heads: 3 }, /num_attention_heads 4 is not a multiple of num_kv_heads 3/],
    ['groups of the old architecture', 'FalconForCausalLM', { multi_query: false, num_kv_heads: 2 }, /num_kv_heads is 2 with multi_query false, expected 4/],
    ['a part of a head', 'FalconForCausalLM', { rope_parameters: { rope_type: 'linear', factor: 2, partial_rotary_factor: 0.5 } }, /Falcon: partial_rotary_factor is 0.5 with rope_type 'linear', expected 1/],
    ['a residual behind the norm', 'FalconForCausalLM', { apply_residual_connection_post_layernorm: true }, /apply_residual_connection_post_layernorm: true is not supported/],
  ])('%s (%s)', (_, architecture, options, message) => {
    expect(() => make(architecture, options)).toThrow(ConfigError)
    expect(() => make(architecture, options)).toThrow(message)
  })

  test('a text that is longer than the positions of OPT', () => {
    const model = make('OPTForCausalLM', { max_position_embeddings: 3 })
    expect(logits(model, [1, 2, 3])).toHaveLength(3 * 23)
    expect(() => logits(model, [1, 2, 3, 4])).toThrow(ShapeError)
    expect(() => logits(model, [1, 2, 3, 4])).toThrow(/OPT: the sequence has 4 tokens, the model was built for at most 3/)
    model.dispose()
  })
})
