import { describe, expect, test } from '@jest/globals'
import { AbortedError, ConfigError, IndexError, NumericsError, ShapeError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import type { GenerationOptions } from '#lib/generate/options.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { arbitraryLogits, logProbabilities, TableModel, type LogitsTable } from './tableModel.js'

const V = 5, end = 1
const ending = { eosTokenId: end, padTokenId: 0 }

/** All texts that end within `most` new tokens, with their log-probabilities. */
function everyText(logits: LogitsTable, prompt: number[], most: number, source: number[] = []): { tokens: number[], logprob: number }[] {
  const found: { tokens: number[], logprob: number }[] = []
  const extend = (tokens: number[], logprob: number, left: number) => {
    if (left === 0 || (tokens.length > prompt.length && tokens.at(-1) === end)) { found.push({ tokens, logprob }); return }
    logProbabilities(logits(tokens, source)).forEach((value, token) => { extend([...tokens, token], logprob + value, left - 1) })
  }
  extend(prompt, 0, most)
  return found
}

function greedily(logits: LogitsTable, prompt: number[], most: number, source: number[] = []): number[] {
  const tokens = [...prompt]
  for (let step = 0; step < most && !(step > 0 && tokens.at(-1) === end); step++) {
    const row = Array.from(logits(tokens, source))
    tokens.push(row.indexOf(Math.max(...row)))
  }
  return tokens
}

describe('greedy', () => {
  test('takes the likeliest token each time, until an end token or the limit', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const logits = arbitraryLogits(V, seed, 1)
      const { sequences } = await generate(new TableModel(V, logits), [2, 3], { ...ending, maxNewTokens: 7 })
      expect(sequences).toEqual([greedily(logits, [2, 3], 7)])
    }
  })

  test('each sentence of a batch is what it is alone, also when others have left the batch', async () => {
    const logits = arbitraryLogits(V, 3, 0.5), model = new TableModel(V, logits, { encoder: true })
    const sources = Array.from({ length: 12 }, (_, i) => Array.from({ length: 1 + i % 5 }, (_, j) => (i * j + i) % V))
    const { newTokens, sequences } = await generate(model, sources, { ...ending, bosTokenId: 2, maxNewTokens: 20 })
    expect(newTokens).toEqual(sources.map(source => greedily(logits, [2], 20, source).slice(1)))
    const longest = Math.max(...newTokens.map(tokens => tokens.length))
    expect(sequences).toEqual(newTokens.map(tokens => [2, ...tokens, ...new Array<number>(longest - tokens.length).fill(0)]))
    expect(model.rowsOfSteps[0]).toBe(12)
    expect(model.rowsOfSteps.at(-1)).toBeLessThan(12)
  })

  test('prompts of different lengths are padded on the left, and the padding is hidden by the mask', async () => {
    const logits = arbitraryLogits(V, 5), prompts = [[2], [3, 4, 2], [4, 4]]
    const alone = prompts.map(prompt => greedily(logits, prompt, 4).slice(prompt.length))
    const lists = await generate(new TableModel(V, logits), prompts, { ...ending, maxNewTokens: 4 })
    expect(lists.newTokens).toEqual(alone)
    expect(lists.sequences.map(row => row.slice(0, 3))).toEqual([[0, 0, 2], [3, 4, 2], [0, 4, 4]])
    const inputIds = tensor([[0, 0, 2], [3, 4, 2], [0, 4, 4]], null, { dtype: 'int32' })
    const attentionMask = tensor([[0, 0, 1], [1, 1, 1], [0, 1, 1]], null, { dtype: 'int64' })
    expect(await generate(new TableModel(V, logits), { inputIds, attentionMask }, { ...ending, maxNewTokens: 4 })).toEqual(lists)
    inputIds.dispose()
    attentionMask.dispose()
  })

  test('log-probabilities on request are those of the chosen tokens', async () => {
    const logits = arbitraryLogits(V, 8)
    for (const extra of [{}, { suppressTokens: [] }]) {   // chosen on the device, and on the host
      const { sequences: [tokens], logprobs } = await generate(new TableModel(V, logits), [2], { maxNewTokens: 5, logprobs: true, ...extra })
      for (let i = 1; i < tokens!.length; i++) {
        expect(logprobs![0]![i - 1]).toBeCloseTo(logProbabilities(logits(tokens!.slice(0, i), []))[tokens![i]!]!, 5)
      }
    }
  })

  test('processors and stopping criteria are the caller\'s to add', async () => {
    const model = () => new TableModel(V, arbitraryLogits(V, 2))
    const even = await generate(model(), [2], { maxNewTokens: 8, logitsProcessors: [(_, logits, { rows, vocabulary }) => {
      for (let i = 0; i < rows * vocabulary; i++) if (i % vocabulary % 2 === 1) logits[i] = -Infinity
    }] })
    expect(even.newTokens[0]!.every(token => token % 2 === 0)).toBe(true)
    const short = await generate(model(), [[2], [3]], {
      maxNewTokens: 8, stoppingCriteria: [(tokens, { sequence, promptLength }) => tokens.length - promptLength === 2 + sequence],
    })
    expect(short.newTokens.map(tokens => tokens.length)).toEqual([2, 3])
  })

  test('stop strings end the text in which they appear, across tokens, but not in the prompt', async () => {
    const tokenizer = { decode: (ids: number[]) => ids.map(id => 'abcde'[id]).join('') }
    const count: LogitsTable = tokens => Float32Array.from({ length: V }, (_, token) => token === (tokens.at(-1)! + 1) % V ? 1 : 0)
    const { newTokens } = await generate(new TableModel(V, count), [0, 1, 2, 3], { maxNewTokens: 20, stopStrings: ['bc', 'zz'], tokenizer })
    expect(newTokens).toEqual([[4, 0, 1, 2]])
    await expect(generate(new TableModel(V, count), [0], { maxNewTokens: 2, stopStrings: ['a'] })).rejects.toThrow(ConfigError)
  })
})

