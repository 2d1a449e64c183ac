import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ConfigError, NumericsError } from '#lib/errors.js'
import { removeInvalidValues } from '#lib/generate/processors/invalidValues.js'
import { exponentialDecayLengthPenalty, forcedBos, forcedEos, minLength, minNewTokens } from '#lib/generate/processors/length.js'
import type { LogitsContext, LogitsProcessor } from '#lib/generate/processors/logitsProcessor.js'
import { processorsFrom, type GenerationLimits, type LogitsOptions } from '#lib/generate/processors/processorsFrom.js'
import {
  encoderNoRepeatNgram, encoderRepetitionPenalty, hammingDiversity, noRepeatNgram, presenceAndFrequencyPenalty, repetitionPenalty,
} from '#lib/generate/processors/repetition.js'
import { badWords, prefixConstrained, sequenceBias, suppressTokens, suppressTokensAtBegin } from '#lib/generate/processors/sequences.js'
import { epsilonCutoff, etaCutoff, minP, temperature, topH, topK, topP, typicalP } from '#lib/generate/processors/truncation.js'
import { shared } from '../shared.js'

const none = -Infinity

/** One row through a processor. */
function row(processor: LogitsProcessor, logits: number[], previous: number[] = [], context: Partial<LogitsContext> = {}): number[] {
  const values = Float32Array.from(logits)
  processor([previous], values, { rows: 1, vocabulary: logits.length, promptLength: 0, ...context })
  return [...values]
}

describe('each processor gives what transformers 5.23 gives', () => {
  const known: Record<string, LogitsProcessor> = {
    'temperature_0.7': temperature(0.7),
    top_k_5: topK(5),
    'top_p_0.8': topP(0.8),
    'top_p_0.95_keep3': topP(0.95, 3),
    'min_p_0.1': minP(0.1),
    'typical_0.7': typicalP(0.7),
    'epsilon_0.02': epsilonCutoff(0.02),
    'eta_0.05': etaCutoff(0.05),
    'repetition_1.4': repetitionPenalty(1.4),
    no_repeat_ngram_2: noRepeatNgram(2),
    no_repeat_ngram_3: noRepeatNgram(3),
    min_length_12_eos_1: minLength(12, 1),
    bad_words: badWords([[3], [5, 6, 9], [6, 8]], [1]),
    forced_eos_at_10: forcedEos(1, { maxLength: 10 }),
    suppress_2_3: suppressTokens([2, 3]),
    sequence_bias: sequenceBias([[[4], 2], [[5, 6, 10], -3]]),
  }
  const path = shared('fixtures', 'logits.json')
  const withReference = path === undefined ? test.skip : test
  const reference = () => JSON.parse(readFileSync(path!, 'utf8')) as
    { previous: number[][], logits: number[][], processed: Record<string, (number | null)[][]> }

  withReference('the reference file holds the processors that this test knows', () => {
    expect(Object.keys(reference().processed).sort()).toEqual(Object.keys(known).sort())
  })
  for (const [name, processor] of Object.entries(known)) {
    withReference(name, () => {
      const { previous, logits, processed } = reference()
      const values = Float32Array.from(logits.flat())
      processor(previous, values, { rows: logits.length, vocabulary: logits[0]!.length, promptLength: 0 })
      processed[name]!.flat().forEach((expected, i) => {
        if (expected === null) expect(values[i]).toBe(none)
        else expect(Math.abs(values[i]! - expected)).toBeLessThanOrEqual(1e-5)
      })
    })
  }
})

