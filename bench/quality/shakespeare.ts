// nanoGPT's small configuration on tinyshakespeare, character by character: npm run quality:shakespeare [-- --data FILE --seed 1 --output FILE]
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { GPT2 } from '#lib/models/gpt2.js'
import { manualSeed } from '#lib/tensor/random.js'
import { languageModelData, Trainer } from '#lib/train/index.js'
import { machine } from '../machine.js'
import { saveResult } from '../saveResult.js'
import { sharedFolder } from '../shared.js'

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: sharedFolder('data/tinyshakespeare/input.txt') }, seed: { type: 'string', default: '1' },
    output: { type: 'string', default: 'build/quality/shakespeare.json' },
  },
})
if (!existsSync(values.data)) {
  console.error(`shakespeare: no text at ${values.data}. Give the file with --data.`)
  process.exit(1)
}
const seed = Number(values.seed)
manualSeed(seed)
const data = await languageModelData(values.data, { tokenizerKind: 'char', validationSplit: 0.1, blockSize: 64, batchSize: 12 })
const model = new GPT2({
  vocab_size: data.vocabSize, n_positions: 64, n_embd: 128, n_layer: 4, n_head: 4, activation_function: 'gelu', resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0,
})
// All of the validation text counts, and not 20 batches of it as in nanoGPT's estimate.
const result = await new Trainer(model, data, {
  seed, maxSteps: 2000, learningRate: 1e-3, lrSchedulerType: 'cosine_with_min_lr', lrSchedulerKwargs: { minLearningRateRatio: 0.1 }, warmupSteps: 100, adamBeta2: 0.99,
  weightDecay: 0.1, maxGradNorm: 1, evalSteps: 250, loggingSteps: 250,
}).train()
const loss = result.metrics!.loss!
console.log(`validation loss after ${result.step} steps: ${loss.toFixed(4)} nats a character; ${result.seconds.toFixed(0)} s`)
await saveResult(values.output, {
  ...machine(), command: 'npm run quality:shakespeare', seed, parameters: model.parameterCount, vocabulary: data.vocabSize, steps: result.step,
  validationLoss: loss, seconds: result.seconds,
})
