import { writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, jest, test } from '@jest/globals'
import { CheckpointError, ConfigError, TokenizerError } from '#lib/errors.js'
import { generate } from '#lib/generate/generate.js'
import { AutoModelForCausalLM, AutoTokenizer, loadModel, saveModel } from '#lib/hub/index.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { modelTypes } from '#lib/models/registry.js'
import { pipeline } from '#lib/pipelines/index.js'
import { manualSeed } from '#lib/tensor/random.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { runCli } from '../cli/runCli.js'
import { temporaryFolder } from '../io/temporaryFolder.js'

// What people do wrong with models of others: one clear message, in a program and at the command line.

const at = temporaryFolder()
jest.setTimeout(120_000)
const sizes = { n_positions: 16, n_embd: 16, n_layer: 1, n_head: 2 }

beforeEach(async () => {
  manualSeed(1)
  const tokenizer = await Tokenizer.train('char', ['abcdefgh :<>']), model = new GPT2({ vocab_size: tokenizer.vocabSize, ...sizes })
  await saveModel(at('model'), model, tokenizer)
  await saveModel(at('bare'), model)
  model.dispose()
})

/** The command's error, which is one line. */
async function line(args: readonly string[], options: Parameters<typeof runCli>[1] = {}): Promise<string> {
  const { code, out, err } = await runCli(args, options)
  expect([code, out]).toEqual([1, ''])
  expect(err).toMatch(/^warpweft: [^\n]+\n$/)
  return err
}

describe('one line says what is wrong', () => {
  test('a wrong directory', async () => {
    for (const load of [AutoModelForCausalLM.fromPretrained(at('modle')), AutoTokenizer.fromPretrained(at('modle')), pipeline('text-generation', at('modle'))]) {
      await expect(load).rejects.toThrow(CheckpointError)
      await expect(load).rejects.toThrow(/modle: there is no such folder, and it is no id of a model on the Hub\. Give the folder of a model, with config\.json and model\.safetensors, or organisation\/name\.$/)
    }
    await expect(AutoModelForCausalLM.fromPretrained(at())).rejects.toThrow(/has no config\.json: it is not the folder of a model\.$/)
    expect(await line(['generate', at('modle'), '--prompt', 'a'])).toMatch(/modle: there is no such folder/)
  })

  test('no tokenizer', async () => {
    await expect(AutoTokenizer.fromPretrained(at('bare'))).rejects.toThrow(TokenizerError)
    await expect(AutoTokenizer.fromPretrained(at('bare'))).rejects.toThrow(/tokenizer\.json/)
    await expect(pipeline('text-generation', at('bare'))).rejects.toThrow(/bare has no tokenizer\. Put its tokenizer\.json beside config\.json\.$/)
    expect(await line(['generate', at('bare'), '--prompt', 'a'])).toMatch(/bare has no tokenizer\.json\. Put the one that the model was trained with beside its config\.json\.\n$/)
  })

  test('a type that is not known: those that are', async () => {
    writeFileSync(at('model', 'config.json'), JSON.stringify({ model_type: 'mamba', architectures: ['MambaForCausalLM'] }))
    const load = AutoModelForCausalLM.fromPretrained(at('model'))
    await expect(load).rejects.toThrow(CheckpointError)
    const { message } = await load.then(() => new Error('it was loaded'), (error: unknown) => error as Error)
    expect(message).toMatch(/config\.json: model_type is "mamba"; known are .*\.$/)
    for (const type of modelTypes) expect(message).toContain(type)
    expect(modelTypes).toEqual(expect.arrayContaining(['gpt2', 'llama', 'bert', 't5', 'bart']))
    expect(await line(['info', at('model')])).toContain(message)
  })

  test('a conversation with a model that has no template', async () => {
    const write = await pipeline('text-generation', at('model'))
    await expect(write([{ role: 'user', content: 'a' }])).rejects.toThrow(/the model has no chat template, so it cannot be given messages\. Give a text, or put a chat_template\.jinja beside its config\.json$/)
    write.dispose()
    expect(await line(['chat', at('model')], { input: 'a\n' })).toMatch(/has no chat template \(chat_template\.jinja, or chat_template in tokenizer_config\.json\).*--chat-template FILE\.\n$/)
  })

  test('a context that is too long', async () => {
    const { model, tokenizer } = await loadModel(at('model')), ids = (text: string): number[] => tokenizer!.encode(text).ids
    for (const [prompt, options, message] of [
      ['abcdefgh'.repeat(3), {}, /the prompt has 24 tokens, and the model positions for 16\. Shorten it\.$/],
      ['abcdefgh', { maxNewTokens: 10 }, /a prompt of 8 tokens and 10 new ones do not fit into the 16 positions of the model\. Use maxNewTokens of at most 9\.$/],
      ['abcdefgh'.repeat(3), { maxNewTokens: 1 }, /24 tokens .*Use maxNewTokens of at most 0, after shortening the prompt\.$/],
    ] as const) {
      const generation = generate(model as GPT2, ids(prompt), options)
      await expect(generation).rejects.toThrow(ConfigError)
      await expect(generation).rejects.toThrow(message)
    }
    model.dispose()
    expect(await line(['generate', at('model'), '--prompt', 'abcdefgh'.repeat(3)])).toMatch(/24 tokens/)
  })

  test('memory that is not there', async () => {
    // The keys and values of half a million positions, 2 x 32 MB, where tensors may take 40.
    const tokenizer = await Tokenizer.train('char', ['abcdefgh :<>'])
    const long = new Llama({ vocab_size: tokenizer.vocabSize, hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 1_000_000 })
    await saveModel(at('long'), long, tokenizer)
    long.dispose()
    const flags = ['--prompt', 'a', '--max-new-tokens', '500000', '--cache-implementation', 'static']
    expect(await line(['generate', at('long'), ...flags], { env: { WARPWEFT_MEMORY_LIMIT: '40000000' } }))
      .toMatch(/a tensor float32 \[1, 500000, 2, 8\] asked for 32\.0 MB on cpu, where \d+\.\d MB are in use in \d+ tensors and 40\.0 MB may be used\. Use [^\n]+\n$/)
  })
})
