import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { generate } from '#lib/generate/generate.js'
import { loadModel } from '#lib/hub/modelDirectory.js'
import { openSafetensors } from '#lib/io/safetensorsShards.js'
import { BartForConditionalGeneration } from '#lib/models/bart.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { AdamW } from '#lib/optim/adamW.js'
import { getPeftModel, PeftModel, type PeftOptions } from '#lib/peft/index.js'
import type { Module } from '#lib/nn/module.js'
import { tensor } from '#lib/tensor/create.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'

const sizes = { vocab_size: 19, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 32 }
const gptSizes = { vocab_size: 19, n_positions: 32, n_embd: 16, n_layer: 2, n_head: 4, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 }
const text = [[3, 5, 1, 7, 2, 11], [4, 4, 9, 18, 0, 6]]
const batch = () => ({ ids: tensor(text, null, { dtype: 'int32' }), labels: tensor(text.map(row => [...row.slice(1), -100]), null, { dtype: 'int32' }) })
const llama = (seed = 1): Llama => { manualSeed(seed); return new Llama({ ...sizes, initializer_range: 0.3 }).eval() }
const gpt2 = (seed = 1): GPT2 => { manualSeed(seed); return new GPT2({ ...gptSizes, initializer_range: 0.3 }).eval() }
const logits = (model: Module): Float32Array => scope(() => noGrad(() => (model as Llama).forward(batch().ids).dataSync() as Float32Array))
const distance = (a: Float32Array, b: Float32Array): number => a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0)

/** Steps of training, so that the adapter does something. */
function trained<M extends Llama | GPT2>(model: M, steps = 3): number[] {
  const optimizer = new AdamW(model, { learningRate: 0.05 })
  const losses = Array.from({ length: steps }, () => scope(() => {
    const loss = model.loss(batch())
    backward(loss)
    optimizer.step()
    optimizer.zeroGrad()
    return loss.itemSync()
  }))
  optimizer.dispose()
  return losses
}

let folder = ''
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'warpweft-peft-')) })
afterAll(() => rm(folder, { recursive: true }))

const kinds: Record<string, PeftOptions> = {
  'LoRA': { peft_type: 'LORA', r: 4, target_modules: ['q_proj', 'v_proj', 'c_attn'] },
  'rsLoRA with biases': { peft_type: 'LORA', r: 4, use_rslora: true, bias: 'all', target_modules: 'all-linear' },
  'DoRA': { peft_type: 'LORA', r: 4, use_dora: true, target_modules: ['q_proj', 'down_proj', 'c_attn', 'c_proj'] },
  'IA3': { peft_type: 'IA3' },
  'bottlenecks': { peft_type: 'BOTTLENECK', bottleneck_size: 3, target_modules: ['o_proj', 'down_proj', 'c_proj'], non_linearity: 'gelu', scaling: 2 },
}
const prompts: Record<string, PeftOptions> = {
  'prompt tuning': { peft_type: 'PROMPT_TUNING', num_virtual_tokens: 3, task_type: 'CAUSAL_LM' },
  'prefix tuning': { peft_type: 'PREFIX_TUNING', num_virtual_tokens: 3, task_type: 'CAUSAL_LM' },
}