describe('beam search', () => {
  test('with room for every text, finds the likeliest ones of all', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const logits = arbitraryLogits(4, seed, seed % 3)
      const best = everyText(logits, [2], 4).sort((a, b) => b.logprob - a.logprob).slice(0, 3)
      const { sequences, sequencesScores } = await generate(new TableModel(4, logits), [2],
        { ...ending, maxNewTokens: 4, numBeams: 256, numReturnSequences: 3, lengthPenalty: 0, earlyStopping: 'never' })
      const longest = Math.max(...best.map(({ tokens }) => tokens.length))
      expect(sequences).toEqual(best.map(({ tokens }) => [...tokens, ...new Array<number>(longest - tokens.length).fill(1)]))   // where 0 is padding, transformers fills what beams leave with the end token
      best.forEach(({ logprob }, i) => { expect(sequencesScores![i]).toBeCloseTo(logprob, 4) })
    }
  })

  test('divides the sum of log-probabilities by length ^ lengthPenalty', async () => {
    const { sequencesScores, logprobs, newTokens } = await generate(new TableModel(V, arbitraryLogits(V, 4, 1)), [2],
      { ...ending, maxNewTokens: 6, numBeams: 4, numReturnSequences: 4, lengthPenalty: 0.7, logprobs: true })
    newTokens.forEach((tokens, i) => {
      expect(logprobs![i]).toHaveLength(tokens.length)
      expect(sequencesScores![i]).toBeCloseTo(logprobs![i]!.reduce((a, b) => a + b) / tokens.length ** 0.7, 6)
    })
    expect([...sequencesScores!].sort((a, b) => b - a)).toEqual(sequencesScores)
  })

  test('sentences of a batch do not influence each other, and leave it when they are done', async () => {
    const logits = arbitraryLogits(V, 6, 1.2)
    const sources = Array.from({ length: 9 }, (_, i) => [i % V, (i * i) % V, (3 * i) % V].slice(i % 3))
    for (const earlyStopping of [true, false, 'never'] as const) {
      const options: GenerationOptions = { ...ending, decoderStartTokenId: 2, maxNewTokens: 12, numBeams: 3, numReturnSequences: 2, earlyStopping }
      const model = new TableModel(V, logits, { encoder: true })
      const together = await generate(model, sources, options)
      for (const [i, source] of sources.entries()) {
        const alone = await generate(new TableModel(V, logits, { encoder: true }), [source], options)
        expect(together.newTokens.slice(2 * i, 2 * i + 2)).toEqual(alone.newTokens)
        expect(together.sequencesScores!.slice(2 * i, 2 * i + 2)).toEqual(alone.sequencesScores)
      }
      const steps = model.rowsOfSteps.filter(rows => rows > 0)
      expect(steps[0]).toBe(9)
      expect(Math.max(...steps)).toBe(27)
      if (earlyStopping === true) expect(steps.at(-1)).toBeLessThan(27)
    }
  })

  test('reads only the likeliest tokens, and finds what it finds with all of them', async () => {
    const run = (extra: GenerationOptions) => generate(new TableModel(40, arbitraryLogits(40, 1, 1)), [[2], [3]],
      { ...ending, maxNewTokens: 8, numBeams: 4, logprobs: true, ...extra })
    const few = await run({}), all = await run({ logitsProcessors: [() => undefined] })
    expect(all.sequences).toEqual(few.sequences)
    expect(all.sequencesScores).toEqual(few.sequencesScores)
    expect(all.logprobs).toEqual(few.logprobs)
  })

  test('groups are kept apart by the diversity penalty', async () => {
    const run = (options: GenerationOptions) => generate(new TableModel(12, arbitraryLogits(12, 9)), [[2], [3]],
      { maxNewTokens: 4, numBeams: 4, numReturnSequences: 4, ...options })
    const apart = await run({ numBeamGroups: 4, diversityPenalty: 100 })
    for (const sentence of [0, 4]) expect(new Set(apart.newTokens.slice(sentence, sentence + 4).map(tokens => tokens[0])).size).toBe(4)
    const greedy = await generate(new TableModel(12, arbitraryLogits(12, 9)), [[2], [3]], { maxNewTokens: 4 })
    const alike = await run({ numBeamGroups: 4 })
    expect(alike.sequences).toEqual(greedy.sequences.flatMap(row => [row, row, row, row]))
  })

  test('where fewer texts exist than were asked for, the others are empty', async () => {
    const only: LogitsTable = tokens => [0, 1, 2, 3].map(token => token === (tokens.length < 3 ? 3 : end) ? 0 : -Infinity)
    const { newTokens, sequencesScores } = await generate(new TableModel(4, only), [2],
      { ...ending, maxNewTokens: 6, numBeams: 3, numReturnSequences: 2, earlyStopping: true })
    expect(newTokens).toEqual([[3, 3, 1], []])
    expect(sequencesScores).toEqual([0, -Infinity])
  })
})

