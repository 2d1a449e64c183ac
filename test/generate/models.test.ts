import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { generate } from '#lib/generate/generate.js'
import { generateStream } from '#lib/generate/generateStream.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import { SafetensorsFile } from '#lib/io/safetensors.js'
import { GPT2, type GPT2Config } from '#lib/models/gpt2.js'
import { Transformer, type TransformerOptions } from '#lib/models/transformer.js'
import type { GenerativeModel } from '#lib/nn/decoding.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { shared } from '../shared.js'
import { logProbabilities } from './tableModel.js'

const V = 23, sources = [[4, 8, 15, 16, 2], [9, 2], [22, 3, 5, 2]]
const small: TransformerOptions = { vocabSize: V, dModel: 24, heads: 3, layers: 2, dropout: 0.5, maxPositions: 40 }
const transformers: Record<string, TransformerOptions> = {
  'post-norm, sinusoids': small,
  'pre-norm, learned positions, two embeddings, a layer of its own for the output':
    { ...small, normFirst: true, finalNorm: true, positions: 'learned', activation: 'geluTanh', sharedEmbeddings: false, tied: false },
}
const gpt2: Partial<GPT2Config> = {
  vocab_size: V, n_positions: 40, n_embd: 24, n_layer: 2, n_head: 3, resid_pdrop: 0.5, embd_pdrop: 0.5, attn_pdrop: 0.5, initializer_range: 0.3,
}

const int32 = (rows: readonly (readonly number[])[]): Tensor => tensor(rows as number[][], null, { dtype: 'int32' })

/** Logits after `tokens`, computed without a cache, `[V]`. */
function uncached(model: Transformer | GPT2, tokens: readonly number[], source: readonly number[]): number[] {
  return noGrad(() => scope(() => {
    const logits = model instanceof GPT2 ? model.forward(int32([tokens])) : model.forward(int32([source]), int32([tokens]))
    return Array.from(logits.dataSync() as Float32Array).slice(-V)
  }))
}

function greedily(model: Transformer | GPT2, begin: readonly number[], source: readonly number[], most: number): number[] {
  const tokens = [...begin]
  for (let step = 0; step < most && !(step > 0 && tokens.at(-1) === 2); step++) {
    const row = uncached(model, tokens, source)
    tokens.push(row.indexOf(Math.max(...row)))
  }
  return tokens.slice(begin.length)
}

/** Feeds `tokens` in pieces of the given lengths and compares the logits behind each with those of the whole. */
function expectCachedEqual(
  model: (Transformer | GPT2) & GenerativeModel, tokens: readonly number[], source: readonly number[], pieces: readonly number[],
): void {
  const state = noGrad(() => scope(() => model.prepare(model instanceof GPT2 ? {} : { source: int32([source]) })))
  try {
    let at = 0
    for (const length of pieces) {
      const logits = noGrad(() => scope(() => Array.from(model.decode(int32([tokens.slice(at, at + length)]), state).dataSync() as Float32Array)))
      at += length
      const whole = uncached(model, tokens.slice(0, at), source), largest = Math.max(...whole.map(Math.abs))
      logits.forEach((value, i) => { expect(Math.abs(value - whole[i]!)).toBeLessThan(1e-5 * largest) })
    }
  } finally {
    state.dispose()
  }
}

const models: [string, () => Transformer | GPT2][] = [
  ...Object.entries(transformers).map(([name, options]): [string, () => Transformer] => [`Transformer, ${name}`, () => new Transformer(options)]),
  ['GPT-2', () => new GPT2(gpt2)],
]