describe.each([['Llama', llama], ['GPT2', gpt2]] as const)('%s', (_, create) => {
  test.each(Object.entries(kinds))('%s begins as the base, trains the adapter alone, is saved, and loads on another base of the same weights', async (name, options) => {
    const base = create(), before = logits(base), weights = new Map([...base.namedParameters()].map(([path, p]) => [path, p.dataSync()]))
    const tuned = getPeftModel(base, options)
    expect(distance(logits(tuned), before)).toBeLessThan(1e-5)
    const losses = trained(tuned)
    expect(losses.at(-1)).toBeLessThan(losses[0]!)
    const after = logits(tuned)
    expect(distance(after, before)).toBeGreaterThan(1e-3)

    const directory = join(folder, `${base.constructor.name} ${name}`)
    await tuned.savePretrained(directory)
    const other = await PeftModel.fromPretrained(create(), directory)
    expect(distance(logits(other), after)).toBe(0)
    expect(other.parameters().filter(p => p.requiresGrad)).toEqual([])
    const plain = tuned.unload()
    expect(plain).toBe(base)
    for (const [path, p] of base.namedParameters()) if (options.peft_type !== 'LORA' || options.bias === undefined || !path.endsWith('bias')) expect([path, p.dataSync()]).toEqual([path, weights.get(path)])
    for (const model of [base, other]) model.dispose()
  })

  test.each([...Object.entries(kinds), ['LoRA on the embedding', { peft_type: 'LORA', r: 4, target_modules: ['embed_tokens', 'wte'] }] as const])(
    '%s in bfloat16 is near what it is in float32, on layers that add to the residual stream too', (_name, options) => {
      const model = getPeftModel<Llama | GPT2>(create(), options)
      trained(model)
      const run = (precision: 'float32' | 'bfloat16'): number[] => scope(() => autocast(precision, () => {
        expect(model.decoder.forward(batch().ids).dtype).toBe('float32')
        backward(model.loss(batch()))
        const all = [...noGrad(() => model.forward(batch().ids)).dataSync() as Float32Array]
        for (const [, p] of model.namedParameters()) {
          if (p.requiresGrad) all.push(...p.grad!.dataSync() as Float32Array)
          p.grad?.dispose()
          p.grad = undefined
        }
        return all
      }))
      const exact = run('float32'), half = run('bfloat16'), length = (v: number[]): number => Math.sqrt(v.reduce((s, x) => s + x * x, 0))
      expect(length(exact.map((x, i) => x - half[i]!)) / length(exact)).toBeLessThan(0.1)
      model.dispose()
    })

  test.each(Object.entries(kinds).filter(([name]) => name !== 'bottlenecks'))('%s merged computes the same, unmerged and disabled the base', (_name, options) => {
    const base = create(), before = logits(base), names = [...base.namedParameters()].map(([path]) => path)
    const tuned = getPeftModel(base, options.peft_type === 'LORA' ? { ...options, bias: 'none' } : options)
    trained(tuned)
    const after = logits(tuned)
    tuned.disableAdapter(() => { expect(distance(logits(tuned), before)).toBe(0) })
    tuned.mergeAdapter()
    expect(distance(logits(tuned), after)).toBeLessThan(2e-5)
    tuned.disableAdapter(() => { expect(distance(logits(tuned), before)).toBeLessThan(2e-5) })
    expect(distance(logits(tuned), after)).toBeLessThan(2e-5)
    expect(() => { tuned.mergeAdapter() }).toThrow(/default is merged already/)
    tuned.unmergeAdapter()
    expect(distance(logits(tuned), after)).toBeLessThan(2e-5)
    const plain = tuned.mergeAndUnload()
    expect([...plain.namedParameters()].map(([path]) => path)).toEqual(names)
    expect(distance(logits(plain), after)).toBeLessThan(2e-5)
    base.dispose()
  })

  test.each(Object.entries(prompts))('%s trains virtual tokens, is saved and loaded, and generation sees them', async (name, options) => {
    const base = create(), before = logits(base), tuned = getPeftModel(base, options)
    const losses = trained(tuned, 6)
    expect(losses.at(-1)).toBeLessThan(losses[0]!)
    const after = logits(tuned)
    const directory = join(folder, `${base.constructor.name} ${name}`)
    await tuned.savePretrained(directory)
    const other = await PeftModel.fromPretrained(create(), directory)
    expect(distance(logits(other), after)).toBe(0)
    tuned.disableAdapter(() => { expect(distance(logits(tuned), before)).toBe(0) })

    // Padded on the left, each prompt gives what it gives alone; and that is what whole passes over the growing text give.
    const rows = [[7, 3], [5, 9, 1, 2]], width = 4
    const padded = rows.map(row => [...new Array<number>(width - row.length).fill(0), ...row]), mask = rows.map(row => [...new Array<number>(width - row.length).fill(0), ...row.map(() => 1)])
    const int = (values: number[][]) => tensor(values, null, { dtype: 'int32' })
    const options6 = { maxNewTokens: 6, eosTokenId: 100, padTokenId: 0 }
    const { sequences } = await generate(other, { inputIds: int(padded), attentionMask: int(mask) }, options6)
    for (const [i, row] of rows.entries()) {
      const grown = [...row]
      for (let step = 0; step < 6; step++) {
        const all = scope(() => noGrad(() => other.forward(int([grown])).dataSync() as Float32Array)), last = all.subarray(all.length - 19)
        grown.push(last.indexOf(Math.max(...last)))
      }
      expect(sequences[i]!.slice(-6)).toEqual(grown.slice(-6))
      expect((await generate(other, { inputIds: int([row]) }, { ...options6, numBeams: 1 })).sequences[0]!.slice(-6)).toEqual(grown.slice(-6))
    }
    other.unload()
    expect(distance(logits(other.getBaseModel()), before)).toBe(0)
    for (const model of [base, other]) model.dispose()
  })
})

