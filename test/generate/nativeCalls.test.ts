import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { generate } from '#lib/generate/generate.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Transformer } from '#lib/models/transformer.js'
import { native } from '#lib/tensor/native.js'
import type { GenerativeModel } from '#lib/nn/decoding.js'
import type { GenerationOptions } from '#lib/generate/options.js'

// What a step of a generation asks of the native side. The time of a step on a CPU is that of reading the weights only as long as queueing it takes less than that.

const functions = native as unknown as Record<string, (...values: unknown[]) => unknown>

/** Calls by name that `work` makes. */
async function counted(work: () => Promise<unknown>): Promise<Map<string, number>> {
  const calls = new Map<string, number>(), real = { ...functions }
  for (const [name, call] of Object.entries(real)) {
    if (name === 'makeError' || name === 'settle') continue
    functions[name] = (...values) => {
      calls.set(name, (calls.get(name) ?? 0) + 1)
      return call(...values)
    }
  }
  try {
    await work()
  } finally {
    Object.assign(functions, real)
  }
  return calls
}

/** Calls of one step among those in the middle of a generation, where caches do not grow. */
async function perStep(model: GenerativeModel, inputs: number[], options: GenerationOptions): Promise<{ all: number, of: (name: string) => number }> {
  const plain = (maxNewTokens: number) => counted(() => generate(model, { inputIds: inputs }, { ...options, maxNewTokens }))
  await plain(12)   // what is made once
  const short = await plain(10), long = await plain(30), of = (name: string): number => ((long.get(name) ?? 0) - (short.get(name) ?? 0)) / 20
  return { all: [...long.keys()].reduce((sum, name) => sum + of(name), 0), of }
}

const translator = (layers: number): Transformer => new Transformer({ vocabSize: 40, dModel: 32, heads: 4, feedForward: 64, layers, finalNorm: true }).eval()
const language = (n_layer: number): GPT2 => new GPT2({ vocab_size: 40, n_positions: 64, n_embd: 32, n_layer, n_head: 4 }).eval()

describe('a step of a generation', () => {
  const models: { translators: Transformer[], languages: GPT2[] } = { translators: [], languages: [] }
  beforeAll(() => {
    models.translators = [translator(1), translator(2)]
    models.languages = [language(1), language(2)]
  })
  afterAll(() => { for (const model of [...models.translators, ...models.languages]) model.dispose() })

  test('with four beams takes few native calls for each layer, and one wait', async () => {
    const options = { numBeams: 4, decoderStartTokenId: 0, padTokenId: 0 }
    const one = await perStep(models.translators[0]!, [3, 4, 5], options), two = await perStep(models.translators[1]!, [3, 4, 5], options)
    expect(two.of('read')).toBe(2)   // values and indices, awaited together
    expect(two.of('synchronize') + two.of('readSync') + two.of('fence')).toBe(0)
    expect(two.of('matmul') - one.of('matmul')).toBe(6)
    expect(two.of('attention') - one.of('attention')).toBe(2)
    expect(two.all - one.all).toBeLessThanOrEqual(68.5)
    expect(2 * one.all - two.all).toBeLessThanOrEqual(30)
  })

  test('of one stream takes few native calls for each layer, and one wait', async () => {
    const one = await perStep(models.languages[0]!, [3, 4, 5], {}), two = await perStep(models.languages[1]!, [3, 4, 5], {})
    expect(two.of('read')).toBe(2)
    expect(two.of('matmul') - one.of('matmul')).toBe(4)
    expect(two.all - one.all).toBeLessThanOrEqual(42)
  })
})
