// A directory as transformers has them is made, loaded by its files alone, asked, fine-tuned with an adapter, and saved again for Python.
// Run it with: node examples/hugging-face.mjs [steps]      (with a model of yours: AutoModelForCausalLM.fromPretrained('path or organisation/name'))
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AutoModelForCausalLM, AutoTokenizer, generate, getPeftModel, languageModelData, Llama, manualSeed, pipeline, Tokenizer, Trainer } from 'warpweft'

const steps = Number(process.argv[2] ?? 300), folder = await mkdtemp(join(tmpdir(), 'warpweft-example-'))
manualSeed(0)
const days = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']
const text = Array.from({ length: 400 }, (_, i) => `After ${days[i % 7]} comes ${days[(i + 1) % 7]}.`).join('\n')
await writeFile(join(folder, 'days.txt'), text)

// The files of a small LLaMA: config.json, model.safetensors, tokenizer.json.
const tokenizer = await Tokenizer.train('bytelevel', text.split('\n'), { vocabSize: 300 })
const fresh = new Llama({ vocab_size: tokenizer.vocabSize, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128 })
await fresh.savePretrained(join(folder, 'base'), { tokenizer })
fresh.dispose()
console.log(`files: ${(await readdir(join(folder, 'base'))).join(', ')}`)

const base = await AutoModelForCausalLM.fromPretrained(join(folder, 'base')), words = await AutoTokenizer.fromPretrained(join(folder, 'base'))
const { newTokens } = await generate(base, [words.encode('After Monday comes').ids], { maxNewTokens: 3 })
console.log(`before: After Monday comes${words.decode(newTokens[0])}`)

// LoRA on every linear layer; what it trains is saved in peft's files.
const model = getPeftModel(base, { peft_type: 'LORA', r: 8, lora_alpha: 32, target_modules: 'all-linear', modules_to_save: ['embed_tokens', 'lm_head'] })
const data = await languageModelData(join(folder, 'days.txt'), { tokenizer: words, blockSize: 64, batchSize: 8 })
const { loss } = await new Trainer(model, data, { maxSteps: steps, learningRate: 1e-2, warmupSteps: Math.ceil(steps / 10), disableProgress: true }).train()
console.log(`trained: ${steps} steps, loss ${loss.toFixed(3)} a token`)
await model.savePretrained(join(folder, 'adapter'))
console.log(`adapter: ${(await readdir(join(folder, 'adapter'))).join(', ')}`)

const merged = model.mergeAndUnload()
await merged.savePretrained(join(folder, 'merged'), { tokenizer: words })
const write = await pipeline('text-generation', join(folder, 'merged'))
console.log(`after: ${(await write('After Monday comes', { maxNewTokens: 2, stopStrings: ['.'] }))[0].generatedText.split('\n')[0]}`)
write.dispose()
merged.dispose()
await rm(folder, { recursive: true })
