import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { describe, expect, jest, test } from '@jest/globals'
import { CheckpointError, ConfigError } from '#lib/errors.js'
import { SafetensorsFile } from '#lib/io/safetensors.js'
import { writeSafetensors } from '#lib/io/safetensorsWriter.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Transformer } from '#lib/models/transformer.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { averageCheckpoints } from '#lib/train/index.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { bitsOf, tinyModel } from '../train/tinyTask.js'

const at = temporaryFolder()
// Saves wait for the disk, which other tests use as well.
jest.setTimeout(60_000)
const transformer = (seed = 1) => { manualSeed(seed); return new Transformer({ vocabSize: 23, dModel: 16, layers: 2, normFirst: true, finalNorm: true }) }
const gpt2 = (seed = 1) => { manualSeed(seed); return new GPT2({ vocab_size: 23, n_positions: 12, n_embd: 8, n_layer: 2, n_head: 2 }) }
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>

describe('a model directory', () => {
  test('gives a Transformer back, with its tokenizer and configuration, ready to be used', async () => {
    const tokenizer = await Tokenizer.train('char', ['ab', 'ba'])
    const model = transformer()
    await saveModel(at('model'), model, tokenizer)
    expect(readdirSync(at('model')).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
    const loaded = await loadModel(at('model'))
    expect(bitsOf(loaded.model)).toEqual(bitsOf(model))
    expect((loaded.model as Transformer).config).toEqual(model.config)
    expect(loaded.config).toMatchObject({ model_type: 'warpweft-transformer', dModel: 16, torch_dtype: 'float32' })
    expect(loaded.model.training).toBe(false)
    expect(loaded.tokenizer!.encode('abba').ids).toEqual(tokenizer.encode('abba').ids)
  })

  test('of GPT-2 has the names of Hugging Face, and the tied weights once', async () => {
    const model = gpt2()
    await saveModel(at('model'), model)
    expect(json(at('model', 'config.json'))).toMatchObject({ model_type: 'gpt2', architectures: ['GPT2LMHeadModel'], n_embd: 8, tie_word_embeddings: true })
    const file = await SafetensorsFile.open(at('model', 'model.safetensors'))
    expect(file.tensors.has('transformer.h.1.attn.c_attn.weight')).toBe(true)
    expect(file.tensors.get('transformer.h.1.attn.c_attn.weight')!.shape).toEqual([8, 24])
    expect([...file.tensors.keys()].filter(name => name.startsWith('lm_head'))).toEqual([])
    await file.close()
    expect(bitsOf((await loadModel(at('model'))).model)).toEqual(bitsOf(model))
  })

  test('of GPT-2 as older files have it loads too: without prefix, with causal masks and a second copy of the tied weights', async () => {
    const model = gpt2()
    await saveModel(at('model'), model)
    const tensors = [...model.stateDict()].map(([name, p]) => ({ name: name.replace(/^transformer\./, ''), dtype: 'F32' as const, shape: p.shape, data: p.dataSync() as Float32Array }))
    const embedding = tensors.find(({ name }) => name === 'wte.weight')!
    const mask = { name: 'h.0.attn.bias', dtype: 'U8' as const, shape: [1, 1, 12, 12], data: new Uint8Array(144) }
    const write = (head: Float32Array) => writeSafetensors(at('model', 'model.safetensors'), [...tensors, mask, { ...embedding, name: 'lm_head.weight', data: head }])
    await write(embedding.data)
    expect(bitsOf((await loadModel(at('model'))).model)).toEqual(bitsOf(model))
    await write(embedding.data.map(value => value + 1))
    await expect(loadModel(at('model'))).rejects.toThrow(/lm_head.weight.*differ|differ/)
  })

  test('is saved in the dtype that it was loaded in', async () => {
    await saveModel(at('half'), transformer(), undefined, { dtype: 'bfloat16' })
    const { model } = await loadModel(at('half'))
    await saveModel(at('again'), model)
    expect(readFileSync(at('again', 'model.safetensors'))).toEqual(readFileSync(at('half', 'model.safetensors')))
    expect(json(at('again', 'config.json'))['torch_dtype']).toBe('bfloat16')
    await saveModel(at('full'), model, undefined, { dtype: 'float32' })
    expect(bitsOf((await loadModel(at('full'))).model)).toEqual(bitsOf(model))
  })

  test('has floats in its config.json where transformers refuses integers', async () => {
    await saveModel(at('model'), new GPT2({ vocab_size: 5, n_positions: 4, n_embd: 4, n_layer: 1, n_head: 1, initializer_range: 2, rope_scaling: { factor: 4 } }))
    const text = readFileSync(at('model', 'config.json'), 'utf8')
    expect(text).toMatch(/"initializer_range": 2\.0,\n/)
    expect(text).toMatch(/"factor": 4\.0\n/)
    expect(text).toMatch(/"n_layer": 1,\n/)
    expect(JSON.parse(text)).toMatchObject({ initializer_range: 2, n_layer: 1 })
  })

  test('keeps what else is in a folder', async () => {
    mkdirSync(at('model', 'checkpoint-1'), { recursive: true })
    await saveModel(at('model'), transformer())
    await saveModel(at('model'), gpt2())
    expect(readdirSync(at('model')).sort()).toEqual(['checkpoint-1', 'config.json', 'model.safetensors'])
    expect((await loadModel(at('model'))).model).toBeInstanceOf(GPT2)
  })

  test('that does not fit its weights is refused with all that differs', async () => {
    await saveModel(at('model'), transformer())
    const config = json(at('model', 'config.json'))
    writeFileSync(at('model', 'config.json'), JSON.stringify({ ...config, vocabSize: 24, encoderLayers: 1, decoderLayers: 3 }))
    const error = await loadModel(at('model')).then(() => undefined, (error: unknown) => error as Error)
    expect(error).toBeInstanceOf(CheckpointError)
    for (const part of [/embedding.weight is \[23, 16\], the model has \[24, 16\]/, /unexpected: transformer.encoder.layers.1.linear1.weight/, /missing: transformer.decoder.layers.2.norm3.bias/])
      expect(error!.message).toMatch(part)
  })

  test.each([
    ['no folder', () => undefined, /no such folder/],
    ['no config.json', () => { mkdirSync(at('model')) }, /no config.json/],
    ['only checkpoints', () => { mkdirSync(at('model', 'checkpoint-3'), { recursive: true }); writeFileSync(at('model', 'checkpoint-3', 'trainer_state.json'), '{}') }, /Use one of them, such as .*checkpoint-3/],
    ['a config.json that is not JSON', () => { mkdirSync(at('model')); writeFileSync(at('model', 'config.json'), '{') }, /not JSON/],
    ['an unknown model', () => { mkdirSync(at('model')); writeFileSync(at('model', 'config.json'), '{"model_type": "mamba"}') }, /"mamba"; known are warpweft-transformer, gpt2/],
    ['an unknown variation', () => { mkdirSync(at('model')); writeFileSync(at('model', 'config.json'), '{"model_type": "gpt2", "add_cross_attention": true}') }, /add_cross_attention: true is not supported/],
    ['a configuration that cannot be built', () => { mkdirSync(at('model')); writeFileSync(at('model', 'config.json'), '{"model_type": "warpweft-transformer", "vocabSize": 0}') }, /vocabSize is 0.*by hand/],
    ['no weights', () => { mkdirSync(at('model')); writeFileSync(at('model', 'config.json'), '{"model_type": "gpt2", "n_layer": 1, "n_embd": 12, "vocab_size": 5}') }, /neither model.safetensors/],
  ])('with %s is refused with what to do', async (_, make, message) => {
    make()
    await expect(loadModel(at('model'))).rejects.toThrow(message)
    await expect(loadModel(at('model'))).rejects.toThrow(CheckpointError)
  })

  test('with the tokenizer of another model is refused', async () => {
    await saveModel(at('model'), gpt2(), await Tokenizer.train('char', ['abcdefghijklmnopqrstuvwxyz']))
    await expect(loadModel(at('model'))).rejects.toThrow(/30 tokens, the model embeddings for 23/)
  })

  test('of a module that is not one of ours is written with its own configuration', async () => {
    await saveModel(at('model'), tinyModel())
    expect(json(at('model', 'config.json'))).toEqual({ architectures: ['TinyModel'], vocabulary: 11, width: 16, dropout: 0.2, torch_dtype: 'float32' })
  })

  test('computes the same as the model that was saved', async () => {
    const model = gpt2().eval()
    await saveModel(at('model'), model)
    const loaded = (await loadModel(at('model'))).model as GPT2
    const logits = (m: GPT2) => scope(() => noGrad(() => m.forward(tensor(Int32Array.from([1, 2, 3, 4]), [1, 4])).dataSync()))
    expect(logits(loaded)).toEqual(logits(model))
  })
})

describe('averaging checkpoints', () => {
  test('gives the mean of the weights, as values and as a model directory', async () => {
    const models = [transformer(1), transformer(2), transformer(3)]
    for (const [i, model] of models.entries()) await saveModel(at(`checkpoint-${i}`), model)
    const averaged = await averageCheckpoints([0, 1, 2].map(i => at(`checkpoint-${i}`)), { output: at('averaged') })
    const [name, { data }] = [...averaged][5]!
    const values = models.map(model => model.stateDict().get(name)!.dataSync() as Float32Array)
    data.forEach((value, i) => { expect(value).toBe(Math.fround((values[0]![i]! + values[1]![i]! + values[2]![i]!) / 3)) })
    const target = transformer(9)
    target.loadStateDict(averaged)
    expect(bitsOf((await loadModel(at('averaged'))).model)).toEqual(bitsOf(target))
  })

  test('of one checkpoint changes no bit', async () => {
    const model = gpt2()
    await saveModel(at('a'), model)
    const target = gpt2(4)
    target.loadStateDict(await averageCheckpoints([at('a'), at('a'), at('a')]))
    expect(bitsOf(target)).toEqual(bitsOf(model))
  })

  test('of different models, of nothing, or of what is not there is refused', async () => {
    await saveModel(at('a'), gpt2())
    await saveModel(at('b'), transformer())
    await expect(averageCheckpoints([at('a'), at('b')])).rejects.toThrow(/different models.*wte.weight.*embedding.weight/)
    await expect(averageCheckpoints([])).rejects.toThrow(ConfigError)
    rmSync(at('b', 'model.safetensors'))
    await expect(averageCheckpoints([at('a'), at('b')])).rejects.toThrow(/neither model.safetensors/)
  })
})