describe('adapters', () => {
  test('several on one base: each alone, both together, one removed', async () => {
    const base = llama(), before = logits(base), tuned = getPeftModel(base, { peft_type: 'LORA', target_modules: ['q_proj'] }, { adapterName: 'one' })
    trained(tuned)
    const one = logits(tuned)
    tuned.addAdapter('two', { peft_type: 'LORA', r: 2, target_modules: ['q_proj', 'up_proj'] })
    expect(distance(logits(tuned), one)).toBe(0)
    tuned.setAdapter('two')
    expect(distance(logits(tuned), before)).toBeLessThan(1e-6)
    trained(tuned)
    const two = logits(tuned)
    tuned.setAdapter('one')
    expect(distance(logits(tuned), one)).toBe(0)
    tuned.setAdapter(['one', 'two'])
    const both = logits(tuned)
    expect(distance(both, one)).toBeGreaterThan(1e-3)
    tuned.mergeAdapter()
    expect(distance(logits(tuned), both)).toBeLessThan(2e-5)
    expect(() => { tuned.setAdapter('one') }).toThrow(/unmergeAdapter/)
    tuned.unmergeAdapter()

    const directory = join(folder, 'several')
    await tuned.savePretrained(directory)
    const other = await PeftModel.fromPretrained(llama(), join(directory, 'two'), { adapterName: 'two' })
    await other.loadAdapter(join(directory, 'one'), 'one', { isTrainable: true })
    expect(distance(logits(other), two)).toBe(0)
    other.setAdapter('one')
    expect(distance(logits(other), one)).toBe(0)
    expect([...other.namedParameters()].filter(([, p]) => p.requiresGrad).every(([path]) => path.includes('.one.'))).toBe(true)
    other.deleteAdapter('two')
    expect(() => { other.setAdapter('two') }).toThrow(/no adapter two; there are one/)
    expect(() => { other.addAdapter('x.y', { peft_type: 'LORA' }) }).toThrow(/adapter name 'x.y'/)
    expect(() => { other.addAdapter('three', { peft_type: 'IA3' }) }).toThrow(/three is IA3, the model has adapters of LORA/)
    for (const model of [tuned, other]) model.dispose()
  })

  test('modules that are trained whole: copies, saved under the names of the originals, in the place of them after merging', async () => {
    const base = llama(), original = base.lm_head!.weight.dataSync()
    const tuned = getPeftModel(base, { peft_type: 'LORA', target_modules: ['q_proj'], modules_to_save: ['lm_head'] })
    trained(tuned)
    const after = logits(tuned), directory = join(folder, 'whole modules')
    await tuned.savePretrained(directory)
    const file = await openSafetensors(directory, 'adapter_model')
    expect([...file.tensors.keys()].filter(name => name.includes('lm_head'))).toEqual(['base_model.model.lm_head.weight'])
    await file.close()
    expect(distance(logits(await PeftModel.fromPretrained(llama(), directory)), after)).toBe(0)
    expect(base.lm_head).not.toBeInstanceOf(Llama)
    const plain = tuned.mergeAndUnload() as Llama
    expect(distance(logits(plain), after)).toBeLessThan(2e-5)
    expect(distance(plain.lm_head!.weight.dataSync() as Float32Array, original as Float32Array)).toBeGreaterThan(1e-3)
    plain.dispose()
  })

  test('dropout is on what is added, while training alone', () => {
    const tuned = getPeftModel(llama(), { peft_type: 'LORA', lora_dropout: 0.5, target_modules: ['q_proj'] })
    trained(tuned.eval())
    expect(distance(logits(tuned), logits(tuned))).toBe(0)
    tuned.train()
    expect(distance(logits(tuned), logits(tuned))).toBeGreaterThan(1e-3)
    tuned.dispose()
  })

  test('a frozen base has no gradients, and a pass keeps less for the backward pass', async () => {
    const peak = async (model: Llama): Promise<number> => {
      await cpu.synchronize()
      const before = memory().bytes
      const held = scope(() => {
        const loss = model.loss(batch()), kept = memory().bytes - before
        backward(loss)
        return kept
      })
      model.zeroGrad()
      return held
    }
    const full = llama(), whole = await peak(full)
    const tuned = getPeftModel(llama(), { peft_type: 'LORA', r: 1, target_modules: ['q_proj'] }), adapted = await peak(tuned)
    expect(adapted).toBeLessThan(0.8 * whole)
    scope(() => { backward(tuned.loss(batch())) })
    expect([...tuned.namedParameters()].filter(([, p]) => p.grad).every(([path]) => path.includes('lora_'))).toBe(true)
    expect(tuned.parameterCounts.trainable).toBe(2 * 2 * 16)
    for (const model of [full, tuned]) model.dispose()
  })

  test('what is not supported, unknown or does not fit is refused by name', async () => {
    const refused = (options: object): (() => unknown) => () => getPeftModel(llama(), options as PeftOptions)
    expect(refused({ peft_type: 'P_TUNING', num_virtual_tokens: 3 })).toThrow(/peft_type is "P_TUNING", which is not supported; known are LORA, IA3/)
    expect(refused({ peft_type: 'LORA', layer_replication: [[0, 2]], use_qalora: true })).toThrow(/layer_replication: \[\[0,2\]\] is not supported; use_qalora: true is not supported/)
    expect(refused({ peft_type: 'LORA', lora_alfa: 3 })).toThrow(/lora_alfa is not a key of LORA; do you mean lora_alpha\?/)
    expect(refused({ peft_type: 'LORA', r: 0 })).toThrow(/r is 0, expected a positive integer/)
    expect(refused({ peft_type: 'LORA', init_lora_weights: 'loftq' })).toThrow(/init_lora_weights: 'loftq' is not supported, expected one of: true, false, gaussian/)
    expect(refused({ peft_type: 'LORA', target_modules: ['query'] })).toThrow(/no module matches target_modules \["query"\].*q_proj, k_proj, v_proj, o_proj, gate_proj/)
    expect(refused({ peft_type: 'LORA', target_modules: ['input_layernorm'] })).toThrow(/model.layers.0.input_layernorm is a RMSNorm, expected a linear layer or an embedding/)
    expect(refused({ peft_type: 'LORA', target_modules: '(' })).toThrow(/target_modules has '\(', which is no regular expression/)
    expect(refused({ peft_type: 'LORA', modules_to_save: ['head'], target_modules: ['q_proj'] })).not.toThrow()   // ends of names: lm_head
    expect(refused({ peft_type: 'LORA', modules_to_save: ['pooler'], target_modules: ['q_proj'] })).toThrow(/modules_to_save has pooler, which this model has not/)
    expect(refused({ peft_type: 'PREFIX_TUNING', num_virtual_tokens: 2, num_layers: 3 })).toThrow(/num_layers is 3, the model has 2/)
    expect(refused({ peft_type: 'PROMPT_TUNING' })).toThrow(/num_virtual_tokens is missing/)
    expect(() => getPeftModel(getPeftModel(llama(), { peft_type: 'LORA' }), { peft_type: 'LORA' })).toThrow(/has adapters already/)
    expect(() => getPeftModel(llama(), { peft_type: 'PROMPT_TUNING', num_virtual_tokens: 2 }).mergeAndUnload()).toThrow(/virtual tokens are no change of the weights/)

    const directory = join(folder, 'damaged'), tuned = getPeftModel(llama(), { peft_type: 'LORA', r: 3, target_modules: ['q_proj'] })
    await tuned.savePretrained(directory)
    const path = join(directory, 'adapter_config.json'), config = JSON.parse(await readFile(path, 'utf8')) as object
    await writeFile(path, JSON.stringify({ ...config, target_modules: ['q_proj', 'k_proj'], r: 2 }))
    const base = llama(), before = logits(base)
    await expect(PeftModel.fromPretrained(base, directory)).rejects.toThrow(/lora_A.weight is \[3, 16\], the model has \[2, 16\].*missing: base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight/)
    expect([...base.namedParameters()].map(([name]) => name)).toEqual([...llama().namedParameters()].map(([name]) => name))   // as it was
    expect(distance(logits(base), before)).toBe(0)
    await writeFile(path, '{')
    await expect(PeftModel.fromPretrained(base, directory)).rejects.toThrow(/is not JSON/)
    await expect(PeftModel.fromPretrained(base, folder)).rejects.toThrow(/has no adapter_config.json/)
  })

  test('rows of the vocabulary as first virtual tokens: of a text, over and over', () => {
    const base = gpt2(), tokenizer = { encode: () => ({ ids: [4, 2] }) }
    const tuned = getPeftModel(base, { peft_type: 'PROMPT_TUNING', num_virtual_tokens: 3, prompt_tuning_init: 'TEXT', prompt_tuning_init_text: 'x', tokenizer_name_or_path: 'x' }, { tokenizer })
    const table = base.transformer.wte.weight.dataSync() as Float32Array, rows = [4, 2, 4].flatMap(id => [...table.subarray(16 * id, 16 * id + 16)])
    expect([...tuned.prompt_encoder.get('default')!.embedding.weight.dataSync() as Float32Array]).toEqual(rows)
    tuned.dispose()
  })
})

