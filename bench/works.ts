import { generate } from '#lib/generate/generate.js'
import { Transformer } from '#lib/models/transformer.js'
import { cast } from '#lib/ops/copy.js'
import { matmul } from '#lib/ops/matmul.js'
import { cpu } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { attentionWorks, usualAttention } from './attentionWorks.js'
import { normal, random } from './inputs.js'
import { stepNames, trainingStep, type StepName } from './steps.js'
import { streamWorks } from './streamWorks.js'

/** What is measured here and, under the same name, in peer.py. */
export interface Work {
  /** Once: what is measured, up to its end. */
  readonly run: () => Promise<void>
  /** Floating-point operations of a run, where they are known. */
  flop?: number
  /** Bytes that a run must read and write at least, where that is what bounds it. */
  bytes?: number
  /** What a run gets through, such as target tokens. */
  units?: number
  unit?: string
}

type Precision = 'float32' | 'bfloat16'
const suffix = { float32: '', bfloat16: '-bfloat16' } as const
const precisions = ['float32', 'bfloat16'] as const

function product(n: number, precision: Precision): Work {
  const [a, b] = [normal(n, n), normal(n, n)].map(t => precision === 'float32' ? t : cast(t, precision).keep()) as [Tensor, Tensor]
  return { flop: 2 * n ** 3, run: () => scope(async () => { noGrad(() => { matmul(a, b) }); await cpu.synchronize() }) }
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
  ...attentionWorks,
  ...streamWorks,
  ...Object.fromEntries(precisions.flatMap(precision => stepNames.map(name => [`train-${name}${suffix[precision]}`, () => training(name, precision)]))),
  'translate-beam4': beams,
}

/** Measured unless others are named: not the whole grid of attention, nor what needs a gigabyte, nor `train-gpt2`, which takes seconds a step on a laptop. */
export const usualWorks = Object.keys(works).filter(name => !name.startsWith('train-gpt2') && !(name in streamWorks) && (!(name in attentionWorks) || usualAttention.includes(name)))
