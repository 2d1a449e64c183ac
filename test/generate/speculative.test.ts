import { describe, expect, test } from '@jest/globals'
import { ConfigError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import { generateStream } from '#lib/generate/generateStream.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import { PromptCache } from '#lib/generate/promptCache.js'
import { BartForConditionalGeneration } from '#lib/models/bart.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { T5ForConditionalGeneration } from '#lib/models/t5.js'
import { Transformer } from '#lib/models/transformer.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { arbitraryLogits, logProbabilities, TableModel, type LogitsTable } from './tableModel.js'

const V = 6, ending = { eosTokenId: 1, padTokenId: 0 }
/** Between two models: the same texts where `share` is 0, other ones where it is 1. */
const mixed = (a: LogitsTable, b: LogitsTable, share: number): LogitsTable => (tokens, source) => {
  const [x, y] = [a(tokens, source), b(tokens, source)]
  return Float32Array.from({ length: V }, (_, i) => x[i]! * (1 - share) + y[i]! * share)
}

describe('greedy', () => {
  const drafts: [string, (logits: LogitsTable) => GenerationOptions][] = [
    ['a draft model that is right', logits => ({ assistantModel: new TableModel(V, logits), numAssistantTokens: 4, assistantConfidenceThreshold: 0 })],
    ['one that often is', logits => ({ assistantModel: new TableModel(V, mixed(logits, arbitraryLogits(V, 99), 0.4)), numAssistantTokens: 5, numAssistantTokensSchedule: 'heuristic' })],
    ['one that never is', logits => ({ assistantModel: new TableModel(V, (tokens, source) => Array.from(logits(tokens, source), x => -x)), assistantConfidenceThreshold: 0 })],
    ['what was said before', () => ({ promptLookupNumTokens: 4, maxMatchingNgramSize: 3 })],
  ]
  test.each(drafts)('%s: the tokens of ordinary generation', async (_, draft) => {
    for (let seed = 0; seed < 6; seed++) {
      const logits = arbitraryLogits(V, seed, seed % 3)
      for (const options of [{}, { repetitionPenalty: 1.3 }, { noRepeatNgramSize: 2, minNewTokens: 3 }, { stoppingCriteria: [(tokens: readonly number[]) => tokens.length > 8] }] as GenerationOptions[]) {
        const all = { ...ending, ...options, maxNewTokens: 15 }
        const { speculation, ...found } = await generate(new TableModel(V, logits), [2, 3], { ...all, ...draft(logits) })
        expect(found).toEqual(await generate(new TableModel(V, logits), [2, 3], all))
        expect(speculation!.accepted).toBeLessThanOrEqual(speculation!.drafted)
      }
    }
  })

  test('statistics: a right draft saves passes, a wrong one saves none', async () => {
    const logits = arbitraryLogits(V, 4), model = new TableModel(V, logits)
    const run = async (assistant: LogitsTable) => (await generate(model, [2], { maxNewTokens: 20, assistantModel: new TableModel(V, assistant), numAssistantTokens: 4, assistantConfidenceThreshold: 0 })).speculation
    expect(await run(logits)).toEqual({ steps: 4, drafted: 16, accepted: 16 })   // five tokens a pass
    expect(await run(tokens => Array.from(logits(tokens, []), x => -x))).toMatchObject({ steps: 20, accepted: 0 })
  })

  test('a hesitant draft is short', async () => {
    const logits = arbitraryLogits(V, 4), run = (assistantConfidenceThreshold: number) => generate(new TableModel(V, logits), [2],
      { maxNewTokens: 20, assistantModel: new TableModel(V, logits), numAssistantTokens: 8, assistantConfidenceThreshold })
    expect((await run(1)).speculation).toEqual({ steps: 10, drafted: 10, accepted: 10 })
    expect((await run(0)).speculation!.steps).toBe(3)
  })

  test('models with caches, windows among them: the same tokens, scores and streams', async () => {
    manualSeed(3)
    const sizes = { vocab_size: 31, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128, initializer_range: 0.3 }
    const llama = new Llama(sizes).eval(), small = new GPT2({ vocab_size: 31, n_positions: 30, n_embd: 16, n_layer: 1, n_head: 2, initializer_range: 0.3 }).eval()
    const mistral = new Llama({ ...sizes, model_type: 'mistral', sliding_window: 7 }).eval(), translator = new Transformer({ vocabSize: 31, dModel: 32, layers: 1 }).eval()
    const prompt = [4, 8, 15, 16, 23, 4, 8, 15]
    for (const model of [llama, mistral, translator]) await generate(model, prompt, { bosTokenId: 1, maxNewTokens: 60 })   // tables of positions stay with the models
    const before = memory()
    for (const model of [llama, mistral, translator]) {
      for (const draft of [{ promptLookupNumTokens: 5 }, { assistantModel: model, numAssistantTokens: 6, assistantConfidenceThreshold: 0 }, ...(model === translator ? [] : [{ assistantModel: small }])] as GenerationOptions[]) {
        const all: GenerationOptions = { bosTokenId: 1, maxNewTokens: 40, logprobs: true }
        const { speculation, logprobs, ...found } = await generate(model, prompt, { ...all, ...draft }), { logprobs: expected, ...plain } = await generate(model, prompt, all)
        expect(found).toEqual(plain)
        logprobs![0]!.forEach((value, i) => { expect(value).toBeCloseTo(expected![0]![i]!, 4) })
        if (draft.assistantModel === model) expect(speculation!.accepted).toBe(speculation!.drafted)
        const tokens: number[] = []
        for await (const { token } of generateStream(model, prompt, { ...all, ...draft })) tokens.push(token)
        expect([tokens]).toEqual(plain.newTokens)
      }
    }
    // A consumer that has enough in the middle of a draft leaves a prompt cache without its guesses.
    for (const model of [llama, mistral]) {
      using promptCache = new PromptCache()
      const seen: number[] = []
      for await (const { token } of generateStream(model, prompt, { maxNewTokens: 30, assistantModel: small, assistantConfidenceThreshold: 0, promptCache })) if (seen.push(token) === 5) break
      const next = [...prompt, ...seen, 9, 9]
      expect((await generate(model, next, { maxNewTokens: 12, promptCache, promptLookupNumTokens: 3 })).newTokens).toEqual((await generate(model, next, { maxNewTokens: 12 })).newTokens)
    }
    expect([memory().tensors <= before.tensors, memory().bytes <= before.bytes]).toEqual([true, true])   // the collector may take what others left
    for (const model of [llama, mistral, small, translator]) model.dispose()
  })
})

describe('models with an encoder', () => {
  const bartSizes = { vocab_size: 31, d_model: 32, encoder_layers: 1, decoder_layers: 2, encoder_attention_heads: 2, decoder_attention_heads: 2, encoder_ffn_dim: 48, decoder_ffn_dim: 48,
    max_position_embeddings: 64, init_std: 0.3, pad_token_id: 1, bos_token_id: 0, eos_token_id: 2, decoder_start_token_id: 2 }
  const t5Sizes = { vocab_size: 31, d_model: 32, d_kv: 16, d_ff: 48, num_layers: 2, num_heads: 2, initializer_factor: 3, pad_token_id: 0, eos_token_id: 1, decoder_start_token_id: 0 }
  const bart = (options: object = {}) => new BartForConditionalGeneration({ ...bartSizes, ...options }).eval(), t5 = (options: object = {}) => new T5ForConditionalGeneration({ ...t5Sizes, ...options }).eval()
  const families: [string, () => { model: BartForConditionalGeneration | T5ForConditionalGeneration, small: BartForConditionalGeneration | T5ForConditionalGeneration, start: number }][] = [
    ['BART', () => ({ model: bart(), small: bart({ decoder_layers: 1, d_model: 16 }), start: 2 })], ['T5', () => ({ model: t5(), small: t5({ num_layers: 1, d_model: 16 }), start: 0 })],
    ['T5 1.1', () => ({ model: t5({ feed_forward_proj: 'gated-gelu', tie_word_embeddings: false }), small: t5({ num_layers: 1 }), start: 0 })],
  ]
  test.each(families)('%s: the tokens of ordinary generation, from every draft', async (_, make) => {
    manualSeed(5)
    const { model, small, start } = make()
    let accepted = 0, rejected = 0, lookedUp = 0
    for (const [inputs, options] of [
      [{ inputIds: [[5, 9, 2, 7, 3]] }, {}], [{ inputIds: [[5, 9, 2, 7, 3, 1, 1]], attentionMask: [[1, 1, 1, 1, 1, 0, 0]] }, { repetitionPenalty: 1.2 }],
      [{ inputIds: [[8, 8, 4]], decoderInputIds: [[start, 4, 6, 4]] }, { encoderNoRepeatNgramSize: 2, forcedEosTokenId: 7, minNewTokens: 4 }], [{ inputIds: [[12, 13, 14, 15]] }, { eosTokenId: [3, 11], noRepeatNgramSize: 3 }],
    ] as const) {
      const all: GenerationOptions = { decoderStartTokenId: start, maxNewTokens: 24, logprobs: true, ...options } as GenerationOptions
      const { logprobs: expected, ...plain } = await generate(model, inputs as never, all)
      for (const draft of [{ promptLookupNumTokens: 4 }, { promptLookupNumTokens: 3, maxMatchingNgramSize: 1 }, { assistantModel: model, numAssistantTokens: 5, assistantConfidenceThreshold: 0 },
        { assistantModel: small, numAssistantTokens: 3, assistantConfidenceThreshold: 0 }] as GenerationOptions[]) {
        const { speculation, logprobs, ...found } = await generate(model, inputs as never, { ...all, ...draft })
        expect(found).toEqual(plain)
        logprobs![0]!.forEach((value, i) => { expect(value).toBeCloseTo(expected![0]![i]!, 4) })
        if (draft.assistantModel === model) expect(speculation!.accepted).toBe(speculation!.drafted)
        if (draft.promptLookupNumTokens !== undefined) lookedUp += speculation!.drafted
        accepted += speculation!.accepted
        rejected += speculation!.drafted - speculation!.accepted
      }
    }
    expect([accepted > 0, rejected > 0, lookedUp > 0]).toEqual([true, true, true])   // both ways were gone, by both kinds of draft
    for (const each of [model, small]) each.dispose()
  })

  test('a draft model that cannot read the source is refused', async () => {
    manualSeed(6)
    const model = bart(), decoder = new GPT2({ vocab_size: 31, n_positions: 64, n_embd: 16, n_layer: 1, n_head: 2 }).eval(), short = bart({ max_position_embeddings: 8 })
    const all = { maxNewTokens: 4, decoderStartTokenId: 2 }, source = [[5, 9, 2, 7, 3, 4, 4, 4, 4, 2]]
    await expect(generate(model, source, { ...all, assistantModel: decoder })).rejects.toThrow(/assistantModel has no encoder, the model has an encoder/)
    await expect(generate(decoder, [[5, 9]], { maxNewTokens: 4, assistantModel: model })).rejects.toThrow(/assistantModel has an encoder, the model has no encoder.*the same kind/)
    await expect(generate(model, source, { ...all, assistantModel: short })).rejects.toThrow(/the source has 10 tokens, and assistantModel positions for 8/)
    for (const each of [model, decoder, short]) each.dispose()
  })
})

describe('sampled', () => {
  const logits = arbitraryLogits(V, 7, 0.5), most = 3
  /** Probabilities of all texts of at most three tokens. */
  function exact(options: { temperature: number }): Map<string, number> {
    const found = new Map<string, number>()
    const extend = (tokens: number[], probability: number): void => {
      if (tokens.length === most + 1 || (tokens.length > 1 && tokens.at(-1) === 1)) { found.set(tokens.slice(1).join(' '), probability); return }
      logProbabilities(Array.from(logits(tokens, []), x => x / options.temperature)).forEach((value, token) => { extend([...tokens, token], probability * Math.exp(value)) })
    }
    extend([2], 1)
    return found
  }

  test.each<[string, GenerationOptions]>([
    ['a draft that differs a little', { assistantModel: new TableModel(V, mixed(logits, arbitraryLogits(V, 55), 0.3)), numAssistantTokens: 2, assistantConfidenceThreshold: 0 }],
    ['a draft that differs much, and stops where it is not sure', { assistantModel: new TableModel(V, arbitraryLogits(V, 56)), numAssistantTokens: 3, assistantConfidenceThreshold: 0.3 }],
    ['words looked up', { promptLookupNumTokens: 2 }],
  ])('%s: the distribution is the exact one', async (_, draft) => {
    const runs = 1500, temperature = 0.8, seen = new Map<string, number>(), prompt = draft.assistantModel ? [2] : [2, 3, 4, 2]
    const table: LogitsTable = draft.assistantModel ? logits : tokens => logits([2, ...tokens.slice(4)], [])
    const model = new TableModel(V, table)
    let accepted = 0, rejected = 0
    for (let seed = 0; seed < runs; seed++) {
      const { newTokens: [tokens], speculation } = await generate(model, prompt, { ...ending, ...draft, doSample: true, temperature, seed, maxNewTokens: most })
      seen.set(tokens!.join(' '), (seen.get(tokens!.join(' ')) ?? 0) + 1)
      accepted += speculation!.accepted
      rejected += speculation!.drafted - speculation!.accepted
    }
    expect(Math.min(accepted, rejected)).toBeGreaterThan(runs / 20)   // both ways were gone
    // Pearson's statistic over texts that are expected five times at least, the others together: mean = degrees of freedom, variance twice that.
    const expected = exact({ temperature }), cells: [number, number][] = []
    let rare: [number, number] = [0, 0]
    for (const [text, probability] of expected) {
      const cell: [number, number] = [seen.get(text) ?? 0, probability * runs]
      if (cell[1] >= 5) cells.push(cell)
      else rare = [rare[0] + cell[0], rare[1] + cell[1]]
    }
    if (rare[1] >= 5) cells.push(rare)
    expect([...seen.keys()].filter(text => !expected.has(text))).toEqual([])
    const statistic = cells.reduce((sum, [n, e]) => sum + (n - e) ** 2 / e, 0), freedom = cells.length - 1
    expect(statistic).toBeLessThan(freedom + 4 * Math.sqrt(2 * freedom))
    expect(statistic).toBeGreaterThan(freedom - 4 * Math.sqrt(2 * freedom))
  })

  test('the same seed gives the same tokens, and processors hold', async () => {
    const options: GenerationOptions = { ...ending, doSample: true, topK: 3, suppressTokens: [4], maxNewTokens: 12, promptLookupNumTokens: 3, seed: 4 }
    const once = await generate(new TableModel(V, logits), [2, 3, 2], options)
    expect(await generate(new TableModel(V, logits), [2, 3, 2], options)).toEqual(once)
    expect(once.newTokens[0]).not.toContain(4)
  })
})

test('what does not go with guesses is refused', async () => {
  const model = new TableModel(V, arbitraryLogits(V, 1)), refused = async (options: GenerationOptions, message: RegExp, prompts: number[][] = [[2]]) => {
    const result = generate(model, prompts, { maxNewTokens: 3, ...options })
    await expect(result).rejects.toThrow(ConfigError)
    await expect(result).rejects.toThrow(message)
  }
  await refused({ assistantModel: new TableModel(V + 1, arbitraryLogits(V + 1, 1)) }, /vocabulary of 7/)
  await refused({ promptLookupNumTokens: 2, numBeams: 2 }, /one sequence/)
  await refused({ promptLookupNumTokens: 2 }, /one prompt/, [[2], [3]])
  await refused({ promptLookupNumTokens: 2, assistantModel: model }, /one of them/)
  await refused({ promptLookupNumTokens: 0 }, /promptLookupNumTokens/)
  const plain = Object.assign(new TableModel(V, arbitraryLogits(V, 1)), { decodeAll: undefined })
  await expect(generate(plain as unknown as TableModel, [2], { maxNewTokens: 3, promptLookupNumTokens: 2 })).rejects.toThrow(/cannot check guesses/)
})
