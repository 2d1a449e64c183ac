// A conversation by the model's own chat template. Each turn reads only what is new: keys and values of the turns before are kept.
// Run it with: node examples/chat.mjs [MODEL] [QUESTION …]      (without a model a tiny one is made, whose words mean nothing)
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChatTemplate, Llama, loadModel, manualSeed, PromptCache, textStream, Tokenizer } from 'warpweft'

const [given, ...asked] = process.argv.slice(2), folder = given ?? await tinyModel()
const { model, tokenizer } = await loadModel(folder), template = await ChatTemplate.read(folder)
if (!template || !tokenizer) throw new Error(`${folder} was not made for conversations: it lacks a ${template ? 'tokenizer' : 'chat template'}`)

const promptCache = new PromptCache(), messages = [{ role: 'system', content: 'Answer in one sentence.' }]
for (const question of asked.length > 0 ? asked : ['Who are you?', 'And what do you know?']) {
  messages.push({ role: 'user', content: question })
  process.stdout.write(`user: ${question}\nassistant: `)
  // The template writes the special tokens itself.
  const prompt = tokenizer.encode(template.render(messages), { addSpecialTokens: false }).ids
  let answer = ''
  for await (const text of textStream(model, tokenizer, prompt, { maxNewTokens: 20, promptCache })) {
    process.stdout.write(text)
    answer += text
  }
  messages.push({ role: 'assistant', content: answer })
  console.log(`\n(${prompt.length} tokens asked, ${promptCache.tokens.length} kept)`)
}

promptCache.dispose()
model.dispose()
if (given === undefined) await rm(folder, { recursive: true })

async function tinyModel() {
  manualSeed(0)
  const folder = await mkdtemp(join(tmpdir(), 'warpweft-example-')), tokenizer = await Tokenizer.train('bytelevel', ['system user assistant: Who are you? Answer in one sentence.'], { vocabSize: 300 })
  tokenizer.addSpecialTokens(['<|end|>'], { eosToken: '<|end|>' })
  const model = new Llama({ vocab_size: tokenizer.vocabSize, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 1024 })
  await model.savePretrained(folder, { tokenizer })
  model.dispose()
  await writeFile(join(folder, 'chat_template.jinja'), "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}")
  return folder
}