describe.each(models)('%s', (_, create) => {
  let model: Transformer | GPT2
  beforeAll(() => {
    manualSeed(11)
    model = create()
    model.eval()
  })
  afterAll(() => { model.dispose() })

  /** Sources of an encoder-decoder model are prompts of the other kind. */
  const begin = (source: readonly number[]) => model.isEncoderDecoder ? [1] : source
  const special: GenerationOptions = { bosTokenId: 1, eosTokenId: 2, padTokenId: 0 }

  test('a cached decode equals the uncached forward, token by token and in pieces', () => {
    const tokens = [1, 7, 3, 3, 19, 22, 0, 5, 11, 2, 8]
    expectCachedEqual(model, tokens, sources[0]!, tokens.map(() => 1))
    expectCachedEqual(model, tokens, sources[0]!, [4, 1, 5, 1])
  })

  test('greedy generation of a padded batch is the argmax of the uncached forward of each text alone', async () => {
    const { newTokens } = await generate(model, sources, { ...special, maxNewTokens: 12 })
    expect(newTokens).toEqual(sources.map(source => greedily(model, begin(source), source, 12)))
    const streamed: number[][] = [[], [], []]
    for await (const { sequence, token } of generateStream(model, sources, { ...special, maxNewTokens: 12 })) streamed[sequence]!.push(token)
    expect(streamed).toEqual(newTokens)
  })

  test('the score of each beam is that of the uncached forward, and a batch gives what each sentence gives alone', async () => {
    const options: GenerationOptions = { ...special, maxNewTokens: 9, numBeams: 4, numReturnSequences: 2, lengthPenalty: 0.6 }
    const { newTokens, sequencesScores } = await generate(model, sources, options)
    for (const [i, source] of sources.entries()) {
      const alone = await generate(model, [source], options)
      expect(newTokens.slice(2 * i, 2 * i + 2)).toEqual(alone.newTokens)
      for (const [n, tokens] of alone.newTokens.entries()) {
        const logprobs = tokens.map((token, t) => logProbabilities(uncached(model, [...begin(source), ...tokens.slice(0, t)], source))[token]!)
        expect(sequencesScores![2 * i + n]).toBeCloseTo(logprobs.reduce((sum, value) => sum + value, 0) / tokens.length ** 0.6, 4)
      }
    }
  })

  test('a model in training mode generates without dropout, and stays in training mode', async () => {
    const options: GenerationOptions = { ...special, maxNewTokens: 6, numBeams: 2 }
    const expected = await generate(model, sources, options)
    model.train()
    try {
      expect(await generate(model, sources, options)).toEqual(expected)
      expect([...model.namedModules()].every(([, module]) => module.training)).toBe(true)
    } finally {
      model.eval()
    }
  })

  test('generations that run at the same time do not disturb each other', async () => {
    const each: GenerationOptions[] = [{ numBeams: 3 }, {}, { doSample: true, seed: 1 }, { repetitionPenalty: 1.5 }]
    const run = (options: GenerationOptions) => generate(model, sources, { ...special, ...options, maxNewTokens: 8 })
    const alone = []
    for (const options of each) alone.push(await run(options))
    expect(await Promise.all(each.map(run))).toEqual(alone)
  })

  test('runs in the precision that surrounds the call, also where the tokens are taken outside of it', async () => {
    const options: GenerationOptions = { ...special, maxNewTokens: 4, logprobs: true }
    const [whole, half] = [await generate(model, sources, options), await autocast('bfloat16', () => generate(model, sources, options))]
    expect(half.logprobs![0]![0]).not.toBe(whole.logprobs![0]![0])
    expect(Math.abs(half.logprobs![0]![0]! - whole.logprobs![0]![0]!)).toBeLessThan(0.1)
    const stream = autocast('bfloat16', () => generateStream(model, sources, options))
    const logprobs: number[][] = [[], [], []]
    for await (const { sequence, logprob } of stream) logprobs[sequence]!.push(logprob!)
    expect(logprobs).toEqual(half.logprobs)
  })

  test('nothing is left in memory, whichever way it generates', async () => {
    const each: GenerationOptions[] = [{}, { numBeams: 3 }, { doSample: true, topK: 5, numReturnSequences: 2 }, { repetitionPenalty: 1.5 }]
    const all = async () => { for (const options of each) await generate(model, sources, { ...special, ...options, maxNewTokens: 8 }) }
    await all()   // tables of positions stay with the model
    const before = memory()
    await all()
    for await (const token of generateStream(model, sources, { ...special, maxNewTokens: 8 })) if (token.sequence === 1) break
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
  })
})

describe('GPT-2 with the weights of the parity case', () => {
  const path = shared('parity', 'gpt2')
  const withReference = path === undefined ? test.skip : test
  const read = async (file: string) => {
    const tensors = await SafetensorsFile.open(`${path!}/${file}.safetensors`)
    return { tensors, close: () => tensors.close() }
  }
  interface GenerateCase { name: string, options: Record<string, unknown>, inputs: { input_ids: string, attention_mask?: string } }

  withReference('generates the sequences and scores of transformers, also from prompts that are padded on the left', async () => {
    const config = JSON.parse(readFileSync(`${path!}/config.json`, 'utf8')) as GPT2Config
    const ends = JSON.parse(readFileSync(`${path!}/generation_config.json`, 'utf8')) as { eos_token_id: number, pad_token_id: number }
    const { generate: cases } = JSON.parse(readFileSync(`${path!}/case.json`, 'utf8')) as { generate: GenerateCase[] }
    const known = Object.keys(new GPT2({ ...gpt2, n_layer: 1 }).config)
    const model = new GPT2(Object.fromEntries(Object.entries(config).filter(([key]) => known.includes(key))))
    const [weights, inputs, expected] = [await read('model'), await read('inputs'), await read('expected')]
    try {
      const values = new Map<string, { shape: readonly number[], data: Float32Array }>()
      for (const [name, { shape }] of weights.tensors.tensors) values.set(name, { shape, data: await weights.tensors.float32(name) })
      model.loadStateDict(values)
      const ids = async (name: string): Promise<Tensor> =>
        tensor(await inputs.tensors.array(name) as Int32Array, inputs.tensors.tensors.get(name)!.shape)
      for (const { name, options, inputs: given } of cases) {
        const camelCase = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
        const camel = Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), value]))
        const inputIds = await ids(given.input_ids), attentionMask = given.attention_mask ? await ids(given.attention_mask) : undefined
        const found = await generate(model, { inputIds, attentionMask }, { eosTokenId: ends.eos_token_id, padTokenId: ends.pad_token_id, ...camel })
        const sequences = Array.from(await expected.tensors.array(`generate.${name}.sequences`) as Int32Array, Number)
        expect([name, found.sequences.flat()]).toEqual([name, sequences])
        if (found.sequencesScores) {
          const scores = await expected.tensors.float32(`generate.${name}.sequences_scores`)
          found.sequencesScores.forEach((score, i) => { expect(Math.abs(score - scores[i]!)).toBeLessThan(1e-4) })
        }
      }
    } finally {
      for (const file of [weights, inputs, expected]) await file.close()
      model.dispose()
    }
  })
})