describe('sampling', () => {
  const model = () => new TableModel(30, arbitraryLogits(30, 12))

  test('the same seed gives the same tokens, whatever else is in the batch; another one others', async () => {
    const options: GenerationOptions = { doSample: true, maxNewTokens: 12, seed: 5 }
    const one = await generate(model(), [[2, 3]], options)
    expect(one.seed).toBe(5)
    expect(await generate(model(), [[2, 3]], options)).toEqual(one)
    expect((await generate(model(), [[2, 3], [4, 4], [9, 1]], options)).newTokens[0]).toEqual(one.newTokens[0])
    expect((await generate(model(), [[2, 3]], { ...options, seed: 6 })).newTokens).not.toEqual(one.newTokens)
    const unseeded = await generate(model(), [[2, 3]], { doSample: true, maxNewTokens: 12 })
    expect((await generate(model(), [[2, 3]], { doSample: true, maxNewTokens: 12, seed: unseeded.seed })).newTokens).toEqual(unseeded.newTokens)
  })

  test('several samples of one prompt are drawn independently', async () => {
    const { newTokens } = await generate(model(), [[2], [3]], { doSample: true, maxNewTokens: 6, numReturnSequences: 20, seed: 1 })
    expect(newTokens).toHaveLength(40)
    expect(new Set(newTokens.map(String)).size).toBe(40)
  })

  test('tokens come with their probabilities', async () => {
    const p = [0.5, 0.25, 0.125, 0.125], table: LogitsTable = () => p.map(Math.log)
    const { newTokens } = await generate(new TableModel(4, table), [0], { doSample: true, maxNewTokens: 1, numReturnSequences: 4000, seed: 3 })
    p.forEach((probability, token) => {
      const share = newTokens.filter(([first]) => first === token).length / 4000
      expect(Math.abs(share - probability)).toBeLessThan(4 * Math.sqrt(probability * (1 - probability) / 4000))
    })
  })

  test('the shortlist of topK gives the tokens that all logits give', async () => {
    for (const options of [{ topK: 5 }, { topK: 8, temperature: 1.7, topP: 0.8 }, { topK: 6, minP: 0.2 }, { topK: 29, typicalP: 0.6 }]) {
      const all: GenerationOptions = { ...options, doSample: true, maxNewTokens: 10, seed: 4, logprobs: true, numReturnSequences: 3 }
      const short = await generate(model(), [[2], [5]], all)
      expect(await generate(model(), [[2], [5]], { ...all, logitsProcessors: [() => undefined] })).toEqual(short)
    }
  })

  test('tokens as likely as the last of topK stay in the game', async () => {
    const { newTokens } = await generate(new TableModel(6, () => [3, 1, 1, 1, 0, 0]), [0],
      { doSample: true, topK: 2, maxNewTokens: 1, numReturnSequences: 400, seed: 2 })
    expect(new Set(newTokens.map(([token]) => token))).toEqual(new Set([0, 1, 2, 3]))
  })

  test('beams are drawn without replacement and with a seed', async () => {
    const options: GenerationOptions = { ...ending, doSample: true, numBeams: 3, numReturnSequences: 3, maxNewTokens: 5, seed: 7, temperature: 2 }
    const one = await generate(model(), [[2], [3]], options)
    expect(await generate(model(), [[2], [3]], options)).toEqual(one)
    expect(new Set(one.sequences.slice(0, 3).map(String)).size).toBe(3)
    expect((await generate(model(), [[2], [3]], { ...options, seed: 8 })).sequences).not.toEqual(one.sequences)
  })
})

