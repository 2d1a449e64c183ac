import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { ConfigError, DataError } from '#lib/errors.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Transformer } from '#lib/models/transformer.js'
import { translate } from '#lib/generate/translate.js'
import { memory } from '#lib/tensor/device.js'
import type { Module } from '#lib/nn/module.js'
import { manualSeed } from '#lib/tensor/random.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { loadModel } from '#lib/hub/modelDirectory.js'
import { fineTuningData, languageModelData, Trainer, translationData, type TrainingOptions } from '#lib/train/index.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { bitsOf } from './tinyTask.js'

const at = temporaryFolder()
const quiet: TrainingOptions = { disableProgress: true }

// Several trainings share the machine with other tests.
jest.setTimeout(60_000)

/** Numbers in words, and in digits the other way round. */
const names = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
const pairs = Array.from({ length: 100 }, (_, i) => ({ source: `${names[Math.floor(i / 10)]} ${names[i % 10]}`, target: `${i % 10} ${Math.floor(i / 10)}` }))
const lines = pairs.map(({ source, target }) => `${source}\t${target}\n`).join('')

describe('translation data', () => {
  test('of a file trains a tokenizer, encodes, and holds a part out', async () => {
    writeFileSync(at('train.tsv'), `${lines}\n\n`)
    const data = await translationData(at('train.tsv'), { tokenizerKind: 'word', validationSize: 10 })
    expect([data.train.length, data.validation!.encoded.length, data.validation!.pairs.length]).toEqual([90, 10, 10])
    expect(data.train.report).toMatchObject({ read: 102, kept: 100, empty: 2 })
    expect(data.summary).toContain('102 read, 100 kept, 2 empty; validation: 10 pairs')
    const decoded = (i: number) => data.tokenizer.decode(data.train.source.at(i))
    const held = new Set(data.validation!.pairs.map(({ source }) => source))
    expect(Array.from({ length: 90 }, (_, i) => decoded(i))).toEqual(pairs.filter(({ source }) => !held.has(source)).map(({ source }) => source))
    const again = await translationData(at('train.tsv'), { tokenizerKind: 'word', validationSize: 10 })
    expect(again.validation!.pairs).toEqual(data.validation!.pairs)
    expect((await translationData(at('train.tsv'), { tokenizerKind: 'word', validationSize: 10, splitSeed: 1 })).validation!.pairs).not.toEqual(data.validation!.pairs)
  })

  test('takes pairs, aligned files, a tokenizer and validation of its own', async () => {
    const tokenizer = await Tokenizer.train('word', pairs.flatMap(({ source, target }) => [source, target]))
    await tokenizer.save(at('tokenizer'))
    writeFileSync(at('a.en'), pairs.map(({ source }) => `${source}\n`).join(''))
    writeFileSync(at('a.de'), pairs.map(({ target }) => `${target}\n`).join(''))
    const ofPairs = await translationData(pairs, { tokenizer, validation: pairs.slice(0, 7) })
    const ofFiles = await translationData({ source: at('a.en'), target: at('a.de') }, { tokenizer: at('tokenizer'), validation: { source: at('a.en'), target: at('a.de') } })
    expect([ofPairs.train.length, ofPairs.validation!.encoded.length]).toEqual([100, 7])
    expect([ofFiles.train.length, ofFiles.validation!.encoded.length]).toEqual([100, 100])
    expect(ofFiles.train.source.all()).toEqual(ofPairs.train.source.all())
    expect((await translationData(pairs, { tokenizer, validationSize: 0 })).validation).toBeUndefined()
  })

  test('encodes sources as translations will, also with a template of the tokenizer', async () => {
    const tokenizer = await Tokenizer.train('word', pairs.flatMap(({ source, target }) => [source, target]), { addBos: true, addEos: true })
    const data = await translationData(pairs, { tokenizer, validationSize: 0 })
    expect([...data.train.source.at(0)]).toEqual(tokenizer.encode(pairs[0]!.source).ids.slice(0, -1))
    expect([...data.train.target.at(0)]).toEqual(tokenizer.encode(pairs[0]!.target, { addSpecialTokens: false }).ids)
  })

  test('refuses options that are unknown or make no sense', async () => {
    const tokenizer = await Tokenizer.train('char', ['a'])
    await expect(translationData(pairs, { vocabsize: 3 } as never)).rejects.toThrow(/unknown option vocabsize. Known are .*vocabSize/)
    await expect(translationData(pairs, { tokenizer, vocabSize: 5 })).rejects.toThrow(ConfigError)
    await expect(translationData(pairs, { validation: pairs, validationSize: 5 })).rejects.toThrow(ConfigError)
    await expect(translationData(pairs, { format: 'tsv' })).rejects.toThrow(/is for files/)
    await expect(translationData(pairs, { validationSize: 100 })).rejects.toThrow(DataError)
    await expect(translationData(at('nothing.tsv'))).rejects.toThrow(/nothing.tsv/)
    const bare = await Tokenizer.train('char', ['ab'], { specialTokens: ['<unk>'] })
    await expect(translationData(pairs, { tokenizer: bare })).rejects.toThrow(/padToken, bosToken, eosToken/)
  })
})

