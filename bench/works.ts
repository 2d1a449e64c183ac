import { generate } from '#lib/generate/generate.js'
import { Transformer } from '#lib/models/transformer.js'
import { matmul } from '#lib/ops/matmul.js'
import { cpu } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
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

function product(n: number): Work {
  const a = normal(n, n), b = normal(n, n)
  return { flop: 2 * n ** 3, run: () => scope(async () => { noGrad(() => { matmul(a, b) }); await cpu.synchronize() }) }
}

function training(name: StepName): Work {
  const { step, units, unit } = trainingStep(name)
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
  ...Object.fromEntries([256, 512, 1024, 2048].map(n => [`matmul-${n}`, () => product(n)])),
  ...attentionWorks,
  ...streamWorks,
  ...Object.fromEntries(stepNames.map(name => [`train-${name}`, () => training(name)])),
  'translate-beam4': beams,
}

/** Measured unless others are named: not the whole grid of attention, nor what needs a gigabyte, nor `train-gpt2`, which takes seconds a step on a laptop. */
export const usualWorks = Object.keys(works).filter(name => name !== 'train-gpt2' && !(name in streamWorks) && (!(name in attentionWorks) || usualAttention.includes(name)))