describe('truncation', () => {
  const ln = (...probabilities: number[]) => probabilities.map(Math.log)
  const kept = (values: number[]) => values.flatMap((value, i) => value === none ? [] : [i])
  test('top-k keeps what is exactly as likely as the last', () => {
    expect(kept(row(topK(2), [1, 3, 2, 2, 0]))).toEqual([1, 2, 3])
  })
  test('top-p stops at the token that reaches the mass', () => {
    const logits = ln(0.1, 0.4, 0.2, 0.3)
    expect(kept(row(topP(0.69), logits))).toEqual([1, 3])
    expect(kept(row(topP(0.71), logits))).toEqual([1, 2, 3])
    expect(kept(row(topP(0), logits))).toEqual([1])
    expect(kept(row(topP(1), logits))).toEqual([0, 1, 2, 3])
  })
  test('top-p looks far enough into a flat distribution', () => {
    expect(kept(row(topP(0.89995), Array<number>(5000).fill(0)))).toHaveLength(4500)
  })
  test('min-p is relative to the likeliest', () => {
    expect(kept(row(minP(0.5), ln(0.1, 0.41, 0.2, 0.29)))).toEqual([1, 3])
  })
  test('typical sampling may drop the likeliest token', () => {
    // The entropy is 1.297 nats: the information of 0.3 (1.204) is closer to it than that of 0.4 (0.916).
    expect(kept(row(typicalP(0.15), ln(0.4, 0.3, 0.15, 0.15)))).toEqual([1])
  })
  test('top-H takes tokens until their part of the entropy is used', () => {
    const logits = ln(0.4, 0.3, 0.2, 0.1)   // entropy terms 0.367, 0.361, 0.322, 0.230
    expect(kept(row(topH(0.5), logits))).toEqual([0])
    expect(kept(row(topH(0.6), logits))).toEqual([0, 1])
    expect(kept(row(topH(1), logits))).toEqual([0, 1, 2, 3])
  })
  test('epsilon and eta never drop the likeliest', () => {
    const flat = Array<number>(100).fill(0).map((_, i) => i === 7 ? 1e-3 : 0)
    expect(kept(row(epsilonCutoff(0.5), flat))).toEqual([7])
    expect(kept(row(etaCutoff(0.5), [0, 0, 9]))).toEqual([2])
  })
  const cuts = {
    topK: topK(1, 3), topP: topP(0.01, 3), minP: minP(1, 3), typicalP: typicalP(0.01, 3), epsilon: epsilonCutoff(0.99, 3), eta: etaCutoff(0.99, 3),
  }
  test.each(Object.entries(cuts))('%s keeps as many tokens as it is told to', (_, cut) => {
    expect(kept(row(cut, [0, 5, 1, 2, -4]))).toHaveLength(3)
  })
  test('excluded tokens stay excluded and what is kept keeps its value', () => {
    const logit = fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true, min: -50, max: 50 }), fc.constant(none))
    const logits = fc.array(logit, { minLength: 1, maxLength: 40 })
    const all = [...Object.values(cuts), topH(0.7), topP(0.5), minP(0.2), typicalP(0.5), epsilonCutoff(0.1), etaCutoff(0.1), topK(4)]
    fc.assert(fc.property(logits, fc.constantFrom(...all), (values, cut) => {
      const given = [...Float32Array.from(values)], got = row(cut, given)
      got.forEach((value, i) => expect([none, given[i]]).toContain(value))
      if (given.some(value => value !== none)) expect(got.some(value => value !== none)).toBe(true)
    }))
  })
  test('NaN is an error that names the remedy', () => {
    for (const cut of Object.values(cuts)) expect(() => row(cut, [0, NaN, 1, 0])).toThrow(NumericsError)
    expect(() => row(topP(0.5), [0, NaN])).toThrow(/removeInvalidValues/)
  })
})

describe('repetition', () => {
  test('the encoder penalty favours the source', () => {
    expect(row(encoderRepetitionPenalty(2), [1, -1, 3], [], { sources: [[0, 1, 1]] })).toEqual([2, -0.5, 3])
    expect(() => row(encoderRepetitionPenalty(2), [1])).toThrow(ConfigError)
  })
  test('presence and frequency count what was generated, not the prompt', () => {
    const penalty = presenceAndFrequencyPenalty(0.5, 0.25)
    expect(row(penalty, [1, 1, 1, 1], [0, 1, 1, 2], { promptLength: 1 })).toEqual([1, 0, 0.25, 1])
  })
  test('prompt lengths may differ from row to row', () => {
    const values = Float32Array.from([1, 1, 1, 1])
    presenceAndFrequencyPenalty(1, 0)([[0, 1], [0, 1]], values, { rows: 2, vocabulary: 2, promptLength: [1, 2] })
    expect([...values]).toEqual([1, 0, 1, 1])
  })
  test('n-grams of one token exclude all that was said; too short a text excludes nothing', () => {
    expect(row(noRepeatNgram(1), [1, 1, 1], [2, 0])).toEqual([none, 1, none])
    expect(row(noRepeatNgram(3), [1, 1, 1], [2])).toEqual([1, 1, 1])
    expect(row(noRepeatNgram(2), [1, 1, 1], [])).toEqual([1, 1, 1])
  })
  test('an n-gram of the source is not completed', () => {
    expect(row(encoderNoRepeatNgram(2), [1, 1, 1], [1], { sources: [[1, 2, 0]] })).toEqual([1, 1, none])
  })
  test('diverse beams lose what earlier groups chose, as often as they did', () => {
    expect(row(hammingDiversity(0.5), [1, 1, 1], [], { chosen: [[2, 0, 2]] })).toEqual([0.5, 1, 0])
    expect(row(hammingDiversity(0.5), [1, 1, 1])).toEqual([1, 1, 1])
  })
  test('ids that the vocabulary lacks reach no other row', () => {
    const processors = [repetitionPenalty(2), noRepeatNgram(1), presenceAndFrequencyPenalty(1, 1), encoderRepetitionPenalty(2),
      encoderNoRepeatNgram(1), hammingDiversity(1)]
    for (const processor of processors) {
      const values = Float32Array.from([1, 1, 1, 1]), odd = [[2, 3, -1], [-1, -2, 7]]
      processor(odd, values, { rows: 2, vocabulary: 2, promptLength: 0, sources: odd, chosen: odd })
      expect([...values]).toEqual([1, 1, 1, 1])
    }
  })
})

