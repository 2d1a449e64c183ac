// A model and its tokenizer are loaded and asked in three ways: a stream of text, samples with their likelihoods, an answer in a form.
// Run it with: node examples/generate.mjs [MODEL] [PROMPT]      (MODEL: a directory, or organisation/name; without one a tiny model is made, whose words mean nothing)
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AutoModelForCausalLM, AutoTokenizer, Constraint, generate, Llama, manualSeed, textStream, Tokenizer } from 'warpweft'

const [given, prompt = 'Once upon a time'] = process.argv.slice(2), folder = given ?? await tinyModel()
const model = await AutoModelForCausalLM.fromPretrained(folder), tokenizer = await AutoTokenizer.fromPretrained(folder)

// Text as it comes: pieces never split a character. Leaving the loop, or the signal, ends the generation.
process.stdout.write(`streamed: ${prompt}`)
for await (const text of textStream(model, tokenizer, prompt, { maxNewTokens: 20, signal: AbortSignal.timeout(60_000) })) process.stdout.write(text)

// All at once: two samples, and how likely each of their tokens was.
const { newTokens, logprobs } = await generate(model, tokenizer.encode(prompt).ids, { maxNewTokens: 8, doSample: true, temperature: 0.8, topP: 0.9, seed: 1, numReturnSequences: 2, logprobs: true })
newTokens.forEach((tokens, i) => { console.log(`\nsample ${i + 1}: ${JSON.stringify(tokenizer.decode(tokens))}, log-probability ${logprobs[i].reduce((sum, value) => sum + value, 0).toFixed(2)}`) })

// Whatever the model likes, this is JSON of the schema.
const schema = { type: 'object', properties: { name: { type: 'string', maxLength: 8 }, age: { type: 'integer', minimum: 0, maximum: 120 } }, required: ['name', 'age'] }
const { newTokens: [answer] } = await generate(model, tokenizer.encode(prompt).ids, { maxNewTokens: 60, constraint: Constraint.json(schema, tokenizer) })
console.log(`in a form: ${JSON.stringify(JSON.parse(tokenizer.decode(answer)))}`)

model.dispose()
if (given === undefined) await rm(folder, { recursive: true })

async function tinyModel() {
  manualSeed(0)
  const folder = await mkdtemp(join(tmpdir(), 'warpweft-example-')), tokenizer = await Tokenizer.train('bytelevel', ['Once upon a time there was a model that knew nothing.'], { vocabSize: 300 })
  const model = new Llama({ vocab_size: tokenizer.vocabSize, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 256 })
  await model.savePretrained(folder, { tokenizer })
  model.dispose()
  return folder
}
