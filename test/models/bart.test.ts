import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError, ShapeError } from '#lib/errors.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { BartForCausalLM, BartForConditionalGeneration, BartForQuestionAnswering, BartForSequenceClassification, BartModel } from '#lib/models/bart.js'
import { MarianModel, MarianMTModel } from '#lib/models/marian.js'
import { MBartForConditionalGeneration, MBartModel } from '#lib/models/mbart.js'
import { PegasusForConditionalGeneration, PegasusModel } from '#lib/models/pegasus.js'
import type { Module } from '#lib/nn/module.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'
import { addsUpInFloat32, decodesAsItPredicts, farthest, ids, ignoresPadding, inference, learns, recomputes, values } from './seq2seq.js'

const small = {
  vocab_size: 13, d_model: 16, encoder_layers: 2, decoder_layers: 2, encoder_attention_heads: 4, decoder_attention_heads: 2, encoder_ffn_dim: 20, decoder_ffn_dim: 24,
  max_position_embeddings: 16, init_std: 0.3, dropout: 0, pad_token_id: 1, eos_token_id: 2, decoder_start_token_id: 2,
}
const families = [
  ['BART', BartForConditionalGeneration], ['mBART', MBartForConditionalGeneration], ['Marian', MarianMTModel], ['Pegasus', PegasusForConditionalGeneration],
] as const
type Family = (typeof families)[number][1]
const make = (Model: Family, options: Record<string, unknown> = {}) => { manualSeed(1); return new Model({ ...small, ...options }) }

describe.each(families)('%s', (_, Model) => {
  test('decodes token by token what it predicts at once', () => {
    const model = make(Model)
    decodesAsItPredicts(model)
    model.dispose()
  })

  test('adds up in float32 in half precision', () => {
    const model = make(Model).eval()
    addsUpInFloat32(model)
    model.dispose()
  })

  test('padding that masks name changes nothing beside it', () => {
    const model = make(Model, { scale_embedding: true })
    ignoresPadding(model)
    model.dispose()
  })

  test('recomputed layers give the same gradients, and a step leaves nothing', () => {
    recomputes(() => make(Model, { dropout: 0.2, attention_dropout: 0.1, activation_dropout: 0.1, encoder_layerdrop: 0.3, decoder_layerdrop: 0.3 }), () => { manualSeed(5) })
  })

  test('learns four pairs', async () => {
    const model = make(Model, { init_std: 0.1 })
    // mBART begins with the last token of a target, which is the end token here.
    await learns(model, 2, 2)
    model.dispose()
  })

  test('a text longer than the positions is refused', () => {
    const model = make(Model), long = Array.from({ length: 17 }, () => 5)
    expect(() => inference(() => model.forward(ids(long), ids([4])))).toThrow(ShapeError)
    expect(() => inference(() => model.forward(ids([4]), ids(long)))).toThrow(/17 tokens, the model was built for at most 16/)
    model.dispose()
  })
})

describe('labels become the input of the decoder', () => {
  const shifted = (model: BartModel, ...labels: number[][]): number[] => { const found = scope(() => values(model.shiftRight(ids(...labels)))); model.dispose(); return found }

  test('behind the start token, with padding where they do not count', () => {
    expect(shifted(new BartModel(small), [4, 5, 2], [7, 2, -100])).toEqual([2, 4, 5, 2, 7, 2])
    expect(shifted(new PegasusModel({ ...small, decoder_start_token_id: 0 }), [4, 5, 2], [7, -100, -100])).toEqual([0, 4, 5, 0, 7, 1])
  })

  test('mBART: behind the last token that is no padding', () => {
    expect(shifted(new MBartModel(small), [4, 5, 2, 9], [7, 2, 11, -100], [2, 8, 1, 1])).toEqual([9, 4, 5, 2, 11, 7, 2, 11, 8, 2, 8, 1])
  })

  test('not without a start token', () => {
    const model = new BartModel({ ...small, decoder_start_token_id: null })
    expect(() => scope(() => model.shiftRight(ids([4, 2])))).toThrow(/decoder_start_token_id is null/)
    model.dispose()
  })
})

