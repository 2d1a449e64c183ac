import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError } from '#lib/errors.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { writeSafetensors } from '#lib/io/safetensorsWriter.js'
import {
  type T5Config, T5EncoderModel, T5ForConditionalGeneration, T5ForQuestionAnswering, T5ForSequenceClassification, T5ForTokenClassification, T5Model,
} from '#lib/models/t5.js'
import type { Module } from '#lib/nn/module.js'
import { translate } from '#lib/generate/translate.js'
import { relativeBuckets } from '#lib/nn/relativePositions.js'
import { manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'
import { Trainer, translationData } from '#lib/train/index.js'
import { addsUpInFloat32, decodesAsItPredicts, farthest, ids, ignoresPadding, inference, learns, recomputes, values } from './seq2seq.js'

const small = {
  vocab_size: 13, d_model: 16, d_kv: 5, d_ff: 20, num_layers: 2, num_decoder_layers: 3, num_heads: 3, relative_attention_num_buckets: 6, relative_attention_max_distance: 8,
  dropout_rate: 0, decoder_start_token_id: 0,
}
type Options = Partial<T5Config> & Record<string, unknown>
const make = (options: Options = {}): T5ForConditionalGeneration => { manualSeed(1); return new T5ForConditionalGeneration({ ...small, ...options }) }
const kinds: [string, Options][] = [['T5', {}], ['T5 1.1', { feed_forward_proj: 'gated-gelu', tie_word_embeddings: false }], ['mT5', { model_type: 'mt5' }]]

describe.each(kinds)('%s', (_, options) => {
  test('decodes token by token what it predicts at once', () => {
    const model = make(options)
    decodesAsItPredicts(model)
    model.dispose()
  })

  test('adds up in float32 in half precision', () => {
    const model = make(options).eval()
    addsUpInFloat32(model)
    model.dispose()
  })

  test('padding that masks name changes nothing beside it', () => {
    const model = make(options)
    ignoresPadding(model)
    model.dispose()
  })

  test('recomputed layers give the same gradients, that of the shared bias too, and a step leaves nothing', () => {
    recomputes(() => make({ ...options, dropout_rate: 0.2 }), () => { manualSeed(5) })
  })

  test('learns four pairs', async () => {
    const model = make({ ...options, initializer_factor: 0.5 })
    await learns(model, 0, 1)
    model.dispose()
  })
})

describe('T5', () => {
  test('distances: each of the nearest has a bucket, those farther share wider ones', () => {
    const both = { count: 8, farthest: 16, bothSides: true }
    expect([...relativeBuckets(10, 1, both)]).toEqual([3, 3, 3, 3, 3, 2, 2, 2, 2, 1, 0])
    expect([...relativeBuckets(0, 3, both)]).toEqual([0, 5, 6, 1, 0, 5, 2, 1, 0])
    expect([...relativeBuckets(0, 3, { ...both, bothSides: false })]).toEqual([0, 0, 0, 1, 0, 0, 2, 1, 0])
    // ln(16 / 8) / ln(128 / 8) · 8 is 2, which float32 hits.
    expect([...relativeBuckets(64, 1, { count: 32, farthest: 128, bothSides: true })].filter((_, j) => [0, 32, 33, 48, 49].includes(j))).toEqual([14, 12, 11, 10, 9])
  })

  test('what the output layer sees is scaled as transformers decides', () => {
    const scaled = (options: Options): boolean => { const model = make(options), found = model.config.scale_decoder_outputs; model.dispose(); return found }
    expect(scaled({})).toBe(true)
    expect(scaled({ tie_word_embeddings: true })).toBe(true)
    expect(scaled({ tie_word_embeddings: false })).toBe(false)
    expect(scaled({ tie_word_embeddings: true, scale_decoder_outputs: false })).toBe(false)
    expect(scaled({ model_type: 'mt5' })).toBe(false)
  })

  test.each<[string, Options, RegExp]>([
    ['an unknown projection', { feed_forward_proj: 'twice-gated-gelu' }, /feed_forward_proj is "twice-gated-gelu"/],
    ['an unknown activation', { feed_forward_proj: 'gated-gellu' }, /do you mean gelu/],
    ['a stack that is a decoder', { is_decoder: true }, /is_decoder: true is not supported/],
    ['too few buckets', { relative_attention_num_buckets: 3 }, /relative_attention_num_buckets is 3/],
    ['a distance within the nearest', { relative_attention_num_buckets: 32, relative_attention_max_distance: 16 }, /relative_attention_max_distance 16/],
    ['no layers', { num_decoder_layers: 0 }, /num_decoder_layers is 0/],
    ['a rate of 1', { dropout_rate: 1 }, /dropout_rate is 1/],
    ['another type', { model_type: 'umt5' as never }, /model_type is "umt5"/],
  ])('%s: refused', (_, options, message) => {
    expect(() => make(options)).toThrow(ConfigError)
    expect(() => make(options)).toThrow(message)
  })

  test('answers have a beginning and an end', () => {
    expect(() => new T5ForQuestionAnswering({ ...small, num_labels: 3 })).toThrow(/num_labels is 3, expected 2/)
  })

  test('tokens are classified by what the encoder makes of them', () => {
    const model = new T5ForTokenClassification({ ...small, num_labels: 4 }).eval(), source = ids([5, 6, 1])
    const logits = inference(() => values(model.forward(source)))
    expect(logits).toHaveLength(12)
    expect(farthest(inference(() => values(model.forward(ids([5, 6, 1, 9]), { attentionMask: ids([1, 1, 1, 0]) }))).slice(0, 12), logits)).toBeLessThan(1e-5)
    scope(() => { backward(model.loss({ ids: source, labels: ids([3, -100, 0]) })) })
    expect(values(model.classifier.weight.grad!).some(v => v !== 0)).toBe(true)
    model.dispose()
    source.dispose()
  })
})

test('the trainer fine-tunes it on pairs, whose targets begin with its own start token', async () => {
  const digits = ['zero', 'one', 'two', 'three', 'four'], pairs = Array.from({ length: 25 }, (_, i) => ({ source: `${digits[Math.floor(i / 5)]} ${digits[i % 5]}`, target: `${i % 5} ${Math.floor(i / 5)}` }))
  const data = await translationData(pairs, { tokenizerKind: 'word', validationSize: 0, maxTokens: 200 }), { ids: special } = data
  manualSeed(3)
  const model = new T5ForConditionalGeneration({ ...small, vocab_size: data.tokenizer.vocabSize, d_model: 32, d_kv: 8, d_ff: 64, pad_token_id: special.pad, eos_token_id: special.eos, decoder_start_token_id: special.pad })
  const starts = new Set<number>(), states = model.decoder.states.bind(model.decoder)
  model.decoder.states = (target, context) => { starts.add((target.dataSync() as Int32Array)[0]!); return states(target, context) }
  await new Trainer(model, data, { maxSteps: 150, learningRate: 0.01, warmupSteps: 10, disableProgress: true }).train()
  model.decoder.states = states
  expect([...starts]).toEqual([special.pad])
  const written = await translate(model, data.tokenizer, pairs.map(pair => pair.source), { decoderStartTokenId: special.pad, numBeams: 2, maxLength: 8 })
  expect(written.filter((text, i) => text === pairs[i]!.target).length).toBeGreaterThan(22)
  model.dispose()
}, 60_000)

describe('directories', () => {
  let folder = ''
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warpweft-t5-')) })
  afterEach(() => { rmSync(folder, { recursive: true }) })
  const weights = (model: Module): [string, number[]][] => [...model.stateDict()].map(([name, p]) => [name, values(p)])

  test.each<[string, () => Module]>([
    ['T5Model', () => new T5Model(small)], ['T5ForConditionalGeneration', () => new T5ForConditionalGeneration({ ...small, tie_word_embeddings: false })],
    ['T5EncoderModel', () => new T5EncoderModel(small)], ['T5ForSequenceClassification', () => new T5ForSequenceClassification({ ...small, num_labels: 5 })],
    ['T5ForTokenClassification', () => new T5ForTokenClassification(small)], ['T5ForQuestionAnswering', () => new T5ForQuestionAnswering(small)],
    ['MT5ForConditionalGeneration', () => new T5ForConditionalGeneration({ ...small, model_type: 'mt5' })],
  ])('%s: saved, loaded, the same', async (architecture, create) => {
    const model = create()
    await saveModel(join(folder, 'model'), model)
    const { model: loaded, config } = await loadModel(join(folder, 'model'))
    expect(config['architectures']).toEqual([architecture])
    expect(loaded.constructor).toBe(model.constructor)
    expect(weights(loaded)).toEqual(weights(model))
    expect((loaded as T5Model).config).toEqual({ ...(model as T5Model).config, ...(loaded as T5Model).config })
    model.dispose()
    loaded.dispose()
  })

  test('an output layer that differs from the embedding is one of its own, is trained apart and saved', async () => {
    const model = make({ tie_word_embeddings: false })
    await saveModel(join(folder, 'tied'), model)
    const own = [...model.stateDict()].map(([name, p]) => ({ name, dtype: 'F32' as const, shape: [...p.shape], data: () => p.dataSync() as Float32Array }))
    const head = Float32Array.from({ length: 13 * 16 }, (_, i) => Math.sin(i))
    await saveModel(join(folder, 'own'), model)
    await writeSafetensors(join(folder, 'own', 'model.safetensors'), [{ name: 'lm_head.weight', dtype: 'F32', shape: [13, 16], data: () => head }, ...own])
    const tied = (await loadModel(join(folder, 'tied'))).model as T5ForConditionalGeneration
    expect(tied.lm_head.weight).toBe(tied.shared.weight)
    const loaded = (await loadModel(join(folder, 'own'))).model as T5ForConditionalGeneration
    expect(loaded.encoder.embed_tokens.weight).toBe(loaded.shared.weight)
    expect(values(loaded.shared.weight)).toEqual(values(model.shared.weight))
    expect(values(loaded.lm_head.weight)).toEqual([...head])
    scope(() => { backward(loaded.loss({ source: ids([5, 9, 1]), labels: ids([4, 6, 1]) })) })
    expect(loaded.lm_head.weight.grad).toBeDefined()
    await saveModel(join(folder, 'again'), loaded)
    const { model: again, config } = await loadModel(join(folder, 'again'))
    expect(config).toMatchObject({ tie_word_embeddings: false, scale_decoder_outputs: false })
    expect(weights(again)).toEqual(weights(loaded))
    for (const m of [model, tied, loaded, again]) m.dispose()
  })

  test('the encoder of a whole model', async () => {
    const model = make()
    await saveModel(join(folder, 'whole'), model)
    const { model: encoder } = await loadModel(join(folder, 'whole'), { config: { architectures: ['T5EncoderModel'] } })
    expect(encoder).toBeInstanceOf(T5EncoderModel)
    expect(inference(() => values((encoder as T5EncoderModel).forward(ids([5, 9, 1]))))).toEqual(inference(() => values(model.eval().encode(ids([5, 9, 1])))))
    model.dispose()
    encoder.dispose()
  })
})
