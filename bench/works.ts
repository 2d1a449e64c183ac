import { generate } from '#lib/generate/generate.js'
import { BertModel } from '#lib/models/bert.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Transformer } from '#lib/models/transformer.js'
import { add } from '#lib/ops/add.js'
import { cast } from '#lib/ops/copy.js'
import { linear } from '#lib/ops/linear.js'
import { matmul } from '#lib/ops/matmul.js'
import { cpu } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { tensor } from '#lib/tensor/create.js'
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

/** Few rows against the products of the base model's decoder, each weight read once a run: 27 million weights. */
function fewRows(M: number): Work {
  const layer = [[1536, 512], [512, 512], [512, 512], [512, 512], [2048, 512], [512, 2048]] as const
  const weights = [...Array.from({ length: 6 }, () => layer).flat(), [10000, 512] as const].map(([N, K]) => normal(N, K))
  const inputs = new Map([512, 2048].map(K => [K, normal(M, K)]))
  return {
    flop: 2 * M * weights.reduce((sum, w) => sum + w.size, 0),
    run: () => scope(async () => { noGrad(() => { for (const w of weights) linear(inputs.get(w.shape[1]!)!, w) }); await cpu.synchronize() }),
  }
}

/** BERT-base without its pooler, B texts of 128 tokens. */
function encoded(B: number): Work {
  const model = new BertModel({}, { pooler: false }).eval(), ids = tensor(Int32Array.from({ length: B * 128 }, () => random.integer(30522)), [B, 128]).keep()
  return { units: B * 128, unit: 'tokens', run: () => scope(async () => { noGrad(() => { model.forward(ids) }); await cpu.synchronize() }) }
}

/** GPT-2 of 124 million weights, 64 tokens behind a prompt of 64, greedily. */
function decoded(): Work {
  const model = new GPT2({}).eval(), prompt = Array.from({ length: 64 }, () => random.integer(50257))
  return { units: 64, unit: 'tokens', run: async () => { await generate(model, { inputIds: prompt }, { maxNewTokens: 64 }) } }
}

/** Ten thousand additions of four numbers: what a call costs from TypeScript to the queue and back. */
function calls(): Work {
  const a = normal(4), b = normal(4)
  return {
    units: 10_000, unit: 'calls',
    run: async () => {
      noGrad(() => { for (let i = 0; i < 100; i++) scope(() => { for (let j = 0; j < 100; j++) add(a, b) }) })
      await cpu.synchronize()
    },
  }
}

export const works: Readonly<Record<string, () => Work>> = {
  ...Object.fromEntries(precisions.flatMap(precision => [256, 512, 1024, 2048].map(n => [`matmul-${n}${suffix[precision]}`, () => product(n, precision)]))),
  ...attentionWorks,
  ...streamWorks,
  ...Object.fromEntries(precisions.flatMap(precision => stepNames.map(name => [`train-${name}${suffix[precision]}`, () => training(name, precision)]))),
  'translate-beam4': beams,
  ...Object.fromEntries([1, 4, 8, 16].map(M => [`rows-${M}`, () => fewRows(M)])),
  ...Object.fromEntries([1, 8].map(B => [`encode-bert-${B}`, () => encoded(B)])),
  'decode-gpt2': decoded,
  'calls': calls,
}

/** Measured unless others are named: not the whole grid of attention, nor what needs a gigabyte, nor `train-gpt2`, which takes seconds a step on a laptop. */
export const usualWorks = Object.keys(works).filter(name => !name.startsWith('train-gpt2') && !(name in streamWorks) && (!(name in attentionWorks) || usualAttention.includes(name)))