describe('heads', () => {
  test('a text is classified by the state at its last end token', () => {
    manualSeed(2)
    const model = new BartForSequenceClassification({ ...small, num_labels: 4 }).eval()
    const logits = (...rows: number[][]): number[] => inference(() => values(model.forward(ids(...rows))))
    const one = logits([5, 2, 7, 2])
    expect(one).toHaveLength(4)
    expect(farthest(logits([5, 2, 7, 2], [5, 7, 8, 2]).slice(0, 4), one)).toBeLessThan(1e-5)
    expect(farthest(logits([5, 2, 7, 8]), one)).toBeGreaterThan(1e-3)
    model.dispose()
  })

  test('a text without an end token is reported where the logits are read', async () => {
    const model = new BartForSequenceClassification(small).eval()
    await expect(scope(() => model.forward(ids([5, 6, 2], [5, 6, 7])).data())).rejects.toThrow(/index/i)
    model.dispose()
  })

  test.each([
    ['classes', { num_labels: 3 }, [2, 0], 'int32'], ['a number', { num_labels: 1 }, [0.5, -1], 'float32'], ['numbers', { num_labels: 2, problem_type: 'regression' }, [[0.5, -1], [2, 0]], 'float32'],
    ['labels that apply or not', { num_labels: 2 }, [[1, 0], [1, 1]], 'float32'],
  ] as const)('%s are learned', (_, options, labels, dtype) => {
    manualSeed(3)
    const model = new BartForSequenceClassification({ ...small, ...options }).train(), batch = { ids: ids([5, 6, 2], [9, 3, 2]), labels: tensor(labels as never, null, { dtype }) }
    const step = (): number => scope(() => { const loss = model.loss(batch); backward(loss); return values(loss)[0]! })
    const before = step()
    for (const p of model.parameters()) if (p.grad) p.assign(Float32Array.from(values(p), (v, i) => v - 0.003 * values(p.grad!)[i]!))
    model.zeroGrad()
    expect(step()).toBeLessThan(before)
    model.dispose()
    for (const t of Object.values(batch)) t.dispose()
  })

  test('an answer behind the text does not count, one before it is its beginning', () => {
    const model = new BartForQuestionAnswering(small).eval(), source = ids([5, 6, 2], [9, 3, 2])
    const loss = (start: number[], end: number[]): number => inference(() => values(model.loss({ ids: source, startPositions: tensor(Int32Array.from(start)), endPositions: tensor(Int32Array.from(end)) }))[0]!)
    expect(loss([0, 1], [-4, 2])).toBeCloseTo(loss([0, 1], [0, 2]), 6)
    expect(loss([1, 3], [2, 9])).toBeCloseTo(inference(() => values(model.loss({ ids: ids([5, 6, 2]), startPositions: tensor(Int32Array.of(1)), endPositions: tensor(Int32Array.of(2)) }))[0]!), 5)
    model.dispose()
    source.dispose()
  })
})

