import { describe, expect, test } from '@jest/globals'
import { ConfigError, ShapeError } from '#lib/errors.js'
import { GenerationEngine } from '#lib/generate/engine/generationEngine.js'
import { generate } from '#lib/generate/generate.js'
import type { GenerationInputs } from '#lib/generate/inputs.js'
import { Llama } from '#lib/models/llama.js'
import { manualSeed } from '#lib/tensor/random.js'
import { memory } from '#lib/tensor/device.js'
import { arbitraryLogits, logProbabilities, TableModel } from './tableModel.js'

const V = 7, table = arbitraryLogits(V, 4), model = new TableModel(V, table)

/** By the definition, one token after the other. */
function guided(prompt: readonly number[], negative: readonly number[], scale: number, count: number): number[] {
  const tokens: number[] = []
  for (let i = 0; i < count; i++) {
    const c = logProbabilities(table([...prompt, ...tokens], [])), n = logProbabilities(table([...negative, ...tokens], []))
    const mixed = Array.from(c, (value, j) => n[j]! + scale * (value - n[j]!))
    tokens.push(mixed.indexOf(Math.max(...mixed)))
  }
  return tokens
}

describe('guidance', () => {
  test.each([0, 0.5, 1.5, 3, -1])('of scale %j chooses by what speaks for the prompt and not for the other', async guidanceScale => {
    const prompts = [[1, 2, 3], [4, 5, 6]], negatives = [[6, 1], [2, 2]]
    const { newTokens } = await generate(model, { inputIds: prompts, negativePromptIds: negatives }, { guidanceScale, maxNewTokens: 9 })
    expect(newTokens).toEqual(prompts.map((prompt, i) => guided(prompt, negatives[i]!, guidanceScale, 9)))
    const alone = await generate(model, prompts, { guidanceScale, maxNewTokens: 9 })   // the last token of the prompt stands in for a negative one
    expect(alone.newTokens).toEqual(prompts.map(prompt => guided(prompt, prompt.slice(-1), guidanceScale, 9)))
  })

  test('goes with sequences that end early, several samples and prompts of different lengths, and frees what it took', async () => {
    manualSeed(1)
    const llama = new Llama({ vocab_size: 20, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 2, initializer_range: 0.6 })
    const inputs = { inputIds: [[1, 2, 3], [4]], negativePromptIds: [[5], [6, 7, 8, 9]] }, options = { guidanceScale: 2, maxNewTokens: 6, doSample: true, seed: 3, eosTokenId: [3, 7, 11, 15] }
    const together = await generate(llama, inputs, { ...options, numReturnSequences: 3 })
    expect(together.newTokens).toHaveLength(6)
    expect(new Set(together.newTokens.map(tokens => tokens.length)).size).toBeGreaterThan(1)
    const before = memory().bytes, greedy = { ...options, doSample: false }
    const both = await generate(llama, inputs, greedy)
    for (const [i, inputIds] of inputs.inputIds.entries())
      expect((await generate(llama, { inputIds: [inputIds], negativePromptIds: [inputs.negativePromptIds[i]!] }, greedy)).newTokens[0]).toEqual(both.newTokens[i])
    expect(memory().bytes).toBe(before)
    llama.dispose()
  })

  test.each<[string, GenerationInputs, object, RegExp]>([
    ['beams', { inputIds: [[1]] }, { guidanceScale: 2, numBeams: 2 }, /does not go with numBeams/], ['raw logits', { inputIds: [[1]] }, { guidanceScale: 2, outputLogits: true }, /outputLogits/],
    ['guesses', { inputIds: [[1]] }, { guidanceScale: 2, promptLookupNumTokens: 2 }, /promptLookupNumTokens/], ['no number', { inputIds: [[1]] }, { guidanceScale: NaN }, /finite number, not NaN/],
    ['a negative prompt without a scale', { inputIds: [[1]], negativePromptIds: [[2]] }, {}, /add guidanceScale/],
    ['another number of negative prompts', { inputIds: [[1], [2]], negativePromptIds: [[2]] }, { guidanceScale: 2 }, /has 1 rows, expected 2/],
    ['a token that the model has not', { inputIds: [[1]], negativePromptIds: [[9]] }, { guidanceScale: 2 }, /negativePromptIds: 9 in row 0/],
    ['more than there are positions for', { inputIds: [[1]], negativePromptIds: [new Array<number>(64).fill(1)] }, { guidanceScale: 2, maxNewTokens: 5 }, /negative prompt of 64 tokens and 5 new ones/],
  ])('%s is refused', async (_, inputs, options, message) => {
    await expect(generate(model, inputs, { maxNewTokens: 2, ...options })).rejects.toThrow(message)
  })

  test('is refused with an encoder, a mask of another shape, and in the engine', async () => {
    const encoder = new TableModel(V, table, { encoder: true })
    await expect(generate(encoder, [[1]], { guidanceScale: 2, maxNewTokens: 2, decoderStartTokenId: 0 })).rejects.toThrow(ConfigError)
    await expect(generate(encoder, { inputIds: [[1]], negativePromptIds: [[1]] }, { maxNewTokens: 2, decoderStartTokenId: 0 })).rejects.toThrow(/without an encoder/)
    await expect(generate(model, { inputIds: [[1]], negativePromptIds: [[1, 2]], negativePromptAttentionMask: [[1]] }, { guidanceScale: 2, maxNewTokens: 2 })).rejects.toThrow(ShapeError)
    const engine = new GenerationEngine(model)
    await expect((async () => { for await (const token of engine.submit([1], { guidanceScale: 2, maxNewTokens: 2 })) void token })()).rejects.toThrow(/guidance/)
    engine.close()
  })
})
