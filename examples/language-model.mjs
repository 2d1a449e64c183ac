// A small GPT-2 learns to count in words from a text that this script writes, then counts from a number that no line began with, token by token.
// Run it with: node examples/language-model.mjs [steps]
import { data, generateStream, GPT2, manualSeed, tensor, Tokenizer, Trainer } from 'warpweft'

const steps = Number(process.argv[2] ?? 300)
manualSeed(0)

// Lines as "From five: six, seven, eight, nine, ten, eleven.", in random order, from every number below 90 but the one that is asked for in the end.
const asked = 57
const names = 'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(' ')
const tens = ['', '', 'twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety']
const say = n => n < 20 ? names[n] : n % 10 === 0 ? tens[n / 10] : `${tens[Math.floor(n / 10)]}-${names[n % 10]}`
const count = from => Array.from({ length: 6 }, (_, i) => say(from + 1 + i)).join(', ')
const random = new data.Random(0, 'lines'), starts = Array.from({ length: 1000 }, () => random.integer(90)).filter(n => n !== asked)
const lines = starts.map(n => `From ${say(n)}: ${count(n)}.\n`)

const tokenizer = await Tokenizer.train('bytelevel', lines, { vocabSize: 320 })
const ids = Int32Array.from(lines.flatMap(line => tokenizer.encode(line).ids))
console.log(`${lines.length} lines, ${ids.length} tokens, vocabulary: ${tokenizer.vocabSize}`)

const model = new GPT2({ vocab_size: tokenizer.vocabSize, n_positions: 64, n_embd: 96, n_layer: 2, n_head: 4, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 })
// A task of one's own: batches, the summed loss of one, and how many targets it has. (For text in files there is `languageModelData`.)
const task = {
  batches: new data.LanguageModelBatches(ids, { batchSize: 16, blockSize: 64 }),
  loss: ({ input, labels, sentences, length }, { labelSmoothing }) =>
    model.loss({ ids: tensor(input, [sentences, length]), labels: tensor(labels, [sentences, length]) }, { reduction: 'sum', labelSmoothing }),
  tokens: batch => batch.tokens,
}
const result = await new Trainer(model, task, {
  maxSteps: steps, learningRate: 3e-3, warmupSteps: Math.ceil(steps / 10), weightDecay: 0.1, loggingSteps: 100,
}).train()
console.log(`trained: ${result.step} steps, loss ${result.loss.toFixed(3)} a token`)

const prompt = `From ${say(asked)}:`
process.stdout.write(`prompt: ${prompt}\nanswer:`)
// Greedy; `doSample: true` with temperature, topK, topP and a seed would draw. Leaving the loop early frees the caches.
let tokens = 0
for await (const { text } of generateStream(model, tokenizer.encode(prompt).ids, { maxNewTokens: 40, stopStrings: ['\n'], tokenizer })) {
  process.stdout.write(text.trimEnd())
  tokens++
}
console.log(`\nexpected: ${count(asked)}.\n${tokens} tokens were streamed`)
model.dispose()