describe('the output of a model that is tied to its embedding', () => {
  const tied = (): Llama => { manualSeed(1); return new Llama({ ...sizes, initializer_range: 0.3, tie_word_embeddings: true }).eval() }

  test.each([[['lm_head']], [['embed_tokens']], [['embed_tokens', 'lm_head']]])('and %j are trained as copies and merged: output and embedding part', async modules_to_save => {
    const tuned = getPeftModel(tied(), { peft_type: 'LORA', target_modules: ['q_proj'], modules_to_save, r: 2 }), before = logits(tied())
    expect(distance(logits(tuned), before)).toBeLessThan(1e-6)
    trained(tuned)
    const after = logits(tuned), plain = tuned.mergeAndUnload() as Llama
    expect(distance(after, before)).toBeGreaterThan(0.1)
    expect(distance(logits(plain), after)).toBeLessThan(1e-5)
    expect(plain.config.tie_word_embeddings).toBe(false)
    const directory = join(folder, `parted-${modules_to_save.join('-')}`)
    await plain.savePretrained(directory)
    const { model } = await loadModel(directory)
    expect(distance(logits(model.eval()), after)).toBeLessThan(1e-5)
    model.dispose()
    plain.dispose()
  })

  test('is one with it again after unload', () => {
    const base = tied(), before = logits(base), tuned = getPeftModel(base, { peft_type: 'LORA', target_modules: ['q_proj'], modules_to_save: ['lm_head'], r: 2 })
    trained(tuned)
    tuned.unload()
    expect([base.lm_head, base.config.tie_word_embeddings]).toEqual([undefined, true])
    expect(distance(logits(base), before)).toBeLessThan(1e-6)
    base.dispose()
  })

  test('of BART is not merged, because its files have one weight for both', () => {
    const bart = new BartForConditionalGeneration({ vocab_size: 19, d_model: 8, encoder_layers: 1, decoder_layers: 1, encoder_attention_heads: 2, decoder_attention_heads: 2, encoder_ffn_dim: 8, decoder_ffn_dim: 8, max_position_embeddings: 16 })
    const tuned = getPeftModel(bart, { peft_type: 'LORA', target_modules: ['q_proj'], modules_to_save: ['lm_head'], r: 2 })
    expect(() => tuned.mergeAndUnload()).toThrow(/files of bart have one weight for output and embeddings/)
    bart.dispose()
  })
})