describe('a Transformer', () => {
  let data: Awaited<ReturnType<typeof translationData>>
  beforeAll(async () => { data = await translationData(pairs, { tokenizerKind: 'word', validation: pairs, maxTokens: 300 }) })
  // Freed test by test: what is left to the garbage collector may go while another test counts tensors.
  const models: Module[] = []
  afterEach(() => { for (const model of models.splice(0)) model.dispose() })
  const transformer = () => {
    manualSeed(3)
    const model = new Transformer({ vocabSize: data.vocabSize, dModel: 32, heads: 4, layers: 1, dropout: 0.1, normFirst: true, finalNorm: true })
    models.push(model)
    return model
  }

  test('learns to translate, is scored, and is saved with its tokenizer', async () => {
    const model = transformer()
    const result = await new Trainer(model, data, { ...quiet, maxSteps: 150, learningRate: 5e-3, warmupSteps: 15, labelSmoothingFactor: 0.1, predictWithGenerate: true, outputDir: at('out') }).train()
    expect(result.metrics!.loss).toBeLessThan(0.5)
    expect(result.metrics!['chrf']).toBeGreaterThan(60)
    expect(result.metrics!['bleu']).toBeGreaterThanOrEqual(0)
    const loaded = await loadModel(at('out'))
    models.push(loaded.model)
    expect(bitsOf(loaded.model)).toEqual(bitsOf(model))
    const texts = pairs.slice(0, 20).map(({ source }) => source)
    expect(await translate(loaded.model as Transformer, loaded.tokenizer!, texts)).toEqual(await translate(model, data.tokenizer, texts))
  })

  test('gets the same gradients with recomputed activations, in the same bits, with dropout on', async () => {
    const [plain, recomputed] = [transformer(), transformer()]
    await new Trainer(plain, data, { ...quiet, maxSteps: 6, learningRate: 1e-2 }).train()
    await new Trainer(recomputed, data, { ...quiet, maxSteps: 6, learningRate: 1e-2, gradientCheckpointing: true }).train()
    expect(bitsOf(recomputed)).toEqual(bitsOf(plain))
    const attention = transformer()
    await new Trainer(attention, data, { ...quiet, maxSteps: 6, learningRate: 1e-2, gradientCheckpointing: true, gradientCheckpointingLevel: 'attention' }).train()
    expect(bitsOf(attention)).toEqual(bitsOf(plain))
  })

  test('trains in bfloat16 with float32 weights', async () => {
    const model = transformer()
    const result = await new Trainer(model, data, { ...quiet, maxSteps: 150, learningRate: 5e-3, warmupSteps: 15, bf16: true }).train()
    expect(result.metrics!.loss).toBeLessThan(0.8)
    expect(model.parameters().every(p => p.dtype === 'float32')).toBe(true)
  })

  test('leaves no tensor behind but its own, and resumes in the same bits', async () => {
    const whole = transformer(), options = { ...quiet, maxSteps: 20, learningRate: 1e-2, gradientAccumulationSteps: 2, saveSteps: 9, maxGradNorm: 0.5 }
    await new Trainer(whole, data, { ...options, outputDir: at('whole') }).train()
    const { tensors } = memory()
    const parts = transformer()
    expect(await new Trainer(parts, data, { ...options, outputDir: at('parts'), callbacks: { onStepEnd({ step, stop }) { if (step === 13) stop() } } }).train()).toMatchObject({ step: 13 })
    parts.dispose()
    const resumed = transformer()
    await new Trainer(resumed, data, { ...options, outputDir: at('parts'), resumeFromCheckpoint: true }).train()
    expect(bitsOf(resumed)).toEqual(bitsOf(whole))
    // A model more, and its table of positions, which is made at the first use.
    resumed.dispose()
    expect(memory().tensors).toBeLessThanOrEqual(tensors)   // less, where garbage of other tests has gone meanwhile
  })

  test('with too small an embedding, or a model without encoder, is refused', async () => {
    await expect(new Trainer(new Transformer({ vocabSize: 5, dModel: 16, layers: 1 }), data, quiet).train()).rejects.toThrow(/5 tokens.*vocabSize: data.vocabSize/)
    await expect(new Trainer(new GPT2({ vocab_size: 40, n_embd: 8, n_layer: 1, n_head: 2 }), data, quiet).train()).rejects.toThrow(/encoder and decoder/)
  })
})

