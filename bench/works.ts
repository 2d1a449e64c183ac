import { backward } from '#lib/autograd/backward.js'
import { Random } from '#lib/data/random.js'
import { generate } from '#lib/generate/generate.js'
import { Transformer } from '#lib/models/transformer.js'
import { attention } from '#lib/ops/attention.js'
import { cast } from '#lib/ops/copy.js'
import { matmul } from '#lib/ops/matmul.js'
import { tensor } from '#lib/tensor/create.js'
import { cpu } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { stepNames, trainingStep, type StepName } from './steps.js'

/** What is measured here and, under the same name, in peer.py. */
export interface Work {
  /** Once: what is measured, up to its end. */
  readonly run: () => Promise<void>
  /** Floating-point operations of a run, where they are known. */
  flop?: number
  /** What a run gets through, such as target tokens. */
  units?: number
  unit?: string
}

const random = new Random(0, 'bench')
const normal = (...shape: number[]): Tensor => tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()), shape).keep()

type Precision = 'float32' | 'bfloat16'
const suffix = { float32: '', bfloat16: '-bfloat16' } as const
const precisions = ['float32', 'bfloat16'] as const

function product(n: number, precision: Precision): Work {
  const [a, b] = [normal(n, n), normal(n, n)].map(t => precision === 'float32' ? t : cast(t, precision).keep()) as [Tensor, Tensor]
  return { flop: 2 * n ** 3, run: () => scope(async () => { noGrad(() => { matmul(a, b) }); await cpu.synchronize() }) }
}

/** B 1, H 8, D 64; half of the scores where it is causal; the backward pass has 2.5 times the products of the forward one. */
function attended(S: number, causal: boolean, gradients: boolean): Work {
  const H = 8, D = 64, [q, k, v, dy] = [normal(1, S, H, D), normal(1, S, H, D), normal(1, S, H, D), normal(1, S, H, D)] as const
  const forward = 4 * H * S * S * D / (causal ? 2 : 1)
  if (!gradients) return { flop: forward, run: () => scope(async () => { noGrad(() => { attention(q, k, v, { causal }) }); await cpu.synchronize() }) }
  for (const t of [q, k, v]) t.requiresGrad = true
  return {
    flop: 3.5 * forward,
    run: () => scope(async () => {
      for (const t of [q, k, v]) { t.grad?.dispose(); t.grad = undefined }
      backward(attention(q, k, v, { causal }), dy)
      await cpu.synchronize()
    }),
  }
}

function training(name: StepName, precision: Precision): Work {
  const { step, units, unit } = trainingStep(name, precision)
  return { run: step, units, unit }
}

/** One sentence of 32 tokens, four beams, exactly 32 steps, caches of keys and values: the paper's base model. */
function beams(): Work {
  const model = new Transformer({ vocabSize: 10000, finalNorm: true, dropout: 0 }).eval()
  const source = Array.from({ length: 32 }, () => random.integer(10000))
  return {
    units: 32, unit: 'tokens',
    run: async () => { await generate(model, { inputIds: source }, { numBeams: 4, maxNewTokens: 32, decoderStartTokenId: 0, padTokenId: 0 }) },
  }
}

export const works: Readonly<Record<string, () => Work>> = {
  ...Object.fromEntries(precisions.flatMap(precision => [256, 512, 1024, 2048].map(n => [`matmul-${n}${suffix[precision]}`, () => product(n, precision)]))),
  ...Object.fromEntries(([[512, false], [2048, true]] as const).flatMap(([S, causal]) => ([[false, 'forward'], [true, 'forward-backward']] as const).map(([gradients, what]) =>
    [`attention-${S}${causal ? '-causal' : ''}-${what}`, () => attended(S, causal, gradients)] as const))),
  ...Object.fromEntries(precisions.flatMap(precision => stepNames.map(name => [`train-${name}${suffix[precision]}`, () => training(name, precision)]))),
  'translate-beam4': beams,
}

/** Measured unless others are named; `train-gpt2` takes several seconds a step on a laptop. */
export const usualWorks = Object.keys(works).filter(name => !name.startsWith('train-gpt2'))
