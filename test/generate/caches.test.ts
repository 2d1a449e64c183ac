import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { ConfigError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import { generateStream } from '#lib/generate/generateStream.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import { PromptCache } from '#lib/generate/promptCache.js'
import { DecoderState } from '#lib/models/decoder.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { Transformer } from '#lib/models/transformer.js'
import type { DecodingState } from '#lib/nn/decoding.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { arbitraryLogits, TableModel } from './tableModel.js'

const V = 29
const sizes = { vocab_size: V, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 256,
  initializer_range: 0.4 }
const prompts = [[4, 8, 15, 16, 23], [9], [22, 3, 5, 2, 11, 27, 1, 6, 7, 3, 19, 20, 21, 5]]

let llama: Llama, mistral: Llama, gpt2: GPT2
beforeAll(() => {
  manualSeed(5)
  llama = new Llama({ ...sizes, model_type: 'llama' }).eval()
  mistral = new Llama({ ...sizes, model_type: 'mistral', sliding_window: 6 }).eval()
  gpt2 = new GPT2({ vocab_size: V, n_positions: 128, n_embd: 32, n_layer: 2, n_head: 4, initializer_range: 0.3 }).eval()
})
afterAll(() => { for (const model of [llama, mistral, gpt2]) model.dispose() })

/** Tokens by the whole forward pass, each time anew. */
function uncached(model: Llama | GPT2, prompt: readonly number[], count: number): number[] {
  const tokens = [...prompt]
  for (let i = 0; i < count; i++) {
    const logits = noGrad(() => scope(() => Array.from(model.forward(tensor([tokens], null, { dtype: 'int32' })).dataSync() as Float32Array).slice(-V)))
    tokens.push(logits.indexOf(Math.max(...logits)))
  }
  return tokens.slice(prompt.length)
}

/** Runs `work` and tells how many tokens the model was fed, and the greatest memory that a state's caches took. */
async function watched<T>(model: Llama | GPT2, work: () => Promise<T>): Promise<{ result: T, fed: number[], bytes: number }> {
  const fed: number[] = [], own = model.decode.bind(model)
  let bytes = 0
  model.decode = (ids: Tensor, state: DecodingState) => {
    fed.push(ids.shape[1]!)
    const logits = own(ids, state)
    bytes = Math.max(bytes, state.bytes ?? 0)
    return logits
  }
  try {
    return { result: await work(), fed, bytes }
  } finally {
    model.decode = own
  }
}

describe('kinds of caches', () => {
  test.each<[string, GenerationOptions]>([['greedy', {}], ['sampled', { doSample: true, seed: 3, numReturnSequences: 2 }], ['beams', { numBeams: 3 }]])(
    'a static cache gives the tokens of one that grows: %s', async (_, options) => {
      for (const model of [llama, mistral, gpt2]) {
        const grown = await generate(model, prompts, { ...options, maxNewTokens: 20 })
        expect(await generate(model, prompts, { ...options, maxNewTokens: 20, cacheImplementation: 'static' })).toEqual(grown)
      }
    })

  test('static: the memory is that of maxCacheLen from the first token on', async () => {
    const { bytes } = await watched(llama, () => generate(llama, [2, 3], { maxNewTokens: 1, cacheImplementation: 'static', maxCacheLen: 100 }))
    expect(bytes).toBe(2 /* layers */ * 2 * 100 * 2 /* groups */ * 8 * 4)
    await expect(generate(llama, [2, 3], { maxNewTokens: 9, cacheImplementation: 'static', maxCacheLen: 9 })).rejects.toThrow(/maxCacheLen must be at least 10/)
    await expect(generate(llama, [2, 3], { maxNewTokens: 9, maxCacheLen: 30 })).rejects.toThrow(ConfigError)
  })

  test('a sliding window: the tokens of the whole pass, also from padded prompts, in memory bounded by the window', async () => {
    const { result, bytes } = await watched(mistral, () => generate(mistral, prompts, { maxNewTokens: 60 }))
    expect(result.newTokens).toEqual(prompts.map(prompt => uncached(mistral, prompt, 60)))
    const positions = 5 + 16   // the window's, and what is dropped at a time
    expect(bytes).toBe(2 * 2 * 3 /* rows */ * positions * 2 * 8 * 4)
    const full = await watched(llama, () => generate(llama, prompts, { maxNewTokens: 60 }))
    expect(full.bytes).toBeGreaterThanOrEqual(2 * 2 * 3 * 73 * 2 * 8 * 4)
    expect((await generate(mistral, prompts, { maxNewTokens: 12, numBeams: 2 })).newTokens)
      .toEqual((await Promise.all(prompts.map(prompt => generate(mistral, [prompt], { maxNewTokens: 12, numBeams: 2 })))).flatMap(({ newTokens }) => newTokens))
  })

  test('int8: logits stay close, in little more than a fourth of the memory', async () => {
    for (const model of [llama, mistral, gpt2]) {
      const run = (options: GenerationOptions) => watched(model, () => generate(model, [prompts[2]!], { maxNewTokens: 1, outputLogits: true, ...options }))
      const [exact, coded] = [await run({}), await run({ cacheImplementation: 'quantized' })]
      const [a, b] = [exact.result.logits![0]![0]!, coded.result.logits![0]![0]!], size = Math.max(...a.map(Math.abs))
      expect(Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))).toBeLessThan(0.02 * size)
      expect(coded.bytes / exact.bytes).toBeCloseTo(0.25 + 1 / 8, 5)   // heads are 8 wide here: a scale costs as much as four codes
      const { newTokens } = await generate(model, prompts, { maxNewTokens: 8, numBeams: 2, cacheImplementation: 'quantized' })
      expect(newTokens.map(tokens => tokens.length)).toEqual([8, 8, 8])
    }
  })

  test('of encoder-decoder models too, and refused where there is one kind only', async () => {
    const model = new Transformer({ vocabSize: V, dModel: 32, layers: 1 }).eval(), options = { bosTokenId: 1, maxNewTokens: 8 }
    expect(await generate(model, prompts, { ...options, cacheImplementation: 'static' })).toEqual(await generate(model, prompts, options))
    model.dispose()
    await expect(generate(new TableModel(V, arbitraryLogits(V, 1)), [2], { maxNewTokens: 2, cacheImplementation: 'quantized' })).rejects.toThrow(/'quantized' is not there for TableModel/)
    await expect(generate(llama, [2], { maxNewTokens: 2, cacheImplementation: 'offloaded' as 'static' })).rejects.toThrow(/dynamic, static, quantized/)
  })
})