describe('configurations', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['norms elsewhere', { normalize_before: true }, /bart: normalize_before: true is not supported/],
    ['sinusoids', { static_position_embeddings: true }, /static_position_embeddings/],
    ['quantised weights', { quantization_config: { bits: 4 } }, /quantization_config/],
    ['a width that heads do not divide', { d_model: 18 }, /d_model 18 is not a multiple of encoder_attention_heads 4/],
    ['an unknown activation', { activation_function: 'gellu' }, /do you mean gelu/],
    ['sizes that are none', { decoder_layers: 0 }, /decoder_layers is 0/],
    ['a rate of 1', { dropout: 1 }, /dropout is 1/],
    ['a padding token outside of the vocabulary', { pad_token_id: 13 }, /pad_token_id is 13/],
    ['labels that do not fit their names', { num_labels: 3, id2label: { 0: 'a', 1: 'b' } }, /num_labels is 3, but id2label has 2/],
    ['vocabularies of two', { decoder_vocab_size: 7 }, /options of marian alone/],
  ])('%s: refused', (_, options, message) => {
    expect(() => new BartModel({ ...small, ...options })).toThrow(ConfigError)
    expect(() => new BartModel({ ...small, ...options })).toThrow(message)
  })

  test('two vocabularies need two tables', () => {
    expect(() => new MarianModel({ ...small, decoder_vocab_size: 7 })).toThrow(/share their embeddings/)
    const model = new MarianMTModel({ ...small, decoder_vocab_size: 7, share_encoder_decoder_embeddings: false })
    expect([model.vocabSize, model.sourceVocabSize]).toEqual([7, 13])
    expect(model.lm_head.weight).toBe(model.decoder.embed_tokens.weight)
    model.dispose()
  })

  test('a layer that is dropped leaves the numbers of training alone', () => {
    const model = make(BartForConditionalGeneration, { encoder_layerdrop: 0.5, decoder_layerdrop: 0.5 }), logits = () => inference(() => values(model.forward(ids([5, 9]), ids([4, 6]))))
    const evaluated = model.eval() && logits()
    expect(logits()).toEqual(evaluated)
    model.train()
    const passes = Array.from({ length: 12 }, () => logits().join())
    expect(new Set(passes).size).toBeGreaterThan(2)
    manualSeed(4)
    const again = logits()
    manualSeed(4)
    expect(logits()).toEqual(again)
    model.dispose()
  })
})

describe('directories', () => {
  let folder = ''
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warpweft-bart-')) })
  afterEach(() => { rmSync(folder, { recursive: true }) })

  test.each<[string, () => Module]>([
    ['BartModel', () => new BartModel(small)], ['BartForConditionalGeneration', () => new BartForConditionalGeneration({ ...small, tie_word_embeddings: false })],
    ['BartForSequenceClassification', () => new BartForSequenceClassification({ ...small, num_labels: 2 })], ['BartForQuestionAnswering', () => new BartForQuestionAnswering(small)],
    ['BartForCausalLM', () => new BartForCausalLM(small)], ['MBartForConditionalGeneration', () => new MBartForConditionalGeneration(small)],
    ['MarianMTModel', () => new MarianMTModel({ ...small, decoder_vocab_size: 7, share_encoder_decoder_embeddings: false })], ['PegasusModel', () => new PegasusModel(small)],
  ])('%s: saved, loaded, the same', async (architecture, create) => {
    manualSeed(6)
    const model = create()
    await saveModel(join(folder, 'model'), model)
    const { model: loaded, config } = await loadModel(join(folder, 'model'))
    expect(config['architectures']).toEqual([architecture])
    expect(loaded.constructor).toBe(model.constructor)
    expect([...loaded.namedParameters()].map(([name, p]) => [name, values(p)])).toEqual([...model.namedParameters()].map(([name, p]) => [name, values(p)]))
    expect((loaded as BartModel).config).toEqual({ ...(model as BartModel).config, ...(loaded as BartModel).config })
    model.dispose()
    loaded.dispose()
  })

  test('sinusoids are in files where transformers has them, and need not be', async () => {
    const names = (model: Module): string[] => [...model.stateDict().keys()].filter(name => name.includes('embed_positions'))
    const marian = make(MarianMTModel), layers = new MarianModel(small)
    expect(names(marian)).toEqual([])
    expect(names(layers)).toEqual(['encoder.embed_positions.weight', 'decoder.embed_positions.weight'])
    await saveModel(join(folder, 'marian'), marian)
    const { model: loaded } = await loadModel(join(folder, 'marian'))
    expect(values((loaded as MarianMTModel).encoder.embed_positions.weight).slice(0, 16)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    for (const model of [marian, layers, loaded]) model.dispose()
  })

  test('config.json has a point in numbers that transformers wants to float', async () => {
    const model = make(BartForConditionalGeneration)
    await saveModel(join(folder, 'bart'), model)
    expect(readFileSync(join(folder, 'bart', 'config.json'), 'utf8')).toMatch(/"encoder_layerdrop": 0\.0,/)
    model.dispose()
  })
})
