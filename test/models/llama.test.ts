import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError } from '#lib/errors.js'
import { Llama, type LlamaConfig, LlamaModel } from '#lib/models/llama.js'
import { ropeFrequencies, ropeParameters } from '#lib/nn/rope.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { levels, recomputedPieces } from './recomputed.js'

const small = { vocab_size: 23, hidden_size: 16, intermediate_size: 20, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 32, initializer_range: 0.3 }
const make = (options: Partial<LlamaConfig> & Record<string, unknown> = {}): Llama => { manualSeed(1); return new Llama({ ...small, ...options }) }
const ids = (...rows: number[][]) => tensor(rows, null, { dtype: 'int32' })
const logits = (model: Llama, ...tokens: number[]): number[] => scope(() => noGrad(() => Array.from(model.eval().forward(ids(tokens)).dataSync() as Float32Array)))
const kinds: [string, Partial<LlamaConfig> & Record<string, unknown>][] = [
  ['llama', {}], ['llama, tied, dynamic positions', { tie_word_embeddings: true, max_position_embeddings: 4, rope_parameters: { rope_type: 'dynamic', factor: 2 } }],
  ['mistral with a window', { model_type: 'mistral', sliding_window: 3 }], ['qwen2', { model_type: 'qwen2', use_sliding_window: true, sliding_window: 3, max_window_layers: 1 }],
  ['qwen3', { model_type: 'qwen3', head_dim: 8, attention_bias: true }],
]

describe('Llama', () => {
  test.each(kinds.filter(([name]) => !name.includes('dynamic')))('%s: tokens one by one, and in two pieces, give what all at once give', (_, options) => {
    const model = make(options), tokens = [1, 5, 9, 2, 7, 7, 3, 11], all = logits(model, ...tokens)
    for (const pieces of [tokens.map(t => [t]), [tokens.slice(0, 3), tokens.slice(3)]]) {
      scope(() => noGrad(() => {
        const state = model.prepare()
        let last: number[] = []
        for (const piece of pieces) last = Array.from(model.decode(ids(piece), state).dataSync() as Float32Array)
        expect(Math.max(...last.map((v, i) => Math.abs(v - all[all.length - 23 + i]!)))).toBeLessThan(1e-5)
        state.dispose()
      }))
    }
    model.dispose()
  })

  test('padding that the mask names changes nothing for the tokens before it', () => {
    const model = make().eval()
    const padded = scope(() => noGrad(() => Array.from(model.forward(ids([4, 8, 2, 6, 6, 6]), { attentionMask: ids([1, 1, 1, 0, 0, 0]) }).dataSync() as Float32Array)))
    const alone = logits(model, 4, 8, 2)
    expect(Math.max(...alone.map((v, i) => Math.abs(v - padded[i]!)))).toBeLessThan(1e-5)
    model.dispose()
  })

  test('recomputed layers give the same gradients, and a pass leaves nothing', () => {
    const gradients = levels.map(on => {
      const model = make({ model_type: 'qwen3' }), batch = { ids: ids([1, 2, 3, 4]), labels: ids([2, 3, 4, -100]) }
      model.activationCheckpointing = on
      let pieces = 0
        const step = () => { scope(() => { const loss = model.loss(batch); pieces = recomputedPieces(loss); backward(loss) }) }
      step()
      expect(pieces).toBe(on ? model.decoder.layerCount : 0)
      const found = model.parameters().map(p => Array.from(p.grad!.dataSync() as Float32Array)), before = memory().tensors
      step()
      expect(memory().tensors).toBe(before)
      model.dispose()
      for (const t of Object.values(batch)) t.dispose()
      return found
    })
    for (const other of gradients.slice(1)) expect(other).toEqual(gradients[0])
  })

  test('recomputed layers find the positions of their own pass, though a longer one has come since', () => {
    const gradients = [false, true].map(longer => {
      const model = make({ max_position_embeddings: 4, rope_parameters: { rope_type: 'dynamic', factor: 2 } })
      model.activationCheckpointing = true
      scope(() => {
        const loss = model.loss({ ids: ids([1, 2, 3, 4, 5, 6]), labels: ids([2, 3, 4, 5, 6, -100]) })
        if (longer) noGrad(() => model.forward(ids(Array.from({ length: 80 }, (_, i) => i % 23))))
        backward(loss)
      })
      const found = model.parameters().map(p => Array.from(p.grad!.dataSync() as Float32Array))
      model.dispose()
      return found
    })
    expect(gradients[1]).toEqual(gradients[0])
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['heads that cannot be shared', { num_key_value_heads: 3 }, /4 heads of queries cannot share 3/],
    ['a width that the heads do not divide', { hidden_size: 18 }, /head_dim is 4.5/],
    ['an activation with a typo', { hidden_act: 'sliu' }, /hidden_act is "sliu"; do you mean silu\?/],
    ['a number as text', { num_hidden_layers: '2' }, /num_hidden_layers is "2", expected a number/],
    ['no layers', { num_hidden_layers: 0 }, /num_hidden_layers is 0, expected a positive integer/],
    ['quantised weights', { quantization_config: { bits: 4 } }, /quantization_config: \{"bits":4\} is not supported/],
    ['positions of an unknown kind', { rope_scaling: { type: 'su' } }, /rope_type is "su", expected one of: default, linear/],
    ['positions without their factor', { rope_parameters: { rope_type: 'linear' } }, /rope_type 'linear' needs factor/],
    ['a window without a size', { model_type: 'qwen2', layer_types: ['sliding_attention', 'full_attention'], sliding_window: null }, /layer 0 is 'sliding_attention' with sliding_window null/],
    ['a model of another family', { model_type: 'bert' }, /model_type is "bert", expected one of: llama, mistral, qwen2, qwen3/],
  ])('%s: a clear error', (_, options, message) => {
    expect(() => make(options)).toThrow(ConfigError)
    expect(() => make(options)).toThrow(message)
  })
})