describe('memory and ends', () => {
  const every: GenerationOptions[] = [
    {}, { logprobs: true }, { numBeams: 3 }, { numBeams: 4, numBeamGroups: 2, diversityPenalty: 1 }, { doSample: true }, { doSample: true, topK: 3 },
    { repetitionPenalty: 1.2 }, { doSample: true, numBeams: 2 },
  ]

  test('nothing is left behind: after the end, an error, or an abort', async () => {
    const before = memory()
    for (const options of every) {
      const all = { ...options, maxNewTokens: 8 }
      await generate(new TableModel(V, arbitraryLogits(V, 1, 1)), [[2], [3], [4]], { ...ending, ...all })
      const broken = new TableModel(V, tokens => {
        if (tokens.length > 3) throw new RangeError('broken')
        return arbitraryLogits(V, 1)(tokens, [])
      })
      await expect(generate(broken, [2], all)).rejects.toThrow('broken')
      const invalid = new TableModel(V, tokens => tokens.length > 3 ? new Array<number>(V).fill(NaN) : arbitraryLogits(V, 1)(tokens, []))
      await expect(generate(invalid, [2], all)).rejects.toThrow(NumericsError)
      const controller = new AbortController()
      const onStep = ({ step }: { step: number }) => { if (step === 3) controller.abort(new Error('enough')) }
      const abort = generate(new TableModel(V, arbitraryLogits(V, 2)), [2], { ...all, signal: controller.signal, onStep })
      await expect(abort).rejects.toThrow(AbortedError)
      await expect(abort).rejects.toHaveProperty('cause.message', 'enough')
    }
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
  })

  test('an aborted signal stops it before it begins', async () => {
    const model = new TableModel(V, arbitraryLogits(V, 2))
    await expect(generate(model, [2], { maxNewTokens: 3, signal: AbortSignal.abort() })).rejects.toThrow(AbortedError)
    expect(model.rowsOfSteps).toEqual([])
  })

  test('progress is told once a token', async () => {
    for (const options of [{}, { doSample: true }, { numBeams: 2 }] as GenerationOptions[]) {
      const seen: number[] = []
      await generate(new TableModel(V, arbitraryLogits(V, 2)), [2], { maxNewTokens: 4, ...options, onStep: ({ step }) => seen.push(step) })
      expect(seen).toEqual([1, 2, 3, 4])
    }
  })
})