describe('a language model', () => {
  const text = 'the cat sat on the mat. '.repeat(120)

  test('learns a text, whose end is held out', async () => {
    writeFileSync(at('text.txt'), text)
    const data = await languageModelData(at('text.txt'), { tokenizerKind: 'char', batchSize: 4, blockSize: 16 })
    expect([data.train.length, data.validation!.length]).toEqual([2592, 288])
    manualSeed(1)
    const model = new GPT2({ vocab_size: data.vocabSize, n_positions: 16, n_embd: 32, n_layer: 1, n_head: 2, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 })
    const result = await new Trainer(model, data, { ...quiet, maxSteps: 120, learningRate: 1e-2, warmupSteps: 10, outputDir: at('out') }).train()
    expect(result.metrics!.loss).toBeLessThan(0.6)
    expect(result.epoch).toBeCloseTo(120 * 64 / 2592, 6)
    expect(JSON.parse(readFileSync(at('out', 'config.json'), 'utf8'))).toMatchObject({ model_type: 'gpt2', eos_token_id: data.tokenizer.eosId })
    expect(bitsOf((await loadModel(at('out'))).model)).toEqual(bitsOf(model))
  })

  test('trains for epochs, and resumes in the same bits', async () => {
    writeFileSync(at('texts.jsonl'), ['one two three', 'two three four', 'three four five'].flatMap(line => Array.from({ length: 20 }, () => JSON.stringify({ text: line }))).join('\n'))
    const data = await languageModelData(at('texts.jsonl'), { tokenizerKind: 'word', batchSize: 2, blockSize: 8 })
    const gpt2 = () => { manualSeed(1); return new GPT2({ vocab_size: data.vocabSize, n_positions: 8, n_embd: 16, n_layer: 1, n_head: 2 }) }
    const whole = gpt2(), options = { ...quiet, numTrainEpochs: 1, learningRate: 1e-2 }
    const result = await new Trainer(whole, data, { ...options, outputDir: at('a') }).train()
    expect(result.step).toBe(Math.ceil(data.train.length / 16))
    await new Trainer(gpt2(), data, { ...options, outputDir: at('b'), callbacks: { onStepEnd({ step, stop }) { if (step === 5) stop() } } }).train()
    const resumed = gpt2()
    await new Trainer(resumed, data, { ...options, outputDir: at('b'), resumeFromCheckpoint: true }).train()
    expect(bitsOf(resumed)).toEqual(bitsOf(whole))
  })

  test('that does not go with its data is refused', async () => {
    writeFileSync(at('text.txt'), text)
    const data = await languageModelData(at('text.txt'), { tokenizerKind: 'char', blockSize: 16 })
    await expect(new Trainer(new GPT2({ vocab_size: 64, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2 }), data, quiet).train()).rejects.toThrow(/blockSize is 16.*8 positions/)
    await expect(new Trainer(new GPT2({ vocab_size: 3, n_positions: 16, n_embd: 8, n_layer: 1, n_head: 2 }), data, quiet).train()).rejects.toThrow(/data.vocabSize/)
    await expect(languageModelData(at('text.txt'), { blockSize: 4000, tokenizerKind: 'char' })).rejects.toThrow(/too few for one block/)
    await expect(languageModelData(at('text.txt'), { split: 3 } as never)).rejects.toThrow(/unknown option split/)
  })
})

describe('fine-tuning with separate packing', () => {
  test('goes the way of a row for each example, in fewer columns', async () => {
    const tokenizer = await Tokenizer.train('word', pairs.flatMap(({ source, target }) => [source, target]))
    writeFileSync(at('rows.jsonl'), pairs.map(({ source, target }, i) => `${JSON.stringify({ prompt: source.repeat(1 + i % 4), completion: target })}\n`).join(''))
    const trained = async (packing: false | 'separate'): Promise<{ loss: number, weight: Float32Array }> => {
      manualSeed(1)
      const model = new GPT2({ vocab_size: tokenizer.vocabSize, n_positions: 32, n_embd: 16, n_layer: 2, n_head: 2, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 })
      const data = await fineTuningData(at('rows.jsonl'), { tokenizer, packing, maxLength: 16, batchSize: 8 })
      const { metrics } = await new Trainer(model, data, { ...quiet, maxSteps: 12, learningRate: 1e-2, evalSteps: 12 }).train()
      const weight = (model.transformer.wte.weight.dataSync() as Float32Array).slice()
      model.dispose()
      return { loss: metrics!.loss!, weight }
    }
    const apart = await trained(false), together = await trained('separate')
    expect(Math.abs(together.loss - apart.loss)).toBeLessThan(1e-3 * apart.loss)
    expect(together.weight.reduce((m, w, i) => Math.max(m, Math.abs(w - apart.weight[i]!)), 0)).toBeLessThan(1e-3)
    await expect(fineTuningData(at('rows.jsonl'), { tokenizer, packing: 'seperate' as 'separate' })).rejects.toThrow(/packing is "seperate", expected true, false or 'separate'/)
  })
})