describe('a directory', () => {
  let folder: string
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warpweft-llama-')) })
  afterEach(() => { rmSync(folder, { recursive: true }) })

  test.each(kinds)('%s: saved and loaded, it computes the same', async (_, options) => {
    const model = make(options), tokens = [1, 5, 9, 2, 7, 3]
    await saveModel(join(folder, 'model'), model)
    const { model: loaded, config } = await loadModel(join(folder, 'model'))
    expect(logits(loaded as Llama, ...tokens)).toEqual(logits(model, ...tokens))
    expect(config['model_type']).toBe(model.config.model_type)
    expect(Object.keys(config).filter(key => /window|layer_types/.test(key))).toEqual(
      { llama: [], mistral: ['sliding_window'] }[model.config.model_type as string] ?? ['sliding_window', 'use_sliding_window', 'max_window_layers'])
    model.dispose()
    loaded.dispose()
  })

  test('holds the layers alone, without the prefix that they have in a model', async () => {
    manualSeed(2)
    const model = new LlamaModel(small)
    await saveModel(join(folder, 'layers'), model)
    const { model: loaded, config } = await loadModel(join(folder, 'layers'))
    expect(config['architectures']).toEqual(['LlamaModel'])
    expect(loaded).toBeInstanceOf(LlamaModel)
    expect([...loaded.stateDict().keys()]).toContain('layers.0.self_attn.q_proj.weight')
    expect(loaded.parameters().map(p => Array.from(p.dataSync() as Float32Array))).toEqual(model.parameters().map(p => Array.from(p.dataSync() as Float32Array)))
    model.dispose()
    loaded.dispose()
  })
})

// What transformers 5.23 computes for R = 8 (`ROPE_INIT_FUNCTIONS`).
describe('rotary frequencies', () => {
  const base = { max_position_embeddings: 64 }
  const close = (name: string, config: Record<string, unknown>, length: number, expected: number[], scale = 1): void => {
    const found = ropeFrequencies(ropeParameters('test', { ...base, ...config }), 8, length)
    expect({ name, scale: found.scale.toFixed(5) }).toEqual({ name, scale: scale.toFixed(5) })
    found.frequencies.forEach((f, i) => { expect(Math.abs(f / expected[i]! - 1)).toBeLessThan(1e-5) })
  }

  test('older and newer configurations say the same', () => {
    const old = ropeParameters('test', { ...base, rope_theta: 500, rope_scaling: { type: 'linear', factor: 2 } })
    expect(old).toEqual(ropeParameters('test', { ...base, rope_parameters: { rope_type: 'linear', rope_theta: 500, factor: 2 } }))
    expect(ropeParameters('test', {}, 1e6).theta).toBe(1e6)
  })

  test('of each kind', () => {
    close('linear, 10', { rope_parameters: { rope_type: 'linear', factor: 4.0 } }, 10, [0.25, 0.025, 0.0025, 0.00025])
    close('dynamic, 100', { rope_parameters: { rope_type: 'dynamic', factor: 2.0 } }, 100, [1, 0.0777822, 0.00605007, 0.000470588])
    close('dynamic, 10', { rope_parameters: { rope_type: 'dynamic', factor: 2.0 } }, 10, [1, 0.1, 0.01, 0.001])
    close('llama3, 10', { rope_parameters: { rope_type: 'llama3', factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 16 } }, 10, [0.576056, 0.0125, 0.00125, 0.000125])
    close('yarn, 10', { rope_parameters: { rope_type: 'yarn', factor: 4.0, original_max_position_embeddings: 16 } }, 10, [1, 0.025, 0.0025, 0.00025], 1.13863)
    close('longrope, 10', { rope_parameters: { rope_type: 'longrope', short_factor: [1.0, 1.5, 2.0, 3.0], long_factor: [2.0, 3.0, 5.0, 9.0], factor: 4.0, original_max_position_embeddings: 16 } }, 10, [1, 0.0666667, 0.005, 0.000333333], 1.22474)
    close('longrope, 20', { rope_parameters: { rope_type: 'longrope', short_factor: [1.0, 1.5, 2.0, 3.0], long_factor: [2.0, 3.0, 5.0, 9.0], factor: 4.0, original_max_position_embeddings: 16 } }, 20, [0.5, 0.0333333, 0.002, 0.000111111], 1.22474)
  })
})
