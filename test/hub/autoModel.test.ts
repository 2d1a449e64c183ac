import { describe, expect, jest, test } from '@jest/globals'
import { CheckpointError, ConfigError } from '#lib/errors.js'
import { AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification } from '#lib/hub/autoModel.js'
import '#lib/hub/methods.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { openSafetensors } from '#lib/io/safetensorsShards.js'
import { GPT2, GPT2Model } from '#lib/models/gpt2.js'
import { Llama, LlamaModel } from '#lib/models/llama.js'
import { withoutValues } from '#lib/nn/parameter.js'
import { manualSeed } from '#lib/tensor/random.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { bitsOf } from '../train/tinyTask.js'

const at = temporaryFolder()
const small = { vocab_size: 23, hidden_size: 16, intermediate_size: 20, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: 8 }
const llama = (options: object = {}): Llama => { manualSeed(1); return new Llama({ ...small, ...options }) }

async function warningsOf<T>(work: () => Promise<T>): Promise<{ result: T, warnings: string[] }> {
  const warnings: string[] = [], spy = jest.spyOn(process, 'emitWarning').mockImplementation(message => { warnings.push(String(message)) })
  try { return { result: await work(), warnings } } finally { spy.mockRestore() }
}

describe('AutoModel', () => {
  test('loads a model of any family for its task, and says nothing where all fits', async () => {
    for (const model of [llama(), llama({ model_type: 'qwen3', head_dim: 8 }), new GPT2({ vocab_size: 23, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2 })]) {
      await model.savePretrained(at('model'))
      const { result, warnings } = await warningsOf(() => AutoModelForCausalLM.fromPretrained(at('model')))
      expect(result.constructor).toBe(model.constructor)
      expect(result.training).toBe(false)
      expect(bitsOf(result)).toEqual(bitsOf(model))
      expect(warnings).toEqual([])
    }
  })

  test('takes the layers out of a model with a head, and draws a head that a directory lacks', async () => {
    const model = llama()
    await model.savePretrained(at('model'))
    const layers = await warningsOf(() => AutoModel.fromPretrained(at('model')))
    expect(layers.result).toBeInstanceOf(LlamaModel)
    expect(bitsOf(layers.result)).toEqual(bitsOf(model.model))
    expect(layers.warnings).toEqual([expect.stringMatching(/lm_head.weight did not fit LlamaModel and was left out/)])

    await layers.result.savePretrained(at('layers'))
    manualSeed(7)
    const whole = await warningsOf(() => AutoModelForCausalLM.fromPretrained(at('layers')))
    expect(bitsOf((whole.result as Llama).model)).toEqual(bitsOf(model.model))
    expect(whole.warnings).toEqual([expect.stringMatching(/lm_head.weight of Llama was not among the weights and begins anew. Train the model/)])
    manualSeed(7)
    const again = (await warningsOf(() => AutoModelForCausalLM.fromPretrained(at('layers')))).result as Llama
    const head = again.lm_head!.weight.dataSync() as Float32Array
    expect(head).toEqual((whole.result as Llama).lm_head!.weight.dataSync())
    expect(Math.sqrt(head.reduce((sum, value) => sum + value * value, 0) / head.length)).toBeGreaterThan(0.01)   // drawn, with the standard deviation 0.02
  })

  test('takes other values for the configuration, and parameters of another size when told to', async () => {
    const model = llama()
    await model.savePretrained(at('model'))
    expect(((await AutoModelForCausalLM.from_pretrained(at('model'), { config: { rms_norm_eps: 1e-3 } })) as Llama).config.rms_norm_eps).toBe(1e-3)
    await expect(AutoModelForCausalLM.fromPretrained(at('model'), { config: { vocab_size: 30 } })).rejects.toThrow(/embed_tokens.weight is \[23, 16\], the model has \[30, 16\]/)
    const { result, warnings } = await warningsOf(() => AutoModelForCausalLM.fromPretrained(at('model'), { config: { vocab_size: 30 }, ignoreMismatchedSizes: true }))
    expect(result.vocabSize).toBe(30)
    expect(warnings.join()).toMatch(/model.embed_tokens.weight, lm_head.weight of Llama were not among/)
    expect(bitsOf((result as Llama).model.norm)).toEqual(bitsOf(model.model.norm))
  })

  test('refuses files of another model, a task that a family lacks, and types that it does not know', async () => {
    await new GPT2Model({ vocab_size: 23, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2 }).savePretrained(at('model'))
    await expect(loadModel(at('model'), { config: { model_type: 'llama', architectures: ['LlamaModel'], ...small }, task: 'causal-lm' })).rejects.toThrow(/no tensor has the name of a parameter/)
    await llama().savePretrained(at('causal'))
    await expect(loadModel(at('causal'), { task: 'next-sentence-prediction' })).rejects.toThrow(/a model of type llama cannot be loaded for 'next-sentence-prediction'. There are: causal-lm, base/)
    await expect(loadModel(at('causal'), { task: 'next-sentence-prediction' })).rejects.toThrow(CheckpointError)
    expect(() => AutoModelForCausalLM.fromConfig({ model_type: 'mamba' })).toThrow(ConfigError)
    expect(AutoModelForCausalLM.fromConfig({ model_type: 'mistral', ...small })).toMatchObject({ config: { model_type: 'mistral' } })
    expect(() => AutoModelForSequenceClassification.fromConfig({ model_type: 'warpweft-transformer' })).toThrow(/has no 'sequence-classification'; there are: seq2seq-lm/)
  })

  test.each(['float32', 'bfloat16', 'float16'] as const)('reads shards of %s part by part', async dtype => {
    const model = withoutValues(() => llama({ vocab_size: 140_000, tie_word_embeddings: true }))   // more elements than are read at a time
    for (const p of model.parameters()) p.assign(new Float32Array(p.size).map((_, i) => i % 1013 / 64))
    await saveModel(at('model'), model, undefined, { dtype, maxShardBytes: 5e6 })
    const { model: loaded } = await loadModel(at('model')), file = await openSafetensors(at('model'))
    for (const [name, p] of loaded.stateDict()) expect(Buffer.from((p.dataSync() as Float32Array).buffer).equals(Buffer.from((await file.float32(name)).buffer))).toBe(true)
    await file.close()
  })
})