describe('sequences', () => {
  test('a bias waits for the whole prefix, and several add up', () => {
    const biases = sequenceBias([[[1, 2], 1], [[2], 0.5], [[0, 1, 2], 2]])
    expect(row(biases, [0, 0, 0], [0, 1])).toEqual([0, 0, 3.5])
    expect(row(biases, [0, 0, 0], [1])).toEqual([0, 0, 1.5])
    expect(row(biases, [0, 0, 0], [1, 0])).toEqual([0, 0, 0.5])
  })
  test('the end token cannot be a bad word, but a word may end in it', () => {
    expect(row(badWords([[1], [0, 1], [2]], [1]), [1, 1, 1], [2])).toEqual([1, 1, none])
    expect(row(badWords([[1], [0, 1]], [1]), [1, 1, 1], [0])).toEqual([1, none, 1])
  })
  test('tokens are suppressed at the begin only, one later where the first is forced', () => {
    const suppress = suppressTokensAtBegin([0])
    expect(row(suppress, [1, 1], [5, 5], { promptLength: 2 })).toEqual([none, 1])
    expect(row(suppress, [1, 1], [5, 5, 5], { promptLength: 2 })).toEqual([1, 1])
    const afterForced = suppressTokensAtBegin([0], true)
    expect(row(afterForced, [1, 1], [5], { promptLength: 1 })).toEqual([1, 1])
    expect(row(afterForced, [1, 1], [5, 5], { promptLength: 1 })).toEqual([none, 1])
  })
  test('a callback constrains each row by its sample and its own tokens', () => {
    const asked: unknown[] = []
    const values = Float32Array.from([1, 2, 3, 4, 5, 6])
    prefixConstrained((sample, previous) => { asked.push([sample, [...Array.from(previous)]]); return [sample % 3] })(
      [[7], [8]], values, { rows: 2, vocabulary: 3, promptLength: 0, samples: [1, 2] })
    expect(asked).toEqual([[1, [7]], [2, [8]]])
    expect([...values]).toEqual([none, 2, none, none, none, 6])
  })
  test('the constraint wins where no beam of the sample could go on, and only there', () => {
    const constrain = (samples: number[]) => {
      const values = Float32Array.from([none, 1, 1, 1])
      prefixConstrained(() => [0])([[], []], values, { rows: 2, vocabulary: 2, promptLength: 0, samples })
      return [...values]
    }
    expect(constrain([0, 1])).toEqual([0, none, 1, none])
    expect(constrain([0, 0])).toEqual([none, none, 1, none])
  })
  test('an empty constraint is an error', () => {
    expect(() => row(prefixConstrained(() => []), [1])).toThrow(ConfigError)
  })
  test('tokens outside of the vocabulary are named', () => {
    expect(() => row(suppressTokens([9]), [1, 2])).toThrow(/suppressTokens: token 9 is not in the vocabulary of 2/)
    expect(() => row(badWords([[0, 9]]), [1, 2])).toThrow(/badWordsIds: token 9/)
    expect(() => row(sequenceBias([[[9], 1]]), [1, 2])).toThrow(/sequenceBias: token 9/)
    expect(() => row(prefixConstrained(() => [9]), [1, 2])).toThrow(/prefixAllowedTokens: token 9/)
  })
})

describe('length', () => {
  test('no end before enough tokens, with or without the prompt', () => {
    expect(row(minLength(3, [0, 1]), [1, 1, 1], [5, 5])).toEqual([none, none, 1])
    expect(row(minLength(3, [0, 1]), [1, 1, 1], [5, 5, 5])).toEqual([1, 1, 1])
    expect(row(minNewTokens(2, 0), [1, 1], [5, 5, 5], { promptLength: 2 })).toEqual([none, 1])
    expect(row(minNewTokens(2, 0), [1, 1], [5, 5, 5, 5], { promptLength: 2 })).toEqual([1, 1])
  })
  test('the first token after the start token is forced, and no other', () => {
    expect(row(forcedBos(1), [3, 3], [0])).toEqual([none, 0])
    expect(row(forcedBos(1), [3, 3], [0, 1])).toEqual([3, 3])
  })
  test('the last token of a limit on new tokens is forced', () => {
    const force = forcedEos([1], { maxNewTokens: 2 })
    expect(row(force, [3, 3], [0, 0], { promptLength: 2 })).toEqual([3, 3])
    expect(row(force, [3, 3], [0, 0, 0], { promptLength: 2 })).toEqual([none, 0])
  })
  test('the pressure to end grows exponentially from its start', () => {
    const press = exponentialDecayLengthPenalty([2, 1.5], 0)
    const at = (generated: number, logit: number) => row(press, [logit, 1], Array<number>(3 + generated).fill(1), { promptLength: 3 })
    expect(at(2, -4)).toEqual([-4, 1])
    expect(at(3, -4)).toEqual([-2, 1])
    expect(at(4, 4)).toEqual([9, 1])
    expect(at(4, none)).toEqual([none, 1])
  })
})