describe('a prompt cache', () => {
  const turns = [[4, 8, 15], [16, 23, 3], [9, 9]]

  test.each<[string, GenerationOptions]>([['greedy', {}], ['sampled', { doSample: true, seed: 9 }], ['static', { cacheImplementation: 'static', maxCacheLen: 80 }], ['int8', { cacheImplementation: 'quantized' }]])(
    'a conversation that goes on computes its new part alone, and says the same: %s', async (_, options) => {
      for (const model of [llama, mistral, gpt2]) {
        using promptCache = new PromptCache()
        let text: number[] = []
        for (const [turn, said] of turns.entries()) {
          const held = text.length === 0 ? 0 : text.length - 1   // all but the last token was fed
          text = [...text, ...said]
          const all = { ...options, maxNewTokens: 7 }
          const { result, fed } = await watched(model, () => generate(model, text, { ...all, promptCache }))
          if (options.cacheImplementation !== 'quantized') expect(result.newTokens).toEqual((await generate(model, text, all)).newTokens)
          expect([turn, fed[0]]).toEqual([turn, text.length - held])
          text = result.sequences[0]!
          expect(promptCache.tokens).toEqual(text.slice(0, -1))
        }
        expect(promptCache.bytes).toBeGreaterThan(0)
      }
    })

  test('what differs is computed again: from where it differs on, or all of it where the cache cannot go back so far', async () => {
    for (const [model, backwards] of [[llama, true], [gpt2, true], [mistral, false]] as const) {
      using promptCache = new PromptCache()
      const first = await generate(model, prompts[2]!, { maxNewTokens: 40, promptCache })
      const edited = [...first.sequences[0]!.slice(0, 20), 1, 2, 3]
      const { result, fed } = await watched(model, () => generate(model, edited, { maxNewTokens: 5, promptCache }))
      expect(result.newTokens).toEqual([uncached(model, edited, 5)])
      expect(fed[0]).toBe(backwards ? edited.findIndex((token, i) => token !== first.sequences[0]![i]) === 20 ? 3 : 2 : 23)
      const again = await watched(model, () => generate(model, edited, { maxNewTokens: 5, promptCache }))
      expect(again.result.newTokens).toEqual(result.newTokens)
    }
  })

  test('holds what was said until a consumer had enough, and nothing after an error; all memory comes back', async () => {
    const before = memory()
    const promptCache = new PromptCache()
    const seen: number[] = []
    for await (const { token } of generateStream(llama, prompts[0]!, { maxNewTokens: 30, promptCache })) {
      seen.push(token)
      if (seen.length === 4) break
    }
    const text = [...prompts[0]!, ...seen]
    expect(promptCache.tokens).toEqual(text.slice(0, promptCache.tokens.length))
    expect(promptCache.tokens.length).toBeGreaterThanOrEqual(text.length - 1)
    expect((await generate(llama, [...text, 7], { maxNewTokens: 6, promptCache })).newTokens).toEqual([uncached(llama, [...text, 7], 6)])
    const failing = { maxNewTokens: 6, promptCache, logitsProcessors: [() => { throw new Error('mine') }] }
    await expect(generate(llama, text, failing)).rejects.toThrow('mine')
    expect(promptCache.tokens).toEqual([])
    promptCache.dispose()
    expect([memory().tensors <= before.tensors, memory().bytes <= before.bytes]).toEqual([true, true])   // the collector may take what others left
  })

  test('is for one text', async () => {
    using promptCache = new PromptCache()
    for (const options of [{ numBeams: 2 }, { doSample: true, numReturnSequences: 2 }]) await expect(generate(llama, [2], { ...options, maxNewTokens: 2, promptCache })).rejects.toThrow(/promptCache/)
    await expect(generate(llama, prompts, { maxNewTokens: 2, promptCache })).rejects.toThrow(/promptCache/)
  })
})

