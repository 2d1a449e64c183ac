import { describe, expect, test } from '@jest/globals'
import type { DecoderState } from '#lib/models/decoder.js'
import type { Phi3 } from '#lib/models/phi3.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { close, create, decoderTests, ids, lastOf, refusalTests, values } from './decoderTests.js'

const factors = { short_factor: [1, 1.5], long_factor: [2, 7] }
const long = { original_max_position_embeddings: 6, max_position_embeddings: 64, rope_parameters: { rope_type: 'longrope', rope_theta: 10000, ...factors } }

decoderTests([
  { name: 'phi3', architecture: 'Phi3ForCausalLM', options: {} },
  { name: 'phi3, tied, with a window', architecture: 'Phi3ForCausalLM', options: { tie_word_embeddings: true, sliding_window: 3 } },
  { name: 'phi3 whose heads turn in part', architecture: 'Phi3ForCausalLM', options: { head_dim: 8, partial_rotary_factor: 0.5 } },
  { name: 'phi3 that outgrows its short factors', architecture: 'Phi3ForCausalLM', options: long },
])

refusalTests('Phi3ForCausalLM', [
  ['positions of another kind', { rope_parameters: { rope_type: 'linear', factor: 2 } }, /rope_type is "linear", expected 'default' or 'longrope'/],
  ['factors of another number', { ...long, rope_parameters: { ...long.rope_parameters, long_factor: [1, 2, 3] } }, /long_factor has 3 numbers, expected 2/],
  ['missing factors', { rope_parameters: { rope_type: 'longrope', short_factor: [1, 1] } }, /'longrope' needs long_factor/],
  ['heads that cannot be shared', { num_key_value_heads: 3 }, /4 heads of queries cannot share 3/],
  ['a width that the heads do not divide', { hidden_size: 18 }, /head_dim is 4.5/],
  ['quantised weights', { quantization_config: {} }, /quantization_config/],
])

describe('Phi-3', () => {
  test("'su' of older files is LongRoPE, and so is 'yarn' with its factors", () => {
    const expected = lastOf(create('Phi3ForCausalLM', long), [1, 2, 3, 4, 5, 6, 7, 8])
    for (const type of ['su', 'yarn']) {
      const old = { original_max_position_embeddings: 6, max_position_embeddings: 64, rope_theta: 10000, rope_scaling: { type, ...factors } }
      expect(lastOf(create('Phi3ForCausalLM', old), [1, 2, 3, 4, 5, 6, 7, 8])).toEqual(expected)
    }
  })

  test('the length of the short factors is the one beside the rotary parameters, where both have one', () => {
    const both = { ...long, rope_parameters: { ...long.rope_parameters, original_max_position_embeddings: 30 } }
    expect(lastOf(create('Phi3ForCausalLM', both), [1, 2, 3, 4, 5, 6, 7, 8])).toEqual(lastOf(create('Phi3ForCausalLM', long), [1, 2, 3, 4, 5, 6, 7, 8]))
  })

  test('a batch that outgrows the short factors goes on with each row as it is after beams moved, and the ids are forgotten', () => {
    const model = create('Phi3ForCausalLM', long) as Phi3, rows = [[1, 5, 9, 2], [4, 8, 3, 3]]
    scope(() => noGrad(() => {
      const state = model.prepare()
      model.decode(ids(...rows), state)
      state.reorder(tensor(Int32Array.of(1, 1, 0)))
      let logits = model.decode(ids([6], [7], [8]), state)
      for (const more of [2, 3]) logits = model.decode(ids([more], [more], [more]), state)   // 7 tokens: one too many
      const V = model.vocabSize
      ;[[...rows[1]!, 6, 2, 3], [...rows[1]!, 7, 2, 3], [...rows[0]!, 8, 2, 3]].forEach((all, i) => { close(values(logits).slice(i * V, (i + 1) * V), lastOf(model, all)) })
      const before = memory().tensors
      state.dispose()
      expect(before - memory().tensors).toBe(2 * 2)   // keys and values of each layer
    }))
    model.dispose()
  })

  test('tokens are taken back before the short factors are outgrown and behind, but not across, and all new positions are answered', () => {
    const model = create('Phi3ForCausalLM', long) as Phi3, V = model.vocabSize
    scope(() => noGrad(() => {
      const state = model.prepare() as DecoderState
      model.decode(ids([1, 5, 9, 2, 7]), state)
      state.forget(2)
      const logits = values(model.decodeAll(ids([8, 3, 11, 4, 6]), state))   // 8 tokens where 6 are short
      expect(logits.length).toBe(5 * V)
      const all = [1, 5, 9, 8, 3, 11, 4, 6], whole = values(model.eval().forward(ids(all)))
      close(logits, whole.slice(3 * V))
      expect(state.forgettable).toBe(1)
      state.forget(1)
      close(values(model.decode(ids([2]), state)), lastOf(model, [...all.slice(0, 7), 2]))
      const other = model.prepare() as DecoderState
      expect(() => { state.join(other) }).toThrow(/phi3: a batch that runs cannot take rows.*Use generate/)
      state.dispose()
      other.dispose()
    }))
    model.dispose()
  })

  test('drops what its layers add while training, and nothing else', () => {
    const model = create('Phi3ForCausalLM', { resid_pdrop: 0.5, embd_pdrop: 0.9 }).train(), read = () => scope(() => noGrad(() => values(model.forward(ids([1, 2, 3])))))
    expect(read()).not.toEqual(read())
    model.dispose()
    const embedding = create('Phi3ForCausalLM', { embd_pdrop: 0.9 }).train(), plain = create('Phi3ForCausalLM')
    expect(scope(() => noGrad(() => values(embedding.forward(ids([1, 2, 3])))))).toEqual(scope(() => noGrad(() => values(plain.eval().forward(ids([1, 2, 3]))))))
  })
})
