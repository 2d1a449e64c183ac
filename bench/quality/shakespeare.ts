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
// nanoGPT's rate is low for 2,000 steps: twice as much, and the moving average of the weights, make up for many. Everything else is nanoGPT's in both.
const runs = { 'nanoGPT\'s learning rate': { learningRate: 1e-3 }, 'twice that, moving average of the weights': { learningRate: 2e-3, emaDecay: 0.99 } }

async function train(options: { learningRate: number, emaDecay?: number }): Promise<object> {
  manualSeed(seed)
  const data = await languageModelData(values.data, { tokenizerKind: 'char', validationSplit: 0.1, blockSize: 64, batchSize: 12 })
  const model = new GPT2({
    vocab_size: data.vocabSize, n_positions: 64, n_embd: 128, n_layer: 4, n_head: 4, activation_function: 'gelu', resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0,
  })
  // All of the validation text counts, and not 20 batches of it as in nanoGPT's estimate.
  const { metrics, step, seconds } = await new Trainer(model, data, {
    seed, maxSteps: 2000, lrSchedulerType: 'cosine_with_min_lr', lrSchedulerKwargs: { minLearningRateRatio: 0.1 }, warmupSteps: 100, adamBeta2: 0.99,
    weightDecay: 0.1, maxGradNorm: 1, evalSteps: 250, loggingSteps: 250, ...options,
  }).train()
  const { parameterCount } = model
  model.dispose()
  return { ...options, parameters: parameterCount, vocabulary: data.vocabSize, steps: step, validationLoss: metrics!.loss!, seconds }
}

const results: Record<string, object> = {}
for (const [name, options] of Object.entries(runs)) {
  const result = results[name] = await train(options)
  const { validationLoss, steps, seconds } = result as { validationLoss: number, steps: number, seconds: number }
  console.log(`${name} (${options.learningRate}): validation loss after ${steps} steps ${validationLoss.toFixed(4)} nats a character; ${seconds.toFixed(0)} s`)
}
await saveResult(values.output, { ...machine(), command: 'npm run quality:shakespeare', seed, results })
