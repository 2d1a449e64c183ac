import { backward } from '#lib/autograd/backward.js'
import { Linear } from '#lib/nn/layers.js'
import { quantized } from '#lib/nn/quantization.js'
import { AdamW } from '#lib/optim/adamW.js'
import { ExponentialMovingAverage } from '#lib/optim/ema.js'
import { LossScale } from '#lib/optim/lossScale.js'
import { SGD } from '#lib/optim/sgd.js'
import * as ops from '#lib/ops/index.js'
import { loadAddon } from '#lib/tensor/addon.js'
import { ones, tensor } from '#lib/tensor/create.js'
import { cpu, withDevice } from '#lib/tensor/device.js'
import { native } from '#lib/tensor/native.js'
import { scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'

// Calls of every native op as the library makes them, with their tensors described so that they can be made anew: what hostile calls are made from.

export interface OpFields { name: string, fields: { name: string, kind: string, optional: boolean }[] }
export const opsOfAddon = (JSON.parse(loadAddon().describe()) as OpFields[])

/** A tensor as the addon sees it. Equal `storage` numbers of one call are one memory. */
export interface Layout { storage: number, dtype: number, sizes: readonly number[], view?: { offset: number, sizes: readonly number[], strides: readonly number[] } }
export type Argument = number | boolean | { tensor: Layout, sign: 1 | -1 } | { list: readonly Layout[] }
export interface Call { op: string, arguments: readonly Argument[] }

/** The functions of the session, of arbitrary arguments. */
export const anyNative = native as unknown as Record<string, (...values: unknown[]) => unknown>

/** Runs `work` and returns the native calls that it made: one of each op and layout. */
function record(work: () => void): Call[] {
  const layouts = new Map<number, Layout>(), calls = new Map<string, Call>(), real: Record<string, (...values: unknown[]) => unknown> = { ...anyNative }
  const fieldsOf = new Map(opsOfAddon.map(op => [op.name, op.fields]))
  anyNative['alloc'] = (...values) => {
    const handle = real['alloc']!(...values) as number, [dtype, , , ...sizes] = values as number[]
    layouts.set(handle, { storage: handle, dtype: dtype!, sizes })
    return handle
  }
  anyNative['view'] = (...values) => {
    const handle = real['view']!(...values) as number, [of, offset, rank, ...rest] = values as [number, number, number, ...number[]], source = layouts.get(of)
    if (source) layouts.set(handle, { ...source, view: { offset: offset + (source.view?.offset ?? 0), sizes: rest.slice(0, rank), strides: rest.slice(rank) } })
    return handle
  }
  anyNative['share'] = (...values) => {
    const handle = real['share']!(...values) as number, source = layouts.get(values[0] as number)
    if (source) layouts.set(handle, source)
    return handle
  }
  for (const [op, fields] of fieldsOf) {
    anyNative[op] = (...values) => {
      const described = values.map((value, i): Argument => {
        const { kind } = fields[i]!
        if (value instanceof Float64Array) return { list: Array.from(value, h => layouts.get(h)!) }
        if (['number', 'integer', 'boolean'].includes(kind) || value === 0) return value as number | boolean
        return { tensor: layouts.get(Math.abs(value as number))!, sign: (value as number) < 0 ? -1 : 1 }
      })
      calls.set(`${op} ${JSON.stringify(described)}`.replaceAll(/"storage":\d+/g, ''), { op, arguments: described })
      return real[op]!(...values)
    }
  }
  try {
    withDevice(cpu, work)
  } finally {
    Object.assign(anyNative, real)
  }
  return [...calls.values()]
}

/** The sum of it flows back. */
function train(y: Tensor): void { backward(ops.sum(y)) }

function everything(): void {
  const x = ones([3, 4], { requiresGrad: true }), w = ones([4], { requiresGrad: true }), b = ones([4], { requiresGrad: true })
  const ids = tensor([[0, 1, 2, 1], [1, 1, 0, 2], [2, 2, 2, 0]], null, { dtype: 'int32' }), flat = tensor([0, 2, 1], null, { dtype: 'int64' })
  const half = ones([2, 5], { dtype: 'bfloat16', requiresGrad: true })
  for (const t of [x, half]) {
    train(ops.gelu(t))
    train(ops.max(ops.transpose(t), 0))
    train(ops.logSoftmax(ops.softmax(t)))
    train(ops.dropout(t, 0.5))
    train(ops.cumsum(ops.concat([t, t])))
    ops.argmax(ops.detach(t))
  }
  train(ops.add(x, w))
  train(ops.mul(2, x))
  train(ops.where(ops.gt(x, 0), x, w))
  train(ops.gather(x, ids))
  train(ops.scatterAdd(x, ids, x))
  train(ops.indexSelect(x, flat))
  train(ops.topK(x, 2).values)
  train(ops.embedding(ids, x))
  train(ops.gatedActivation(x, x, 'silu'))
  train(ops.layerNorm(x, w, b))
  train(ops.addLayerNorm(x, ops.mul(x, 2), w, b, { dropout: 0.25 }).y)
  train(ops.rmsNorm(x, w))
  train(ops.addRMSNorm(x, ops.mul(x, 2), w, { dropout: 0.25 }).y)
  train(ops.crossEntropy(x, flat))
  train(ops.crossEntropy(x, flat, { labelSmoothing: 0.1 }))
  train(ops.linearCrossEntropy(x, ones([5, 4], { requiresGrad: true }), flat, { rows: 1, bias: ones([5], { requiresGrad: true }) }))
  train(ops.matmul(x, ops.transpose(x)))
  train(ops.linear(x, ones([5, 4], { requiresGrad: true }), ones([5], { requiresGrad: true }), { activation: 'gelu' }))
  for (const stored of [quantized(new Float32Array(20).fill(0.5), [5, 4], 'int8'), quantized(new Float32Array(280).fill(0.5), [70, 4], 'nf4'), quantized(new Float32Array(20), [5, 4], 'nf4', { doubleQuantization: false })]) {
    train(ops.quantizedLinear(x, stored))
    for (const t of stored.tensors) t.dispose()
  }
  ops.uniform([7])
  const qkv = ones([2, 3, 12, 2], { requiresGrad: true }), [q, k, v] = ops.split(qkv, 4, 2) as [Tensor, Tensor, Tensor]
  train(ops.attention(q, k, v, { causal: true, keyPadding: ones([2, 3], { dtype: 'bool' }), bias: ones([4, 3, 3], { requiresGrad: true }), dropout: 0.5 }))
  const angles = ones([9, 1]), places = tensor([[0, 8, 3], [1, 1, 2]], null, { dtype: 'int32' })
  train(ops.rotary(q, angles, angles, { positions: 2 }))
  train(ops.rotary(k, angles, angles, { positions: places, interleaved: true }))
  const packed = ones([1, 6, 2, 8], { requiresGrad: true }), offsets = tensor([0, 2, 6], null, { dtype: 'int32' })
  train(ops.attention(packed, packed, packed, { queryOffsets: offsets, keyOffsets: offsets, window: 2 }))
  const model = new Linear(3, 2), ema = new ExponentialMovingAverage(model, 0.9)
  for (const optimizer of [new AdamW(model), new SGD(model, { momentum: 0.9 })]) {
    train(model.forward(ones([2, 3])))
    const lossScale = new LossScale()
    optimizer.step({ maxNorm: 1, lossScale }).dispose()
    lossScale.dispose()
    optimizer.dispose()
  }
  ema.update()
  ema.dispose()
  model.dispose()
}

export const recordedCalls: readonly Call[] = record(() => { scope(everything) })
