// LoRA on a model that is there, from rows of prompts and completions; then the adapter is merged, and the whole model saved for Python as well.
// Run it with: node examples/fine-tune.mjs [steps] [MODEL data.jsonl output]      (without a model a tiny one is made, and taught what follows each day)
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AutoModelForCausalLM, AutoTokenizer, fineTuningData, getPeftModel, Llama, manualSeed, PeftModel, pipeline, Tokenizer, Trainer } from 'warpweft'

const steps = Number(process.argv[2] ?? 150), given = process.argv.slice(3)
const folder = given.length === 3 ? undefined : await mkdtemp(join(tmpdir(), 'warpweft-example-'))
const [directory, rows, output] = folder === undefined ? given : await tinyTask(folder)

manualSeed(0)
const tokenizer = await AutoTokenizer.fromPretrained(directory), base = await AutoModelForCausalLM.fromPretrained(directory)
const model = getPeftModel(base, { peft_type: 'LORA', r: 8, lora_alpha: 32, target_modules: 'all-linear', task_type: 'CAUSAL_LM' })
const trainable = model.parameters().filter(p => p.requiresGrad).reduce((sum, p) => sum + p.size, 0)
console.log(`trained are ${trainable} of ${model.parameters().reduce((sum, p) => sum + p.size, 0)} parameters`)

// Rows as {"prompt": …, "completion": …}: the completion is learned. Also {"text": …} and {"messages": […]}.
const data = await fineTuningData(rows, { tokenizer, maxLength: 64, batchSize: 8, validationSplit: 0 })
const { loss } = await new Trainer(model, data, { maxSteps: steps, learningRate: 1e-2, warmupSteps: Math.ceil(steps / 10), disableProgress: true }).train()
console.log(`trained: ${steps} steps, loss ${loss.toFixed(3)} a token`)
await model.savePretrained(join(output, 'adapter'))   // adapter_config.json and adapter_model.safetensors, as peft has them
model.dispose()

// Later, or elsewhere: the adapter on its base, merged into one model.
const tuned = await PeftModel.fromPretrained(await AutoModelForCausalLM.fromPretrained(directory), join(output, 'adapter')), merged = tuned.mergeAndUnload()
await merged.savePretrained(join(output, 'merged'), { tokenizer })
merged.dispose()
const write = await pipeline('text-generation', join(output, 'merged'))
console.log(`merged: ${(await write('After Monday comes', { maxNewTokens: 4, stopStrings: ['.'] }))[0].generatedText}`)
write.dispose()
if (folder !== undefined) await rm(folder, { recursive: true })

async function tinyTask(folder) {
  manualSeed(0)
  const days = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'], rows = days.map((day, i) => ({ prompt: `After ${day} comes`, completion: ` ${days[(i + 1) % 7]}.` }))
  const tokenizer = await Tokenizer.train('bytelevel', rows.map(({ prompt, completion }) => prompt + completion), { vocabSize: 300 })
  const model = new Llama({ vocab_size: tokenizer.vocabSize, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 64 })
  await model.savePretrained(join(folder, 'base'), { tokenizer })
  model.dispose()
  await writeFile(join(folder, 'days.jsonl'), rows.map(row => JSON.stringify(row)).join('\n'))
  return [join(folder, 'base'), join(folder, 'days.jsonl'), folder]
}
