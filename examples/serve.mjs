// A small server: every request streams its text, and all that run share one batch, which they join and leave at any time.
// Run it with: node examples/serve.mjs [MODEL PORT]      (then: curl -N localhost:PORT -d 'Once upon a time'; without them it asks a tiny model of its own, and ends)
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { GenerationEngine, Llama, loadModel, manualSeed, Tokenizer } from 'warpweft'

const [given, port = '0'] = process.argv.slice(2), folder = given ?? await tinyModel()
const { model, tokenizer } = await loadModel(folder), engine = new GenerationEngine(model, { maxRows: 16, maxTokens: 32_768 })

const server = createServer(async (request, response) => {
  const gone = new AbortController()
  response.on('close', () => { gone.abort() })   // who leaves frees his place in the batch
  try {
    const prompt = tokenizer.encode(await textOf(request)).ids
    for await (const { text } of engine.submit(prompt, { maxNewTokens: 30, tokenizer, signal: gone.signal })) response.write(text)
    response.end()
  } catch (error) {
    if (!response.headersSent) response.writeHead(400)
    response.end(`${error.message}\n`)
  }
})
server.listen(Number(port))
await once(server, 'listening')
const address = `http://localhost:${server.address().port}`

if (given === undefined) {
  const ask = async prompt => { const answer = await fetch(address, { method: 'POST', body: prompt }); return { status: answer.status, text: await answer.text() } }
  const answers = await Promise.all(['Once upon a time', 'There was', 'A model', ''].map(ask))
  for (const { status, text } of answers) console.log(`${status} ${JSON.stringify(text)}`)
  console.log(`in the end: ${engine.load.running} run, ${engine.load.waiting} wait`)
  server.close()
  engine.close()
  model.dispose()
  await rm(folder, { recursive: true })
} else console.log(`listening: ${address}`)

async function tinyModel() {
  manualSeed(0)
  const folder = await mkdtemp(join(tmpdir(), 'warpweft-example-')), tokenizer = await Tokenizer.train('bytelevel', ['Once upon a time there was a model that knew nothing.'], { vocabSize: 300 })
  const model = new Llama({ vocab_size: tokenizer.vocabSize, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 256 })
  await model.savePretrained(folder, { tokenizer })
  model.dispose()
  return folder
}