test('states of different lengths join to one batch, whose rows go on as alone', () => {
  for (const model of [llama, mistral, gpt2]) {
    const feed = (rows: readonly number[][], state: DecodingState) => noGrad(() => scope(() => model.decode(tensor(rows as number[][], null, { dtype: 'int32' }), state).dataSync() as Float32Array))
    const state = (tokens: readonly number[]) => {
      const made = noGrad(() => scope(() => model.prepare({ attentionMask: tensor([tokens.map(() => 1)], null, { dtype: 'int32' }) })))
      feed([[...tokens]], made)
      return made
    }
    const whole = (tokens: readonly number[]) => noGrad(() => scope(() => (model.forward(tensor([tokens as number[]], null, { dtype: 'int32' })).dataSync() as Float32Array).slice(-V)))
    const close = (a: Float32Array, b: Float32Array) => { a.forEach((x, i) => { expect(Math.abs(x - b[i]!)).toBeLessThan(2e-5 * Math.max(...b.map(Math.abs))) }) }
    const texts = prompts.map(prompt => [...prompt]), joined = state(texts[0]!)
    for (const text of texts.slice(1)) {
      const other = state(text)
      noGrad(() => scope(() => { joined.join!(other) }))
      other.dispose()
    }
    for (let step = 0; step < 20; step++) {
      const next = texts.map((text, row) => (text.at(-1)! * 7 + row + step) % V), logits = feed(next.map(token => [token]), joined)
      texts.forEach((text, row) => { text.push(next[row]!) })
      texts.forEach((text, row) => { close(logits.slice(row * V, (row + 1) * V), whole(text)) })
    }
    // The longest leaves: what was padding in the others goes with it.
    scope(() => { joined.reorder(tensor([0, 1], null, { dtype: 'int32' })) })
    noGrad(() => { joined.trim!(14 - 5) })
    const logits = feed([[3], [4]], joined)
    close(logits.slice(0, V), whole([...texts[0]!, 3]))
    close(logits.slice(V), whole([...texts[1]!, 4]))
    expect(joined).toBeInstanceOf(DecoderState)
    joined.dispose()
  }
})