test('invalid values become the nearest that can be computed with', () => {
  expect(row(removeInvalidValues, [NaN, Infinity, none, 2])).toEqual([0, 3.4028234663852886e38, -3.4028234663852886e38, 2])
})

describe('processorsFrom', () => {
  const run = (options: LogitsOptions & GenerationLimits, logits: number[], previous: number[] = []) => {
    const values = Float32Array.from(logits)
    for (const processor of processorsFrom(options)) processor([previous], values, { rows: 1, vocabulary: logits.length, promptLength: 0 })
    return [...values]
  }
  test('neutral values add nothing', () => {
    expect(processorsFrom({
      repetitionPenalty: 1, encoderRepetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0, noRepeatNgramSize: 0, minLength: 0,
      minNewTokens: 0, removeInvalidValues: false, renormalizeLogits: false, diversityPenalty: 0,
      doSample: true, temperature: 1, topK: 0, topP: 1, typicalP: 1, epsilonCutoff: 0, etaCutoff: 0,
    })).toEqual([])
  })
  test('the order is that of transformers', () => {
    // A bias before the repetition penalty is penalised with the rest; a temperature before top-k and min-p; normalisation last.
    expect(run({ repetitionPenalty: 2, sequenceBias: [[[0], 3]] }, [1, 0], [0])).toEqual([2, 0])
    const [first, second, third] = run({ doSample: true, topP: 0.6, temperature: 0.5, renormalizeLogits: true }, [2, 1.9, -3])
    expect(Math.exp(first!) + Math.exp(second!)).toBeCloseTo(1, 6)
    expect(first! - second!).toBeCloseTo(0.2, 5)
    expect(third).toBe(none)
  })
  test('own processors come after the built-in ones and before sampling', () => {
    const seen: number[][] = []
    const own: LogitsProcessor = (_, logits) => { seen.push([...logits]) }
    run({ doSample: true, temperature: 0.5, suppressTokens: [0], logitsProcessors: [own] }, [1, 1])
    expect(seen).toEqual([[none, 1]])
  })
  test('beam sampling keeps one token more than there are end tokens', () => {
    const kept = (options: GenerationLimits) => run({ doSample: true, topK: 1, ...options }, [4, 3, 2, 1]).filter(value => value !== none).length
    expect([kept({}), kept({ numBeams: 4 }), kept({ numBeams: 4, eosTokenId: [0, 1] })]).toEqual([1, 2, 3])
  })
  test('options of sampling need a word on sampling', () => {
    expect(() => processorsFrom({ temperature: 0.7 })).toThrow(/temperature is an option of sampling: add doSample: true/)
    expect(processorsFrom({ temperature: 0.7, doSample: false })).toEqual([])
  })
  test.each<[LogitsOptions & GenerationLimits, RegExp]>([
    [{ doSample: true, temperature: 0 }, /temperature must be .*doSample: false.*not 0/],
    [{ doSample: true, topK: 1.5 }, /topK must be a whole number > 0, not 1\.5/],
    [{ doSample: true, topP: 2 }, /topP/], [{ doSample: true, minP: -1 }, /minP/], [{ doSample: true, topH: 0 }, /topH/],
    [{ doSample: true, typicalP: 0 }, /typicalP/],
    [{ doSample: true, epsilonCutoff: 1 }, /epsilonCutoff/], [{ doSample: true, etaCutoff: -1 }, /etaCutoff/],
    [{ repetitionPenalty: 0 }, /repetitionPenalty/], [{ noRepeatNgramSize: -1 }, /noRepeatNgramSize/], [{ frequencyPenalty: NaN }, /frequencyPenalty/],
    [{ badWordsIds: [[]] }, /badWordsIds/], [{ sequenceBias: [[[1], NaN]] }, /sequenceBias/], [{ suppressTokens: [-1] }, /suppressTokens/],
    [{ forcedEosTokenId: 1 }, /needs maxLength or maxNewTokens/], [{ exponentialDecayLengthPenalty: [1, 2] }, /needs eosTokenId/],
    [{ eosTokenId: 1.5 }, /eosTokenId must be a token id/], [{ diversityPenalty: -1 }, /diversityPenalty/],
  ])('%j is refused', (options, message) => {
    expect(() => processorsFrom(options)).toThrow(ConfigError)
    expect(() => processorsFrom(options)).toThrow(message)
  })
})
