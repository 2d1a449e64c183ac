// node scripts/run.mjs bench/checkpointing.ts [--device cpu] [--precision float32]: memory and time of a training step of a GPT-2 at each level of activation checkpointing, in turns.
import { parseArgs } from 'node:util'
import { backward } from '#lib/autograd/backward.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { AdamW } from '#lib/optim/adamW.js'
import { tensor } from '#lib/tensor/create.js'
import { device, setDefaultDevice } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, scope } from '#lib/tensor/scope.js'

const { values } = parseArgs({ options: { device: { type: 'string', default: 'cpu' }, precision: { type: 'string', default: 'float32' }, rounds: { type: 'string', default: '4' } } })
const precision = values.precision as 'float32' | 'bfloat16' | 'float16', on = device(values.device), rounds = Number(values.rounds)
if (!['float32', 'bfloat16', 'float16'].includes(precision) || !(rounds >= 1)) {
  console.error('checkpointing: --precision is float32, bfloat16 or float16, --rounds a number from 1')
  process.exit(1)
}
setDefaultDevice(on)
const B = 4, T = 256, V = 2000, levels = ['none', 'attention', 'block'] as const
manualSeed(1)
const model = new GPT2({ vocab_size: V, n_positions: T, n_embd: 384, n_layer: 8, n_head: 6 }).train(), optimizer = new AdamW(model, { learningRate: 1e-4 })
const ids = Int32Array.from({ length: B * T }, (_, i) => (i * 7919) % V), input = tensor(ids, [B, T]).keep(), labels = tensor(ids, [B, T]).keep()

async function step(level: typeof levels[number]): Promise<{ milliseconds: number, bytes: number }> {
  model.activationCheckpointing = level
  await on.synchronize()
  const before = on.memory().bytes, start = performance.now()
  on.resetPeakMemory()
  scope(() => {
    backward(autocast(precision, () => model.loss({ ids: input, labels })))
    optimizer.step({ maxNorm: 1 })
    optimizer.zeroGrad()
  })
  await on.synchronize()
  return { milliseconds: performance.now() - start, bytes: on.memory().peakBytes - before }
}

for (const level of levels) await step(level)   // states and caches are made at the first
const found = new Map(levels.map(level => [level, [] as { milliseconds: number, bytes: number }[]]))
for (let round = 0; round < rounds; round++) for (const level of levels) found.get(level)!.push(await step(level))
const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!
const plain = median(found.get('none')!.map(s => s.milliseconds)), most = found.get('none')![0]!.bytes
console.log(`${on.describe()}; GPT-2 of 8 layers, width 384; B ${B}, T ${T}; ${precision}; beyond weights and optimizer; median of ${rounds}`)
for (const level of levels) {
  const steps = found.get(level)!, time = median(steps.map(s => s.milliseconds)), { bytes } = steps[0]!
  console.log(`${level.padEnd(10)} ${(bytes / 1e6).toFixed(1).padStart(8)} MB (${(bytes / most).toFixed(2)})  ${time.toFixed(0).padStart(6)} ms (${(time / plain).toFixed(2)})`)
}
