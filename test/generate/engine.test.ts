import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { AbortedError, ConfigError, IndexError } from '#lib/errors.js'
import { GenerationEngine, type RequestOptions } from '#lib/generate/engine/generationEngine.js'
import { generate } from '#lib/generate/generate.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { Transformer } from '#lib/models/transformer.js'
import type { DecodingState } from '#lib/nn/decoding.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { arbitraryLogits, TableModel } from './tableModel.js'

const V = 31
let llama: Llama, mistral: Llama, gpt2: GPT2
beforeAll(async () => {
  manualSeed(8)
  const sizes = { vocab_size: V, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 160, initializer_range: 0.4 }
  llama = new Llama(sizes).eval()
  mistral = new Llama({ ...sizes, model_type: 'mistral', sliding_window: 9 }).eval()
  gpt2 = new GPT2({ vocab_size: V, n_positions: 160, n_embd: 32, n_layer: 2, n_head: 4, initializer_range: 0.3 }).eval()
  for (const model of [llama, mistral, gpt2]) await generate(model, [1], { maxNewTokens: 159 })   // tables of positions
})
afterAll(() => { for (const model of [llama, mistral, gpt2]) model.dispose() })

async function taken(stream: AsyncIterable<{ token: number }>, most = Infinity): Promise<number[]> {
  const tokens: number[] = []
  for await (const { token } of stream) if (tokens.push(token) >= most) break
  return tokens
}
/** The error that a stream ends with. */
const failed = (stream: AsyncIterable<{ token: number }>): Promise<unknown> => taken(stream).catch((error: unknown) => error)
const requests: [number[], RequestOptions][] = [
  [[4, 8, 15], { maxNewTokens: 20 }], [[9], { maxNewTokens: 3 }], [Array.from({ length: 40 }, (_, i) => (7 * i) % V), { maxNewTokens: 25, doSample: true, seed: 3 }],
  [[22, 3, 5, 2, 11], { maxNewTokens: 12, doSample: true, seed: 4, topK: 4, temperature: 1.5 }], [[2, 2], { maxNewTokens: 30, repetitionPenalty: 1.4, eosTokenId: [5, 6] }],
  [[27, 1, 6], { maxNewTokens: 1 }], [[19, 20], { maxNewTokens: 18, noRepeatNgramSize: 2, doSample: true, seed: 9, topP: 0.8 }], [[3, 7], { maxNewTokens: 60, logprobs: true }],
]

describe('each request gets the tokens that it gets alone', () => {
  test.each([1, 2, 3, 16])('with room for %i at once, arriving at different times', async maxRows => {
    for (const model of [llama, mistral, gpt2]) {
      using engine = new GenerationEngine(model, { maxRows, prefillTokens: 20 })
      const found = requests.map(async ([prompt, options], i) => {
        // Later ones come while the first are at work.
        if (i > 3) await taken(engine.submit([i], { maxNewTokens: i }))
        return taken(engine.submit(prompt, options))
      })
      for (const [i, tokens] of (await Promise.all(found)).entries()) {
        const { newTokens: [alone] } = await generate(model, [requests[i]![0]], requests[i]![1])
        expect([i, tokens]).toEqual([i, alone])
      }
      expect(engine.load).toEqual({ running: 0, waiting: 0 })
      expect(engine.bytes).toBe(0)
    }
  })

  test('whatever comes and goes', async () => {
    const model = new TableModel(6, arbitraryLogits(6, 2, 0.4)), request = fc.record({
      prompt: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 6 }), maxNewTokens: fc.integer({ min: 1, max: 9 }), seed: fc.option(fc.nat(50), { nil: undefined }),
      after: fc.integer({ min: 0, max: 8 }), enough: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
    })
    await fc.assert(fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 9 }), fc.integer({ min: 1, max: 4 }), async (all, maxRows) => {
      using engine = new GenerationEngine(model, { maxRows, maxTokens: 40 })
      await Promise.all(all.map(async ({ prompt, maxNewTokens, seed, after, enough }) => {
        for (let i = 0; i < after; i++) await new Promise(resolve => { setImmediate(resolve) })
        const options = { maxNewTokens, eosTokenId: 1, ...(seed === undefined ? {} : { doSample: true, seed }) }
        const tokens = await taken(engine.submit(prompt, options), enough)
        expect(tokens).toEqual((await generate(model, prompt, options)).newTokens[0]!.slice(0, enough))
      }))
    }), { numRuns: 40 })
  })
})

test('the batch is bounded by rows and by positions, and none is overtaken', async () => {
  const model = new TableModel(6, arbitraryLogits(6, 2)), engine = new GenerationEngine(model, { maxRows: 3, maxTokens: 60 })
  const order: number[] = [], sizes = [5, 5, 5, 5, 30, 5, 5]
  await Promise.all(sizes.map(async (maxNewTokens, i) => { await taken(engine.submit([2], { maxNewTokens, onToken: () => { if (!order.includes(i)) order.push(i) } })) }))
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6])
  expect(Math.max(...model.rowsOfSteps)).toBe(3)
  await expect(taken(engine.submit([2], { maxNewTokens: 60 }))).rejects.toThrow(/maxTokens, 60/)
  expect(engine.load).toEqual({ running: 0, waiting: 0 })
})

