import { cpus } from 'node:os'
import { writeJsonAtomic } from '../io/atomicFile.js'
import { requireWritableFile } from '../io/folders.js'
import { Transformer } from '../models/transformer.js'
import { AdamW } from '../optim/index.js'
import { attention } from '../ops/attention.js'
import { matmul } from '../ops/matmul.js'
import { backward } from '../autograd/backward.js'
import { tensor } from '../tensor/create.js'
import { defaultDevice, threads } from '../tensor/device.js'
import { Random } from '../data/random.js'
import { profile } from '../tensor/profile.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { type Command, UsageError } from './arguments.js'
import { atWork } from './atWork.js'

interface Row { name: string, milliseconds: number, fastest: number, slowest: number, gflops: number }

export const bench: Command = {
  about: 'measures matrix products, attention and a training step on this machine',
  usage: 'bench [options]',
  operands: [0, 0],
  flags: {
    repeats: { value: 'N', about: 'measurements of each, of which the median is told (default 9)' },
    output: { value: 'FILE', about: 'write the figures there as JSON too' },
    profile: { about: 'a training step op by op instead: time, calls, bytes, operations, share of the peak' },
    trace: { value: 'FILE', about: 'write the calls of that step there for chrome://tracing or ui.perfetto.dev' },
  },
  async run(_, options) {
    const repeats = options.count('repeats', 1) ?? 9, output = options.text('output')
    const trace = options.text('trace')
    for (const file of [output, trace]) if (file !== undefined) await requireWritableFile(file)
    if (trace !== undefined && !options.on('profile')) throw new UsageError('--trace is of --profile: give both')
    if (options.on('profile')) return profiled(output, trace)
    atWork('measuring', () => 'What is measured so far is above.')
    const about = { ...machine(), repeats, command: `warpweft bench --repeats ${repeats}` }
    console.log(`${about.processor}; ${about.device}; ${about.threads} threads; float32; median of ${repeats} (fastest to slowest)`)
    const rows: Row[] = []
    for (const measure of measurements()) {
      const row = await measure(repeats)
      rows.push(row)
      const spread = `${row.fastest.toFixed(2)} to ${row.slowest.toFixed(2)}`
      console.log(`${row.name.padEnd(44)} ${row.milliseconds.toFixed(2).padStart(9)} ms  ${spread.padEnd(20)} ${row.gflops.toFixed(0).padStart(5)} GFLOP/s`)
    }
    if (output !== undefined) await writeJsonAtomic(output, { ...about, rows })
    return 0
  },
}

const machine = () => ({ processor: cpus()[0]?.model.trim(), device: defaultDevice().describe(), threads: threads(), node: process.versions.node })

/** The training step of the measurements op by op, after two that warm up. */
async function profiled(output: string | undefined, trace: string | undefined): Promise<number> {
  atWork('profiling', () => 'Nothing has been written.')
  const { run, dispose } = trainingStep()
  const step = (): Promise<void> => scope(async () => { run(); await defaultDevice().synchronize() })
  for (let i = 0; i < 2; i++) await step()
  const measured = await profile(step)
  dispose()
  const about = machine(), { milliseconds, busyMilliseconds, peaks, ops } = measured
  console.log(`${about.processor}; ${about.device}; one training step of the encoder-decoder that bench measures, float32`)
  console.log(measured.table())
  if (output !== undefined) await writeJsonAtomic(output, { ...about, milliseconds, busyMilliseconds, peaks, ops })
  if (trace !== undefined) await writeJsonAtomic(trace, measured.chromeTrace())
  return 0
}

const random = new Random(0, 'bench')

/** An encoder-decoder of 3 + 3 layers on 32 sentences of 64 tokens. */
function trainingStep() {
  const [V, C, L, B, T] = [8000, 256, 3, 32, 64]
  const model = new Transformer({ vocabSize: V, dModel: C, layers: L, dropout: 0.1 }), optimizer = new AdamW(model, { learningRate: 1e-4 })
  const ids = (): Tensor => tensor(Int32Array.from({ length: B * T }, () => 3 + random.integer(V - 3)), [B, T]).keep()
  const [source, decoderInput, labels] = [ids(), ids(), ids()]
  // 6 FLOP a parameter and token for the layers (2 forward, 4 backward), the output layer for the targets; attention is left out.
  return {
    name: `training step, d ${C}, ${L} + ${L} layers, ${B} x ${T} tokens`,
    flop: 6 * B * T * model.parameterCount,
    run: (): void => {
      optimizer.zeroGrad()
      backward(model.loss({ source, decoderInput, labels }))
      optimizer.step()
    },
    dispose: (): void => {
      optimizer.dispose()
      model.dispose()
      for (const input of [source, decoderInput, labels]) input.dispose()
    },
  }
}

function* measurements(): Generator<(repeats: number) => Promise<Row>> {
  const normal = (...shape: number[]): Tensor => {
    const size = shape.reduce((product, n) => product * n, 1)
    return tensor(Float32Array.from({ length: size }, () => random.normal()), shape).keep()
  }
  for (const n of [256, 512, 1024, 2048]) {
    yield repeats => {
      const a = normal(n, n), b = normal(n, n)
      return timed(`matmul ${n} x ${n} x ${n}`, repeats, 2 * n ** 3, () => { matmul(a, b) }, [a, b])
    }
  }
  for (const [S, causal] of [[512, false], [2048, true]] as const) {
    yield repeats => {
      const [B, H, D] = [1, 8, 64], [q, k, v] = [normal(B, S, H, D), normal(B, S, H, D), normal(B, S, H, D)]
      return timed(`attention [${B}, ${S}, ${H}, ${D}]${causal ? ' causal' : ''}`, repeats, 4 * B * H * S * S * D / (causal ? 2 : 1),
        () => { attention(q, k, v, { causal }) }, [q, k, v])
    }
  }
  yield async repeats => {
    const { name, flop, run, dispose } = trainingStep()
    const row = await timed(name, repeats, flop, run, [], true)
    dispose()
    return row
  }
}

async function timed(name: string, repeats: number, flop: number, run: () => void, inputs: Tensor[], gradients = false): Promise<Row> {
  const times: number[] = []
  for (let i = -2; i < repeats; i++) {
    const start = performance.now()
    await scope(async () => {
      if (gradients) run()
      else noGrad(run)
      await defaultDevice().synchronize()
    })
    if (i >= 0) times.push(performance.now() - start)
  }
  for (const input of inputs) input.dispose()
  times.sort((a, b) => a - b)
  const milliseconds = times[Math.floor(times.length / 2)]!
  return { name, milliseconds, fastest: times[0]!, slowest: times.at(-1)!, gflops: flop / milliseconds / 1e6 }
}
