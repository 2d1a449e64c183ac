// A model of children's stories learns Shakespeare, whole and with adapters: npm run quality:lora [-- --runs 'LoRA of 8,LoRA of 8 on nf4' --data FILE --base DIR --output FILE]
// --runs: some of the kinds, added to what the output has from others: all of them take several minutes. --steps 40: enough to see how long a step takes.
import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Llama } from '#lib/models/llama.js'
import { getPeftModel, type PeftOptions, quantizeWeights } from '#lib/peft/index.js'
import { cpu, memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { languageModelData, Trainer } from '#lib/train/index.js'
import { machine } from '../machine.js'
import { saveResult } from '../saveResult.js'
import { sharedFolder } from '../shared.js'
import { hasStories260K, stories260K, storiesTokenizer } from './stories260K.js'

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: sharedFolder('data/tinyshakespeare/input.txt') }, base: { type: 'string', default: sharedFolder('data/stories260K') },
    output: { type: 'string', default: 'build/quality/lora.json' }, runs: { type: 'string' }, steps: { type: 'string', default: '400' }, seed: { type: 'string', default: '1' },
  },
})
if (!existsSync(values.data) || !hasStories260K(values.base)) {
  console.error(`lora: expected a text at ${values.data}, and stories260K.bin with tok512.bin in ${values.base}. Give them with --data and --base.`)
  process.exit(1)
}

const lora = (r: number, more: Partial<Extract<PeftOptions, { peft_type: 'LORA' }>> = {}) => (model: Llama) =>
  getPeftModel(model, { peft_type: 'LORA', r, lora_alpha: 2 * r, target_modules: 'all-linear', task_type: 'CAUSAL_LM', ...more })
/** What is trained of the base; each with the rates of which the best on the validation text counts. */
const kinds: Readonly<Record<string, { make: (model: Llama) => Llama, rates: readonly number[] }>> = {
  'all weights': { make: model => model, rates: [2e-3, 4e-3, 8e-3] },
  'LoRA of 8': { make: lora(8), rates: [4e-3, 8e-3, 1.6e-2] },
  'LoRA of 32': { make: lora(32), rates: [2e-3, 4e-3, 8e-3] },
  'DoRA of 8': { make: lora(8, { use_dora: true }), rates: [8e-3] },
  'LoRA of 8 on int8': { make: model => lora(8)(quantizeWeights(model, { to: 'int8' })), rates: [8e-3] },
  'LoRA of 8 on nf4': { make: model => lora(8)(quantizeWeights(model, { to: 'nf4' })), rates: [8e-3] },
}
const recipe = { maxSteps: Number(values.steps), batchSize: 8, blockSize: 256, warmupSteps: Math.min(50, Number(values.steps)), lrSchedulerType: 'cosine', maxGradNorm: 1 } as const
const chosen = values.runs?.split(',') ?? Object.keys(kinds), unknown = chosen.filter(name => !Object.hasOwn(kinds, name))
if (unknown.length > 0) {
  console.error(`lora: --runs has ${unknown.join(', ')}; known are ${Object.keys(kinds).join(', ')}`)
  process.exit(2)
}

const seed = Number(values.seed), { batchSize, blockSize, ...training } = recipe
const data = await languageModelData(values.data, { tokenizer: storiesTokenizer(values.base), validationSplit: 0.1, batchSize, blockSize })
console.log(data.summary)
/** Nats a token become nats a character by it. */
const charactersAToken = data.tokenizer.decode([...data.validation!]).length / data.validation!.length

interface Run { learningRate: number, validationLoss: number, trained: number, weights: number, modelBytes: number, peakBytes: number, secondsAStep: number }

async function train(make: (model: Llama) => Llama, learningRate: number): Promise<Run> {
  manualSeed(seed)
  cpu.trim()
  const before = memory().bytes, model = make(stories260K(values.base)), modelBytes = memory().bytes - before
  const trainer = new Trainer(model, data, { seed, learningRate, ...training, weightDecay: 0, evalSteps: recipe.maxSteps, loggingSteps: recipe.maxSteps })
  cpu.resetPeakMemory()
  const { metrics, seconds, step } = await trainer.train()
  const parameters = model.parameters(), count = (list: typeof parameters): number => list.reduce((n, p) => n + p.size, 0)
  const run = {
    learningRate, validationLoss: metrics!.loss!, trained: count(parameters.filter(p => p.requiresGrad)), weights: count(parameters), modelBytes,
    peakBytes: memory().peakBytes - before, secondsAStep: seconds / step,
  }
  model.dispose()
  return run
}

const untrained = stories260K(values.base), { loss: baseLoss } = await new Trainer(untrained, data, { seed }).evaluate()
untrained.dispose()
console.log(`${'as it was'.padEnd(20)} ${baseLoss!.toFixed(4)} nats a token, ${(baseLoss! / charactersAToken).toFixed(4)} a character`)
const results: Record<string, { best: Run, tried: Run[] }> = existsSync(values.output) ? (JSON.parse(readFileSync(values.output, 'utf8')) as { results: Record<string, { best: Run, tried: Run[] }> }).results : {}
for (const name of chosen) {
  const { make, rates } = kinds[name]!, tried: Run[] = []
  for (const rate of rates) tried.push(await train(make, rate))
  const best = tried.reduce((a, b) => b.validationLoss < a.validationLoss ? b : a)
  results[name] = { best, tried }
  console.log(`${name.padEnd(20)} ${best.validationLoss.toFixed(4)} nats a token, ${(best.validationLoss / charactersAToken).toFixed(4)} a character, at ${best.learningRate} of ${rates.join(', ')}; `
    + `${best.trained.toLocaleString('en')} trained, peak ${(best.peakBytes / 1e6).toFixed(1)} MB, ${(1e3 * best.secondsAStep).toFixed(0)} ms a step`)
  await saveResult(values.output, { ...machine(), command: 'npm run quality:lora', seed, recipe, charactersAToken, baseLoss, results })
}
