import { ConfigError } from '../errors.js'
import type { Linear } from '../nn/layers.js'
import { initialValues } from '../nn/parameter.js'
import { sub } from '../ops/add.js'
import { matmul } from '../ops/matmul.js'
import { transpose } from '../ops/view.js'
import { Random } from '../data/random.js'
import { tensor } from '../tensor/create.js'
import { generator } from '../tensor/random.js'
import { noGrad, scope } from '../tensor/scope.js'
import { type LinearLayer, matrixOf, overwrite } from './baseLayer.js'
import { type Matrix, qr, singularValues } from './decompositions.js'

interface Beginning { A: Linear, B: Linear, scaling: number, layer: LinearLayer, name: string }

/**
 * First values of the factors of an update. 'olora' and 'pissa' take them from the weight of the base and subtract their product from it, so that the layer computes what it
 * did.
 * @see Meng et al. 2024, https://arxiv.org/abs/2404.02948 (PiSSA); Büyükakyüz 2024, https://arxiv.org/abs/2406.01775 (OLoRA)
 */
export function initializeLora(how: boolean | string, { A, B, scaling, layer, name }: Beginning): void {
  const rank = A.outFeatures
  B.bias?.initialize({ kind: 'zeros' })
  switch (how) {
    case false: return   // both as Linear begins
    case true: case 'eva': A.weight.initialize({ kind: 'kaimingUniform', slope: Math.sqrt(5) }); B.weight.initialize({ kind: 'zeros' }); return
    case 'gaussian': A.weight.initialize({ kind: 'normal', std: 1 / rank }); B.weight.initialize({ kind: 'zeros' }); return
    case 'orthogonal': orthogonal(A, B); return
    case 'olora': case 'pissa': {
      if (how === 'olora' && layer.fanInFanOut) throw new ConfigError(`adapter: ${name} is stored as [in, out], for which peft's 'olora' is not defined; use 'pissa'`)
      const W = readMatrix(layer)
      if (rank > Math.min(W.rows, W.columns)) throw new ConfigError(`adapter: ${name} is [${W.rows}, ${W.columns}], too small for '${how}' of rank ${rank}`)
      const { left, right } = how === 'olora' ? firstOfQR(W, rank) : principal(W, rank, scaling)
      A.weight.assign(Float32Array.from(right))
      B.weight.assign(Float32Array.from(left))
      subtract(layer, A, B, scaling)
    }
  }
}

function readMatrix(layer: LinearLayer): Matrix {
  return noGrad(() => scope(() => {
    const W = matrixOf(layer), [rows, columns] = W.shape as [number, number]
    return { rows, columns, data: Float64Array.from(W.dataSync() as Float32Array) }
  }))
}

function subtract(layer: LinearLayer, A: Linear, B: Linear, scaling: number): void {
  const { weight } = layer
  if (!weight) throw new ConfigError("adapter: 'olora' and 'pissa' change the weights of the base, which are quantised here. Quantise after the adapter is made.")
  noGrad(() => { scope(() => {
    const rest = sub(matrixOf(layer), matmul(B.weight, A.weight, { alpha: scaling }))
    overwrite(weight, layer.fanInFanOut ? transpose(rest) : rest)
  }) })
}

/** W = Q R: the first columns of Q `[out, r]`, the first rows of R `[r, in]`. */
function firstOfQR(W: Matrix, rank: number): { left: Float64Array, right: Float64Array } {
  const { Q, R } = qr(W)
  return { left: columnsOf(Q, rank), right: R.data.slice(0, rank * W.columns) }
}

/** The principal part of W = U S Vᵀ, halved evenly: U sqrt(S / scaling), sqrt(S / scaling) Vᵀ. */
function principal(W: Matrix, rank: number, scaling: number): { left: Float64Array, right: Float64Array } {
  const { U, S, V } = singularValues(W), left = columnsOf(U, rank), right = new Float64Array(rank * W.columns)
  for (let k = 0; k < rank; k++) {
    const root = Math.sqrt(S[k]! / scaling)
    for (let i = 0; i < W.rows; i++) left[i * rank + k]! *= root
    for (let j = 0; j < W.columns; j++) right[k * W.columns + j] = root * V.data[j * V.columns + k]!
  }
  return { left, right }
}

function columnsOf({ rows, columns, data }: Matrix, count: number): Float64Array {
  return Float64Array.from({ length: rows * count }, (_, i) => data[Math.floor(i / count) * columns + i % count]!)
}

/** A and B in two halves of one random basis: their product is zero though neither is. */
function orthogonal(A: Linear, B: Linear): void {
  const rank = A.outFeatures, half = rank / 2
  if (!Number.isInteger(half)) throw new ConfigError(`adapter: init_lora_weights 'orthogonal' needs an even rank, not ${rank}`)
  const { seed, index } = generator.nextParameter(), random = new Random(seed, 'orthogonal lora', index)
  const normal = (shape: [number, number]): Float64Array => Float64Array.from(initialValues(shape, { kind: 'normal', std: 1 }, random))
  const { Q } = qr({ rows: rank, columns: rank, data: normal([rank, rank]) })
  const rowsOf = (first: 0 | 1): Float32Array => Float32Array.from({ length: half * rank }, (_, i) => Q.data[(2 * Math.floor(i / rank) + first) * rank + i % rank]!)
  scope(() => { noGrad(() => {
    const [odd, even] = [tensor(rowsOf(0), [half, rank]), tensor(rowsOf(1), [half, rank])]
    const a = tensor(Float32Array.from(normal([A.inFeatures, half])), [A.inFeatures, half]), b = tensor(Float32Array.from(normal([B.outFeatures, half])), [B.outFeatures, half])
    overwrite(A.weight, transpose(matmul(a, odd, { alpha: 0.1 })))
    overwrite(B.weight, matmul(b, even, { alpha: 0.1 }))
  }) })
}
