import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { main } from '#lib/cli/commandLine.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { openSafetensors } from '#lib/io/safetensorsShards.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { PeftModel } from '#lib/peft/peftModel.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { Tokenizer } from '#lib/text/tokenizer.js'

let folder = '', said = ''
const path = (...names: string[]): string => join(folder, ...names)
const run = async (...args: string[]): Promise<number> => {
  said = ''
  return main(args)
}
const logits = (model: unknown): Float32Array => scope(() => noGrad(() => (model as GPT2).forward(tensor([[3, 4, 5]], null, { dtype: 'int32' })).dataSync() as Float32Array))

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warpweft-finetune-'))
  jest.spyOn(console, 'error').mockImplementation((line: unknown) => { said += `${String(line)}\n` })
  jest.spyOn(process.stderr, 'write').mockImplementation(line => { said += String(line); return true })
  const texts = ['the cat sat', 'a dog ran', 'one two three', 'cats and dogs'], tokenizer = await Tokenizer.train('char', texts)
  manualSeed(1)
  using model = new GPT2({ vocab_size: tokenizer.vocabSize, n_positions: 32, n_embd: 16, n_layer: 2, n_head: 2, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 })
  await saveModel(path('base'), model, tokenizer)
  await writeFile(path('data.jsonl'), Array.from({ length: 20 }, (_, i) => JSON.stringify({ prompt: texts[i % 4], completion: ` ${texts[(i + 1) % 4]}` })).join('\n'))
  await writeFile(path('data.csv'), `text\n${texts.join('\n')}\n`)
})
afterAll(async () => {
  jest.restoreAllMocks()
  await rm(folder, { recursive: true })
})

describe('finetune', () => {
  test('an adapter by a recipe, flags before it; merged into a model; converted to shards', async () => {
    await writeFile(path('recipe.yaml'), `model: ${path('base')}\ndata: ${path('data.jsonl')}\nadapter:\n  peft_type: LORA\n  r: 2\n  target_modules: [c_attn, c_proj]\n`
      + 'learningRate: 0.01\nmaxSteps: 50\nbatchSize: 4\nmaxLength: 32\nlayerwiseLearningRateDecay: 0.9\n')
    expect(await run('finetune', '--recipe', path('recipe.yaml'), '--output-dir', path('adapter'), '--max-steps', '6')).toBe(0)
    expect(said).toMatch(/18 examples \(causal\), 2 for validation/)
    expect(said).toMatch(/6 steps in .*validation: loss/)
    expect((await readdir(path('adapter'))).filter(name => name.endsWith('.safetensors'))).toEqual(['adapter_model.safetensors'])
    const config = JSON.parse(await readFile(path('adapter', 'adapter_config.json'), 'utf8')) as object
    expect(config).toMatchObject({ peft_type: 'LORA', r: 2, task_type: 'CAUSAL_LM', base_model_name_or_path: path('base'), fan_in_fan_out: true })
    const { model } = await loadModel(path('base')), before = logits(model), tuned = await PeftModel.fromPretrained(model, path('adapter')), after = logits(tuned)
    expect(after.some((x, i) => Math.abs(x - before[i]!) > 1e-4)).toBe(true)

    expect(await run('merge', path('adapter'), path('merged'))).toBe(0)
    const merged = await loadModel(path('merged'))
    logits(merged.model).forEach((x, i) => { expect(x).toBeCloseTo(after[i]!, 4) })
    expect(merged.tokenizer).toBeDefined()
    expect(await run('convert', path('merged'), path('half'), '--dtype', 'bfloat16', '--max-shard-size', '4KB')).toBe(0)
    const half = await openSafetensors(path('half'))
    expect(new Set([...half.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['BF16']))
    await half.close()
    expect((await readdir(path('half'))).filter(name => name.endsWith('.safetensors')).length).toBeGreaterThan(1)
    for (const m of [model, merged.model]) m.dispose()
  })

  test('a checkpoint of an adapter holds the adapter, and a training goes on from it with the same numbers', async () => {
    const flags = ['--adapter', 'ia3', '--batch-size', '4', '--max-length', '32', '--learning-rate', '0.05', '--lr-scheduler-type', 'constant']
    expect(await run('finetune', path('base'), path('data.jsonl'), '--output-dir', path('whole'), '--max-steps', '6', ...flags)).toBe(0)
    expect(await run('finetune', path('base'), path('data.jsonl'), '--output-dir', path('parts'), '--max-steps', '3', ...flags)).toBe(0)
    expect((await readdir(path('parts', 'checkpoint-3'))).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors', 'optimizer.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'trainer_state.json'].sort())
    expect(await run('finetune', path('base'), path('data.jsonl'), '--output-dir', path('parts'), '--max-steps', '6', '--resume-from-checkpoint', 'true', ...flags)).toBe(0)
    expect(await readFile(path('parts', 'adapter_model.safetensors'))).toEqual(await readFile(path('whole', 'adapter_model.safetensors')))
  })

  test('all weights, of a table of texts, packed; a quantised base', async () => {
    expect(await run('finetune', path('base'), path('data.csv'), '--output-dir', path('full'), '--max-steps', '2', '--packing', '--max-length', '24', '--validation-split', '0')).toBe(0)
    expect((await loadModel(path('full'))).model).toBeInstanceOf(GPT2)
    expect(await run('finetune', path('base'), path('data.jsonl'), '--output-dir', path('small'), '--max-steps', '2', '--quantize', 'nf4', '--adapter', '{"peft_type": "LORA", "r": 1}')).toBe(0)
    expect(await run('merge', path('small'), path('small merged'), '--base', path('base'))).toBe(0)
  })

  test('mistakes are told by name', async () => {
    const failed = async (...args: string[]): Promise<string> => {
      expect(await run('finetune', ...args)).not.toBe(0)
      return said
    }
    const out = ['--output-dir', path('none')]
    expect(await failed()).toMatch(/say what is trained and on what/)
    expect(await failed(path('base'), path('data.jsonl'))).toMatch(/--output-dir is missing/)
    expect(await failed(path('base'), path('data.jsonl'), ...out, '--quantize', 'nf4')).toMatch(/--quantize is for an adapter/)
    expect(await failed(path('base'), path('data.jsonl'), ...out, '--task', 'summaries')).toMatch(/task is 'summaries', expected one of: causal/)
    expect(await failed(path('base'), path('data.csv'), ...out, '--task', 'classification')).toMatch(/data.csv, row 1: no label under 'label'; there are text/)
    expect(await failed(path('base'), path('data.jsonl'), ...out, '--adapter', 'p-tuning')).toMatch(/peft_type is "P_TUNING", which is not supported/)
    await writeFile(path('bad.yaml'), 'learningrate: 1\n')
    expect(await failed('--recipe', path('bad.yaml'), ...out)).toMatch(/unknown 'learningrate'; do you mean 'learningRate'\?/)
    await writeFile(path('worse.yaml'), 'a: [1\n')
    expect(await failed('--recipe', path('worse.yaml'), ...out)).toMatch(/worse.yaml: /)
    expect(await run('convert', path('base'), path('x'), '--max-shard-size', 'big')).toBe(2)
    expect(said).toMatch(/expected a size such as 2GB/)
  })
})
