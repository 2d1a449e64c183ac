import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { CheckpointError, ConfigError, ShapeError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import { generationDefaults, generationOptions, readGenerationConfig, setGenerationDefaults } from '#lib/generate/generationConfig.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import type { StreamedToken } from '#lib/generate/streamedTokens.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { arbitraryLogits, logProbabilities, TableModel, type LogitsTable } from './tableModel.js'

const V = 6
const model = (seed = 0, options = {}) => new TableModel(V, arbitraryLogits(V, seed), options)
/** Says its tokens one after the other: 0 1 2 3 4 5 0 1 … */
const counting: LogitsTable = tokens => Float32Array.from({ length: V }, (_, token) => token === (tokens.at(-1)! + 1) % V ? 1 : 0)
const spoken = (texts: readonly string[]) => ({ decode: (ids: number[]) => ids.map(id => texts[id]).join('') })

describe('stop strings', () => {
  test.each<[string, string | string[], number[], number[], string]>([
    ['across two tokens', 'stop', [2], [3, 4, 5, 0, 1], 'stop'],
    ['across two tokens, with more of text before and behind', ['xyz', 'flop'], [2], [3, 4], 'stop'],
    ['begun by the prompt', 'stop', [0], [1], 'stop'],
    ['whole in the prompt, which is not asked', 'stop', [0, 1], [2, 3, 4, 5, 0, 1], 'stop'],
    ['across three tokens', 'opxbaf', [5], [0, 1, 2, 3], 'stop'],
    ['nowhere', ['pots', 'xx'], [2], [3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2], 'length'],
  ])('%s', async (_, stopStrings, prompt, tokens, reason) => {
    const tokenizer = spoken(['st', 'op', 'x', 'baf', 'lopper', '.'])
    const found = await generate(new TableModel(V, counting), prompt, { maxNewTokens: 12, stopStrings, tokenizer })
    expect([found.newTokens[0], found.finishReasons[0]]).toEqual([tokens, reason])
  })
  test('a character of several tokens does not hide what it completes', async () => {
    const bytes = [[0xE2], [0x82], [0xAC], [0x61], [0x62], [0x63]]
    const tokenizer = { decode: (ids: number[]) => new TextDecoder().decode(Uint8Array.from(ids.flatMap(id => bytes[id]!))) }
    const { newTokens } = await generate(new TableModel(V, counting), [3], { maxNewTokens: 12, stopStrings: ['c€'], tokenizer })
    expect(newTokens).toEqual([[4, 5, 0, 1, 2]])
  })
})

describe('what is returned beside the tokens', () => {
  const logits = arbitraryLogits(V, 3, 0.3)
  test('log-probabilities, the likeliest tokens, scores and logits are those of each step, sampled or not', async () => {
    for (const options of [{}, { doSample: true, seed: 5, topK: 3 }] as GenerationOptions[]) {
      const { newTokens, logprobs, topLogprobs, scores, logits: raw } = await generate(new TableModel(V, logits), [[2], [3, 4]],
        { ...options, suppressTokens: [5], maxNewTokens: 5, logprobs: 2, outputScores: true, outputLogits: true })
      for (const [i, prompt] of [[2], [3, 4]].entries()) {
        newTokens[i]!.forEach((token, step) => {
          const all = Array.from(logits([...prompt, ...newTokens[i]!.slice(0, step)], []))
          expect([...raw![i]![step]!]).toEqual(all)
          const kept = [...all.keys()].filter(id => id !== 5).sort((a, b) => all[b]! - all[a]!).slice(0, options.topK ?? V)
          const score = all.map((value, id) => kept.includes(id) ? value : -Infinity)
          expect([...scores![i]![step]!]).toEqual(score)
          expect(logprobs![i]![step]).toBeCloseTo(logProbabilities(score)[token]!, 5)
          expect(topLogprobs![i]![step]!.map(({ token }) => token)).toEqual(kept.slice(0, 2))
          for (const { token, logprob } of topLogprobs![i]![step]!) expect(logprob).toBeCloseTo(logProbabilities(score)[token]!, 5)
        })
      }
    }
  })
  test('the scores of a beam are the log-probabilities that its tokens were chosen from', async () => {
    const { newTokens, scores, logprobs } = await generate(new TableModel(V, logits), [[2], [3]],
      { eosTokenId: 1, maxNewTokens: 5, numBeams: 3, numReturnSequences: 3, outputScores: true, logprobs: true })
    newTokens.forEach((tokens, i) => {
      tokens.forEach((token, step) => {
        const expected = logProbabilities(logits([i < 3 ? 2 : 3, ...tokens.slice(0, step)], []))
        expect(Array.from(scores![i]![step]!)).toEqual(expected.map(value => expect.closeTo(value, 4)))
        expect(scores![i]![step]![token]).toBe(logprobs![i]![step])
      })
    })
  })
  test('why each sequence ended', async () => {
    const { finishReasons, newTokens } = await generate(new TableModel(V, counting), [[0], [2], [4]], { eosTokenId: 3, maxNewTokens: 4,
      stoppingCriteria: [tokens => tokens.at(-1) === 0 && tokens[0] === 4] })
    expect(newTokens).toEqual([[1, 2, 3], [3], [5, 0]])
    expect(finishReasons).toEqual(['eos', 'eos', 'stop'])
    expect((await generate(new TableModel(V, counting), [4], { eosTokenId: 3, maxNewTokens: 2 })).finishReasons).toEqual(['length'])
  })
  test('each token with its text, as it comes', async () => {
    const seen: StreamedToken[] = []
    const { newTokens } = await generate(new TableModel(V, counting), [[2], [0]],
      { eosTokenId: 5, maxNewTokens: 4, tokenizer: spoken(['a', 'b', 'c', 'd', 'e', '.']), onToken: token => { seen.push(token) } })
    expect(seen.filter(({ sequence }) => sequence === 1).map(({ text }) => text).join('')).toBe('bcde')
    expect(seen.filter(({ sequence }) => sequence === 0).map(({ token }) => token)).toEqual(newTokens[0])
  })
})

describe('limits', () => {
  test('time ends all sequences after the token they have just got, beams as well', async () => {
    for (const options of [{}, { doSample: true }, { numBeams: 2 }] as GenerationOptions[]) {
      const { newTokens, finishReasons } = await generate(model(), [[2], [3]], { ...options, maxNewTokens: 50, maxTime: 1e-6 })
      expect(newTokens.map(tokens => tokens.length)).toEqual([1, 1])
      expect(finishReasons).toEqual(['stop', 'stop'])
    }
    expect((await generate(model(), [2], { maxNewTokens: 9, maxTime: 60 })).newTokens[0]).toHaveLength(9)
  })
  test('prompts may be fed in pieces', async () => {
    const prompts = [[2, 3, 4, 5, 2, 3, 4], [3, 2, 2, 3, 5, 5, 5]]
    const whole = await generate(model(), prompts, { maxNewTokens: 5 }), pieces = new TableModel(V, arbitraryLogits(V, 0))
    expect(await generate(pieces, prompts, { maxNewTokens: 5, prefillChunkSize: 3 })).toEqual(whole)
    expect(pieces.rowsOfSteps).toHaveLength(3 + 4)
  })
  test('as many beams as memory does not hold are refused by what they would take', async () => {
    await expect(generate(model(), [2], { numBeams: 20_000_000, maxNewTokens: 3 })).rejects.toThrow(/vocabulary of 6: at most 1024/)
    const wide = new TableModel(50_000, () => new Float32Array(50_000))
    await expect(generate(wide, [2], { numBeams: 40_000, maxNewTokens: 3 })).rejects.toThrow(/vocabulary of 50000.*Use 512 beams/)
  })
})

describe('names of transformers', () => {
  test.each<[Record<string, unknown>, RegExp]>([
    [{ penaltyAlpha: 0.6, topK: 4 }, /penaltyAlpha: 0.6 \(contrastive search\)/], [{ useCache: false }, /useCache/],
    [{ watermarkingConfig: { ngramLen: 5 } }, /unknown setting ngramLen/], [{ outputAttentions: true, dolaLayers: 'high' }, /outputAttentions.*dolaLayers/],
    [{ max_new_tokens: 4 }, /Write maxNewTokens/], [{ maxNewToken: 4 }, /Write maxNewTokens/], [{ sparkle: 1 }, /Known are/],
  ])('%j is refused by name', async (options, message) => {
    await expect(generate(model(), [2], { maxNewTokens: 2, ...options })).rejects.toThrow(message)
  })
  test('at values that say nothing they are accepted', async () => {
    const neutral = { penaltyAlpha: 0, guidanceScale: 1, useCache: true, dolaLayers: null, returnDictInGenerate: true, assistantLookbehind: 10, watermarkingConfig: undefined }
    await expect(generate(model(), [2], { maxNewTokens: 2, ...neutral })).resolves.toBeDefined()
  })
})

describe('encoder-decoder models', () => {
  const encoder = () => model(1, { encoder: true })
  test('each sentence may have a start token of its own', async () => {
    const own = await generate(encoder(), [[2], [3]], { decoderStartTokenId: [4, 5], maxNewTokens: 3 })
    const alone = [await generate(encoder(), [[2]], { decoderStartTokenId: 4, maxNewTokens: 3 }), await generate(encoder(), [[3]], { decoderStartTokenId: 5, maxNewTokens: 3 })]
    expect(own.sequences).toEqual(alone.flatMap(({ sequences }) => sequences))
    await expect(generate(encoder(), [[2], [3]], { decoderStartTokenId: [4], maxNewTokens: 3 })).rejects.toThrow(ShapeError)
  })
  test('the start token is put before a beginning that lacks it', async () => {
    const inputs = { inputIds: [[2], [3]], decoderInputIds: [[3], [2]] }
    const added = await generate(encoder(), inputs, { decoderStartTokenId: 4, maxNewTokens: 2 })
    expect(added.sequences.map(row => row.slice(0, 2))).toEqual([[4, 3], [4, 2]])
    expect(await generate(encoder(), { ...inputs, decoderInputIds: [[4, 3], [4, 2]] }, { decoderStartTokenId: 4, maxNewTokens: 2 })).toEqual(added)
  })
  test('the first and the last token may be forced', async () => {
    const { newTokens } = await generate(encoder(), [[2, 3], [4, 5, 2]],
      { decoderStartTokenId: 4, eosTokenId: 1, suppressTokens: [1], forcedBosTokenId: 3, forcedEosTokenId: 0, maxLength: 6 })
    for (const tokens of newTokens) expect([tokens.length, tokens[0], tokens.at(-1)]).toEqual([5, 3, 0])
  })
})

describe('generation_config.json', () => {
  const at = temporaryFolder()
  const folder = (config: unknown): string => {
    mkdirSync(at('config'), { recursive: true })
    writeFileSync(at('config', 'generation_config.json'), typeof config === 'string' ? config : JSON.stringify(config))
    return at('config')
  }

  test('is read under the names of options; nulls, and what transformers does not know, say nothing', async () => {
    const read = await readGenerationConfig(folder({ eos_token_id: [1, 2], pad_token_id: null, temperature: 0.6, transformers_version: '4.40', chat_format: 'chatml',
      cache_implementation: 'hybrid', max_new_tokens: 7 }), { eos_token_id: 5 })
    expect(read).toEqual({ eosTokenId: [1, 2], temperature: 0.6, maxNewTokens: 7 })
    expect(await readGenerationConfig(at(), { eos_token_id: 5, hidden_size: 3, max_length: 20 })).toEqual({ eosTokenId: 5, maxLength: 20 })
    await expect(readGenerationConfig(folder('{'))).rejects.toThrow(CheckpointError)
  })

  test('gives the defaults, over which the options of a call win', async () => {
    const m = new TableModel(V, counting)
    setGenerationDefaults(m, generationOptions({ eos_token_id: [3, 4], max_new_tokens: 2, temperature: 0.5, top_k: 1 }))
    expect((await generate(m, [0])).newTokens).toEqual([[1, 2]])                                                  // how to sample, not whether to
    expect((await generate(m, [0], { maxNewTokens: 9 })).newTokens).toEqual([[1, 2, 3]])                          // several ends
    expect((await generate(m, [0], { maxLength: 3, eosTokenId: undefined })).newTokens).toEqual([[1, 2]])
    expect((await generate(m, [1], { maxLength: 9 })).newTokens).toEqual([[2, 3]])                                // the limit of the call, of either kind
    expect((await generate(m, [0], { eosTokenId: 5, maxNewTokens: 9, doSample: true })).newTokens).toEqual([[1, 2, 3, 4, 5]])   // topK: 1
    setGenerationDefaults(m, generationOptions({ penalty_alpha: 0.5 }))
    await expect(generate(m, [0], { maxNewTokens: 1 })).rejects.toThrow(ConfigError)
  })

  test('goes with a model that is loaded and saved', async () => {
    const gpt2 = new GPT2({ vocab_size: V, n_positions: 16, n_embd: 8, n_layer: 1, n_head: 2 })
    setGenerationDefaults(gpt2, { eosTokenId: 3, maxNewTokens: 5, tokenizer: spoken([]) })
    await saveModel(at('saved'), gpt2)
    expect(JSON.parse(readFileSync(at('saved', 'generation_config.json'), 'utf8'))).toEqual({ eos_token_id: 3, max_new_tokens: 5 })
    const { model: loaded } = await loadModel(at('saved'))
    expect(generationDefaults(loaded)).toEqual({ eosTokenId: 3, maxNewTokens: 5 })
    loaded.dispose()
    gpt2.dispose()
  })
})
