import { backward } from '#lib/autograd/backward.js'
import { Random } from '#lib/data/random.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Module } from '#lib/nn/module.js'
import { Parameter } from '#lib/nn/parameter.js'
import { attention } from '#lib/ops/attention.js'
import { cast, clone } from '#lib/ops/copy.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { layerNorm } from '#lib/ops/layerNorm.js'
import { matmul } from '#lib/ops/matmul.js'
import { setFloat32MatmulPrecision } from '#lib/ops/matmulPrecision.js'
import { gelu } from '#lib/ops/unary.js'
import { expand, reshape, slice, transpose } from '#lib/ops/view.js'
import { AdamW } from '#lib/optim/adamW.js'
import { ones, tensor } from '#lib/tensor/create.js'
import type { DType } from '#lib/tensor/dtype.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import type { Spec } from './specs.js'

/** Queues one run; and what frees what runs need. */
export interface GpuWork { readonly run: () => void, readonly dispose: () => void }

const random = new Random(0, 'gpu bench'), blockSize = 1 << 18
let block: Tensor | undefined

/** Normal numbers: a block of 2^18, repeated. */
function normal(shape: readonly number[], dtype: DType): Tensor {
  const size = shape.reduce((a, b) => a * b, 1), length = Math.min(size, blockSize), times = Math.ceil(size / length)
  return scope(() => {
    block ??= tensor(Float32Array.from({ length: blockSize }, () => random.normal())).keep()
    const rows = clone(expand(reshape(cast(slice(block, 0, 0, length), dtype), [1, length]), [times, length]))
    return clone(reshape(slice(reshape(rows, [times * length]), 0, 0, size), shape))
  }).keep()
}

const integers = (shape: readonly number[], below: number): Tensor => tensor(Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.integer(below)), shape).keep()

class Weight extends Module {
  readonly weight: Parameter
  constructor(size: number) {
    super()
    this.weight = new Parameter([size], { kind: 'zeros' })
  }
}
class Weights extends Module {
  readonly parts: readonly Weight[]
  constructor(sizes: readonly number[]) {
    super()
    this.parts = sizes.map(size => new Weight(size))
  }
}

/** What a description stands for, made on the default device. */
export function gpuWork(spec: Spec): GpuWork {
  const owned: { dispose(): void }[] = [], own = <T extends { dispose(): void }>(t: T): T => { owned.push(t); return t }
  const dispose = (): void => { for (const t of owned) t.dispose() }
  const plain = (body: () => void): GpuWork => ({ run: () => { scope(() => { noGrad(body) }) }, dispose })
  const differentiated = (inputs: readonly Tensor[], forward: () => Tensor, dy?: Tensor): GpuWork => ({
    run: () => {
      scope(() => {
        for (const t of inputs) { t.grad?.dispose(); t.grad = undefined }
        backward(forward(), dy)
      })
    },
    dispose: () => { for (const t of inputs) t.grad?.dispose(); dispose() },
  })
  switch (spec.kind) {
    case 'copy': {
      const x = own(normal([spec.n], spec.dtype))
      return plain(() => { clone(x) })
    }
    case 'gelu': {
      const x = own(normal([spec.n], spec.dtype))
      return plain(() => { gelu(x) })
    }
    case 'layerNorm': {
      const x = own(normal([spec.rows, spec.columns], 'bfloat16')), weight = own(ones([spec.columns]).keep()), bias = own(ones([spec.columns]).keep())
      if (!spec.backward) return plain(() => { layerNorm(x, weight, bias) })
      const dy = own(normal([spec.rows, spec.columns], 'bfloat16'))
      for (const t of [x, weight, bias]) t.requiresGrad = true
      return differentiated([x, weight, bias], () => layerNorm(x, weight, bias), dy)
    }
    case 'crossEntropy': {
      const logits = own(normal([spec.rows, spec.columns], 'bfloat16')), labels = own(integers([spec.rows], spec.columns))
      logits.requiresGrad = true
      return differentiated([logits], () => crossEntropy(logits, labels))
    }
    case 'adamW': {
      const model = own(new Weights(spec.sizes)), optimizer = own(new AdamW(model, { learningRate: 1e-4 }))
      for (const p of model.parameters()) p.grad = own(normal(p.shape, 'float32'))
      return { run: () => { scope(() => { optimizer.step({ maxNorm: 1 }) }) }, dispose }
    }
    case 'matmul': {
      const { M, N, K, dtype, tf32, transposed } = spec, a = own(normal(transposed ? [K, M] : [M, K], dtype)), b = own(normal([K, N], dtype))
      return plain(() => {
        setFloat32MatmulPrecision(tf32 ? 'high' : 'highest')
        matmul(transposed ? transpose(a) : a, b)
      })
    }
    case 'attention': {
      const { B, S, H, D, causal } = spec, [q, k, v, dy] = Array.from({ length: 4 }, () => own(normal([B, S, H, D], 'bfloat16'))) as [Tensor, Tensor, Tensor, Tensor]
      if (!spec.backward) return plain(() => { attention(q, k, v, { causal }) })
      for (const t of [q, k, v]) t.requiresGrad = true
      return differentiated([q, k, v], () => attention(q, k, v, { causal }), dy)
    }
    case 'step': {
      const { B, T, vocabulary, layers, heads, width } = spec
      const model = own(new GPT2({ vocab_size: vocabulary, n_positions: T, n_embd: width, n_head: heads, n_layer: layers, attn_pdrop: 0, resid_pdrop: 0, embd_pdrop: 0 }))
      const optimizer = own(new AdamW(model, { learningRate: 1e-4 })), ids = own(integers([B, T], vocabulary)), labels = own(integers([B, T], vocabulary))
      return {
        run: () => {
          scope(() => {
            backward(autocast('bfloat16', () => model.loss({ ids, labels })))
            optimizer.step({ maxNorm: 1 })
            optimizer.zeroGrad()
          })
        },
        dispose,
      }
    }
  }
}