describe('options and inputs that cannot be', () => {
  const model = new TableModel(V, arbitraryLogits(V, 0), { maxPositions: 10 }), encoder = new TableModel(V, arbitraryLogits(V, 0), { encoder: true })
  test.each<[string, GenerationOptions, RegExp]>([
    ['a misspelt option', { num_beams: 4 } as GenerationOptions, /num_beams.*Write numBeams/],
    ['no room in the model', { maxNewTokens: 11 }, /at most 10/],
    ['a limit within the prompt', { maxLength: 1 }, /maxLength/],
    ['more returned than beams', { numBeams: 2, numReturnSequences: 3 }, /only 2 beams/],
    ['several greedy ones', { numReturnSequences: 2 }, /numReturnSequences/],
    ['groups that do not divide', { numBeams: 4, numBeamGroups: 3 }, /divisor/],
    ['diversity without groups', { numBeams: 4, diversityPenalty: 1 }, /numBeamGroups/],
    ['sampling options without doSample', { temperature: 0.5 }, /doSample/],
    ['early stopping of another kind', { earlyStopping: 'always' as 'never' }, /earlyStopping/],
    ['a fractional seed', { doSample: true, seed: 0.5 }, /seed/],
  ])('%s', async (_, options, message) => {
    const result = generate(model, [2], options)
    await expect(result).rejects.toThrow(ConfigError)
    await expect(result).rejects.toThrow(message)
  })
  test('inputs', async () => {
    await expect(generate(model, [[2], [V]])).rejects.toThrow(IndexError)
    await expect(generate(model, [[2], []])).rejects.toThrow(ShapeError)
    await expect(generate(model, [])).rejects.toThrow(ShapeError)
    await expect(generate(model, { inputIds: [[2, 3]], attentionMask: [[1]] })).rejects.toThrow(/attentionMask is \[1, 1\]/)
    await expect(generate(encoder, [[2]], { maxNewTokens: 2 })).rejects.toThrow(/decoderStartTokenId/)
    await expect(generate(encoder, { inputIds: [[2], [3]], decoderInputIds: [[1], [1, 2]] })).rejects.toThrow(/one length/)
    await expect(generate(model, new Array<number>(10).fill(2))).rejects.toThrow(/Shorten/)
  })
  test('everything has a limit', async () => {
    expect((await generate(model, [2, 2])).sequences[0]).toHaveLength(10)
    await expect(generate(new TableModel(V, arbitraryLogits(V, 0), { maxPositions: Infinity }), [2])).rejects.toThrow(/maxNewTokens/)
  })
})
