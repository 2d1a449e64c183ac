// node training.js STEPS: a few steps of a small GPT-2 with dropout on the CPU and on 'cuda', in each precision, with the losses side by side; twice on 'cuda' for equal bits.
// Prints a JSON line for each precision.
import { backward } from '#lib/autograd/backward.js'
import { Random } from '#lib/data/random.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { AdamW, LossScale } from '#lib/optim/index.js'
import { tensor } from '#lib/tensor/create.js'
import { withDevice } from '#lib/tensor/device.js'
import { generator, manualSeed } from '#lib/tensor/random.js'
import { autocast, scope } from '#lib/tensor/scope.js'

/** Relative difference of losses that is allowed: rounding of the precision, which training makes larger from step to step. */
const bounds = { float32: 2e-4, bfloat16: 2e-2, float16: 5e-3 } as const
type Precision = keyof typeof bounds

const B = 4, T = 24, V = 97, steps = Number(process.argv[2] ?? 10)

async function losses(device: string, precision: Precision): Promise<number[]> {
  return withDevice(device, async () => {
    manualSeed(7)
    const model = new GPT2({ vocab_size: V, n_positions: T, n_embd: 64, n_layer: 2, n_head: 4 }), optimizer = new AdamW(model, { learningRate: 3e-3 }), random = new Random(5, 'gpu training')
    const lossScale = precision === 'float16' ? new LossScale() : undefined, found: number[] = []
    for (let step = 0; step < steps; step++) {
      optimizer.setLearningRate(3e-3 * Math.min(1, (step + 1) / 4))
      // The next token follows from the last: there is something to learn.
      const rows = Array.from({ length: B }, () => {
        const row = [random.integer(V)]
        while (row.length <= T) row.push((5 * row.at(-1)! + 3) % V)
        return row
      })
      await scope(async () => {
        generator.startStep(step)
        const ids = tensor(Int32Array.from(rows.flatMap(row => row.slice(0, T))), [B, T]), labels = tensor(Int32Array.from(rows.flatMap(row => row.slice(1))), [B, T])
        const loss = autocast(precision, () => model.loss({ ids, labels }))
        backward(loss, lossScale?.gradient)
        optimizer.step({ maxNorm: 1, lossScale })
        optimizer.zeroGrad()
        found.push(await loss.item())
      })
    }
    for (const owner of [model, optimizer, lossScale]) owner?.dispose()
    return found
  })
}

for (const precision of Object.keys(bounds) as Precision[]) {
  const cpu = await losses('cpu', precision), cuda = await losses('cuda', precision), again = await losses('cuda', precision)
  const difference = Math.max(...cpu.map((v, i) => Math.abs(v - cuda[i]!) / Math.abs(v))), sameBits = cuda.every((v, i) => v === again[i])
  const passed = difference <= bounds[precision] && sameBits && cuda.at(-1)! < cuda[0]!
  console.log(JSON.stringify({ precision, passed, difference, bound: bounds[precision], sameBits, cpu, cuda }))
  if (!passed) process.exitCode = 1
}