test('all that run get a token in each step, also while long prompts come', async () => {
  const fed: number[] = [], own = llama.decode.bind(llama), engine = new GenerationEngine(llama, { prefillTokens: 30 })
  llama.decode = (ids: Tensor, state: DecodingState) => { fed.push(ids.shape[1]!); return own(ids, state) }
  try {
    const long = Array.from({ length: 25 }, (_, i) => i)
    await Promise.all([taken(engine.submit([2], { maxNewTokens: 20 })), ...Array.from({ length: 4 }, () => taken(engine.submit(long, { maxNewTokens: 2 })))])
  } finally {
    llama.decode = own
  }
  for (let i = 1; i < fed.length; i++) expect(fed[i]! > 1 && fed[i - 1]! > 1 && i > 1).toBe(false)   // no two prompts of 25 without a step between them
})

describe('ends', () => {
  test('giving up, aborting and failing concern one request alone, and all memory comes back', async () => {
    const before = memory(), engine = new GenerationEngine(llama, { maxRows: 4 }), controller = new AbortController()
    const alone = (await generate(llama, [7, 8], { maxNewTokens: 25 })).newTokens[0]
    const aborted = failed(engine.submit([3], { maxNewTokens: 100, signal: controller.signal, onToken: () => { controller.abort(new Error('enough')) } }))
    const failing = failed(engine.submit([4], { maxNewTokens: 100, logitsProcessors: [(previous: readonly ArrayLike<number>[]) => { if (previous[0]!.length > 5) throw new RangeError('mine') }] }))
    const broken = failed(engine.submit([5], { maxNewTokens: 9, onToken: () => { throw new RangeError('callback') } }))
    const few = taken(engine.submit([6], { maxNewTokens: 100 }), 3), whole = taken(engine.submit([7, 8], { maxNewTokens: 25 }))
    const late = engine.submit([9], { maxNewTokens: 50 })
    await late.return!()
    expect(await taken(late)).toEqual([])
    expect(await aborted).toBeInstanceOf(AbortedError)
    expect(await failing).toHaveProperty('message', 'mine')
    expect(await broken).toHaveProperty('message', 'callback')
    expect(await few).toHaveLength(3)
    expect(await whole).toEqual(alone)
    const never = new AbortController()
    never.abort()
    await expect(taken(engine.submit([3], { maxNewTokens: 5, signal: never.signal }))).rejects.toThrow(AbortedError)
    let said = 0
    const left = failed(engine.submit([2], { maxNewTokens: 100, onToken: () => { if (++said === 9) engine.close() } })), waiting = Array.from({ length: 5 }, () => failed(engine.submit([2], { maxNewTokens: 100 })))
    for (const stream of [left, ...waiting]) expect(await stream).toHaveProperty('message', 'the engine was closed')
    await new Promise(resolve => { setTimeout(resolve, 20) })
    expect(engine.load).toEqual({ running: 0, waiting: 0 })
    expect([memory().tensors <= before.tensors, memory().bytes <= before.bytes]).toEqual([true, true])   // the collector may take what others left
    expect(() => engine.submit([2])).toThrow(ConfigError)
  })

  test('requests that cannot be served say why', async () => {
    using engine = new GenerationEngine(llama)
    await expect(taken(engine.submit([V], { maxNewTokens: 2 }))).rejects.toThrow(IndexError)
    await expect(taken(engine.submit([2], { maxNewTokens: 500 }))).rejects.toThrow(/positions/)
    await expect(taken(engine.submit([2], { maxNewTokens: 5, numBeams: 2 } as RequestOptions))).rejects.toThrow(/for generate/)
    const encoder = new Transformer({ vocabSize: V, dModel: 32, layers: 1 })
    expect(() => new GenerationEngine(encoder)).toThrow(/without an encoder/)
    encoder.dispose()
    expect(() => new GenerationEngine(llama, { maxRows: 0 })).toThrow(ConfigError)
  })

  test('a batch that fails is lost, and the engine goes on', async () => {
    let broken = true
    const model = new TableModel(6, tokens => {
      if (broken && tokens.length > 4) throw new RangeError('device')
      return arbitraryLogits(6, 1)(tokens, [])
    }), engine = new GenerationEngine(model)
    await expect(taken(engine.submit([2], { maxNewTokens: 9 }))).rejects.toThrow('device')
    broken = false
    expect(await taken(engine.submit([2], { maxNewTokens: 9 }))).toHaveLength(9)
  })
})

test('caches stay as long as the longest request, however many come and go, and may be int8', async () => {
  for (const cacheImplementation of ['dynamic', 'quantized'] as const) {
    const engine = new GenerationEngine(llama, { maxRows: 2, cacheImplementation })
    let most = 0, served = 0
    const turn = async (i: number): Promise<void> => {
      for (let n = 0; n < 12; n++) {
        for await (const { token } of engine.submit([i + 1, n + 1], { maxNewTokens: 8 + 3 * i })) {
          expect(token).toBeLessThan(V)
          most = Math.max(most, engine.bytes)
        }
        served++
      }
    }
    await Promise.all([turn(0), turn(1)])
    expect(served).toBe(24)
    // Two rows of at most 64 positions, the least that is reserved; 24 requests one behind the other would have 240.
    const vector = 2 * (cacheImplementation === 'quantized' ? 8 + 4 : 4 * 8)
    expect(most).toBeLessThanOrEqual(2 /* layers */ * 2 * 2 /* rows */ * 64 * vector)
  }
})
