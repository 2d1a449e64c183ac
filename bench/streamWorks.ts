import { backward } from '#lib/autograd/backward.js'
import { cast, clone } from '#lib/ops/copy.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { embedding } from '#lib/ops/embedding.js'
import { addLayerNorm } from '#lib/ops/layerNorm.js'
import { gelu } from '#lib/ops/unary.js'
import { Linear } from '#lib/nn/layers.js'
import { AdamW } from '#lib/optim/adamW.js'
import { tensor, zeros } from '#lib/tensor/create.js'
import { cpu } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { normal, random } from './inputs.js'
import type { Work } from './works.js'

/** What is bound by memory, on [16384, 1024] (64 MiB in float32), far beyond the second cache level. `stream-copy` is the bandwidth that the others are to be held against. */
const R = 16384, C = 1024
type Type = 'float32' | 'bfloat16'
const sizes = { float32: 4, bfloat16: 2 } as const

const run = (f: () => unknown) => (): Promise<void> => scope(async () => { noGrad(f); await cpu.synchronize() })
const big = (type: Type): Tensor => scope(() => cast(normal(R, C), type)).keep()
/** Reads and writes so many times all elements. */
const passes = (n: number, type: Type): number => n * R * C * sizes[type]

function normed(type: Type): Work {
  const x = big(type), residual = big(type), weight = normal(C), bias = normal(C)
  return { bytes: passes(4, type), run: run(() => addLayerNorm(x, residual, weight, bias, { dropout: 0.1 })) }
}

/** Forward and, in place, backward: the logits are read twice and written once. */
function entropy(type: Type): Work {
  const logits = big(type), labels = tensor(Int32Array.from({ length: R }, () => random.integer(C)), [R]).keep()
  return {
    bytes: passes(3, type),
    run: () => scope(async () => {
      logits.grad?.dispose()
      logits.grad = undefined
      logits.requiresGrad = true
      backward(crossEntropy(logits, labels))
      await cpu.synchronize()
    }),
  }
}

/** Reads parameter, gradient and both moments, writes all but the gradient. */
function updated(): Work {
  const layer = new Linear(C, R, { bias: false }), optimizer = new AdamW(layer, { learningRate: 1e-4 })
  layer.weight.grad = zeros([R, C]).keep()
  return { bytes: passes(7, 'float32'), run: () => scope(async () => { optimizer.step(); await cpu.synchronize() }) }
}

function embedded(type: Type): Work {
  const weight = normal(50257, C), ids = tensor(Int32Array.from({ length: R }, () => random.integer(50257)), [R]).keep()
  return { bytes: passes(1, 'float32') + passes(1, type), run: run(() => embedding(ids, weight, { dtype: type })) }
}

export const streamWorks: Readonly<Record<string, () => Work>> = {
  ...Object.fromEntries((['float32', 'bfloat16'] as const).flatMap((type): [string, () => Work][] => {
    const name = (what: string): string => `stream-${what}-${type}`
    return [
      [name('copy'), () => { const x = big(type); return { bytes: passes(2, type), run: run(() => clone(x)) } }],
      [name('gelu'), () => { const x = big(type); return { bytes: passes(2, type), run: run(() => gelu(x)) } }],
      [name('addLayerNorm'), () => normed(type)],
      [name('crossEntropy'), () => entropy(type)],
      [name('embedding'), () => embedded(type)],
    ]
  })),
  'stream-adamW-float32': updated,
}
