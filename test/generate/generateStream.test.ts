import { expect, test } from '@jest/globals'
import { AbortedError, ConfigError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import { generateStream } from '#lib/generate/generateStream.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import type { StreamedToken } from '#lib/generate/streamedTokens.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'
import { arbitraryLogits, TableModel } from './tableModel.js'

const V = 6
const model = () => new TableModel(V, arbitraryLogits(V, 4, 0.5))

test.each<[string, GenerationOptions]>([['greedy', {}], ['sampled', { doSample: true, seed: 3 }], ['processed', { repetitionPenalty: 1.3 }]])(
  'the tokens that come one by one are those of generate: %s', async (_, options) => {
    const all = { ...options, eosTokenId: 1, padTokenId: 0, maxNewTokens: 12 }, prompts = [[2], [3, 4], [5]]
    const { newTokens } = await generate(model(), prompts, all)
    const streamed: number[][] = [[], [], []], ended = [0, 0, 0]
    for await (const { sequence, token, last } of generateStream(model(), prompts, all)) {
      streamed[sequence]!.push(token)
      if (last) ended[sequence]!++
    }
    expect(streamed).toEqual(newTokens)
    expect(ended).toEqual([1, 1, 1])
  })

test('a consumer that stops early, and one that is aborted, leave nothing behind', async () => {
  const before = memory()
  for (const options of [{}, { doSample: true }, { doSample: true, topK: 2 }] as GenerationOptions[]) {
    for await (const { token } of generateStream(model(), [2, 3], { maxNewTokens: 30, ...options })) {
      expect(token).toBeLessThan(V)
      break
    }
    const never = generateStream(model(), [2], { maxNewTokens: 30, ...options })
    await never.return()
    const controller = new AbortController(), seen: StreamedToken[] = []
    await expect((async () => {
      for await (const token of generateStream(model(), [2], { maxNewTokens: 30, signal: controller.signal, ...options })) {
        seen.push(token)
        if (seen.length === 4) controller.abort()
      }
    })()).rejects.toThrow(AbortedError)
    expect(seen).toHaveLength(4)
  }
  expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
})

test('a scope that surrounds one of the steps does not end the generation', async () => {
  const stream = generateStream(model(), [2], { maxNewTokens: 4 }), tokens: number[] = []
  for (;;) {
    const next = await scope(() => stream.next())
    if (next.done) break
    tokens.push(next.value.token)
  }
  expect([tokens]).toEqual((await generate(model(), [2], { maxNewTokens: 4 })).newTokens)
})

test('text comes when it is certain, and its pieces join to the whole', async () => {
  // Tokens 0 to 3 are the bytes of one character.
  const bytes = [0xf0, 0x9f, 0x99, 0x82, 0x61, 0x20]
  const tokenizer = { decode: (ids: number[]) => new TextDecoder().decode(Uint8Array.from(ids, id => bytes[id]!)) }
  const script = [4, 0, 1, 2, 3, 5, 4, 0, 1]
  const follow = new TableModel(V, tokens => Array.from({ length: V }, (_, id) => id === script[tokens.length - 1] ? 1 : 0))
  const texts: (string | undefined)[] = []
  for await (const { text } of generateStream(follow, [5], { maxNewTokens: script.length, tokenizer })) texts.push(text)
  expect(texts).toEqual(['a', '', '', '', '🙂', ' ', 'a', '', '\ufffd'])
})

test('beams cannot be streamed', async () => {
  await expect(generateStream(model(), [2], { numBeams: 2, maxNewTokens: 2 }).next()).rejects.toThrow(ConfigError)
})
