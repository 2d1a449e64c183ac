import { ConfigError } from '../errors.js'
import { tensor } from '../tensor/create.js'
import { native } from '../tensor/native.js'
import type { DType } from '../tensor/dtype.js'
import { empty, type Tensor } from '../tensor/tensor.js'

/** Ways to store a matrix in few bits: 'int8' with a scale for each output channel, 'nf4' (4-bit NormalFloat) with a largest value for each 64 weights. */
export type Quantization = 'int8' | 'nf4'

/** The 16 values of NormalFloat, as the kernel has them. @see Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, appendix E */
export const normalFloat = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
] as const
const boundaries = normalFloat.slice(1).map((value, i) => (value + normalFloat[i]!) / 2)

const blockSize = 64, groupSize = 256

/** A matrix `[N, K]` in few bits. Whoever made it frees it. */
export interface QuantizedMatrix {
  readonly shape: readonly [number, number]
  /** Its tensors; together they are all that is stored. */
  readonly tensors: readonly Tensor[]
  /** Makes the matrix, in a floating dtype; the caller frees it. */
  dequantize(dtype: DType): Tensor
}

/** Nearest code; ties go to the lower value. */
function codeOf(x: number): number {
  let low = 0, high = 15
  while (low < high) {
    const middle = (low + high) >> 1
    if (x > boundaries[middle]!) low = middle + 1
    else high = middle
  }
  return low
}

/** Codes -127 … 127 of values against the largest of them. */
function toInt8(values: ArrayLike<number>, largest: number, into: Int8Array, at: number): void {
  const factor = largest === 0 ? 0 : 127 / largest
  for (let i = 0; i < values.length; i++) into[at + i] = Math.round(values[i]! * factor)
}

function largestOf(values: ArrayLike<number>): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!))
  return largest
}

/**
 * A matrix in few bits.
 * @param values row by row, `[N, K]`
 * @param doubleQuantization 'nf4': the largest values of the blocks are stored in 8 bits too, by groups of 256 around their mean: 4.13 bits a weight instead of 4.5
 * @throws ConfigError for values that are not finite
 */
export function quantized(values: Float32Array, [N, K]: readonly [number, number], to: Quantization, { doubleQuantization = true } = {}): QuantizedMatrix {
  if (!Number.isFinite(largestOf(values))) throw new ConfigError('quantisation: the weights have values that are NaN or infinite')
  return to === 'int8' ? int8Matrix(values, [N, K]) : nf4Matrix(values, [N, K], doubleQuantization)
}

function int8Matrix(values: Float32Array, [N, K]: readonly [number, number]): QuantizedMatrix {
  const codes = new Int8Array(N * K), scales = new Float32Array(N)
  for (let n = 0; n < N; n++) {
    const row = values.subarray(n * K, (n + 1) * K), largest = largestOf(row)
    scales[n] = largest / 127
    toInt8(row, largest, codes, n * K)
  }
  const [c, s] = [tensor(codes, [N, K]).keep(), tensor(scales, [N]).keep()]
  return {
    shape: [N, K], tensors: [c, s],
    dequantize(dtype) {
      const y = empty([N, K], dtype, c.device)
      native.dequantizeInt8(c.handle, s.handle, y.raw)
      return y
    },
  }
}

function nf4Matrix(values: Float32Array, [N, K]: readonly [number, number], doubly: boolean): QuantizedMatrix {
  const blocks = Math.ceil(values.length / blockSize), codes = new Uint8Array(Math.ceil(values.length / 2)), absmax = new Float32Array(blocks)
  for (let b = 0; b < blocks; b++) absmax[b] = largestOf(values.subarray(b * blockSize, (b + 1) * blockSize))
  const { mean, codes: small, groups } = doubly ? groupsOf(absmax) : { mean: 0, codes: undefined, groups: undefined }
  for (let i = 0; i < values.length; i++) {
    const b = Math.floor(i / blockSize), largest = absmax[b]!   // codes against the exact largest value, as in the paper
    codes[i >> 1]! |= codeOf(largest === 0 ? 0 : values[i]! / largest) << (i % 2 === 0 ? 4 : 0)
  }
  const c = tensor(codes, [codes.length]).keep(), a = tensor(small ?? absmax, [blocks]).keep(), g = groups && tensor(groups, [groups.length]).keep()
  return {
    shape: [N, K], tensors: g ? [c, a, g] : [c, a],
    dequantize(dtype) {
      const y = empty([N, K], dtype, c.device)
      native.dequantizeNF4(c.handle, a.handle, g?.handle ?? 0, y.raw, mean)
      return y
    },
  }
}

/** Largest values in 8 bits, around their mean, so that the sign is used. */
function groupsOf(absmax: Float32Array): { mean: number, codes: Int8Array, groups: Float32Array } {
  const mean = Math.fround(absmax.reduce((sum, x) => sum + x, 0) / Math.max(1, absmax.length)), codes = new Int8Array(absmax.length), groups = new Float32Array(Math.ceil(absmax.length / groupSize))
  for (let g = 0; g < groups.length; g++) {
    const centred = absmax.subarray(g * groupSize, (g + 1) * groupSize).map(x => x - mean), largest = largestOf(centred)
    groups[g] = largest / 127
    toInt8(centred, largest, codes, g * groupSize)
  }
  return { mean, codes, groups }
}
