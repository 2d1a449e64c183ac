import { DTypeError, ShapeError } from '../errors.js'
import type { Device } from './device.js'
import { type DType, type TypedArray } from './dtype.js'
import { native } from './native.js'
import { empty, sizeOf, Tensor } from './tensor.js'

export interface TensorOptions {
  dtype?: DType
  /** Default: that of `withDevice` or `setDefaultDevice`, else `'auto'`. */
  device?: string | Device
  requiresGrad?: boolean
}

/** Numbers, nested arrays of numbers, or a typed array. */
export type TensorData = number | boolean | bigint | TypedArray | Uint16Array | readonly TensorData[]

function shapeOf(data: TensorData): number[] {
  const shape: number[] = []
  let level = data
  while (Array.isArray(level)) {
    shape.push(level.length)
    level = level[0] as TensorData
    if (level === undefined) break
  }
  return shape
}

function flatten(data: TensorData, shape: readonly number[], depth: number, out: (number | bigint | boolean)[]): void {
  if (Array.isArray(data)) {
    if (data.length !== shape[depth]) throw new ShapeError(`tensor: a nested array has ${data.length} elements where the first one of its level has ${shape[depth] ?? 0}`)
    for (const item of data as readonly TensorData[]) flatten(item, shape, depth + 1, out)
  } else {
    if (depth !== shape.length || typeof data === 'object') throw new ShapeError('tensor: nested arrays have different depths')
    out.push(data as number)
  }
}

/** Raw elements of `dtype` from numbers; half types through float32. */
function encode(values: ArrayLike<number | bigint | boolean>, dtype: DType): TypedArray {
  const n = values.length
  if (dtype === 'int64') {
    const out = new BigInt64Array(n)
    for (let i = 0; i < n; i++) {
      const v = values[i]!
      out[i] = typeof v === 'bigint' ? v : BigInt(Math.trunc(Number(v)))
    }
    return out
  }
  const out = dtype === 'int32' ? new Int32Array(n) : dtype === 'int8' ? new Int8Array(n) : dtype === 'uint8' || dtype === 'bool' ? new Uint8Array(n) : new Float32Array(n)
  for (let i = 0; i < n; i++) out[i] = dtype === 'bool' ? (values[i] ? 1 : 0) : Number(values[i])
  return out
}

/**
 * A tensor of the given values, on the device.
 * @param data a number, nested arrays, or a typed array (which is copied)
 * @param shape needed for typed arrays of more than one dimension; taken from the nesting otherwise
 * @param options dtype: float32 by default for numbers, that of the typed array otherwise
 * @throws ShapeError if nested arrays are ragged, or shape and number of values differ
 */
export function tensor(data: TensorData, shape?: readonly number[] | null, options: TensorOptions = {}): Tensor {
  const { dtype: wanted, device, requiresGrad = false } = options
  let values: ArrayLike<number | bigint | boolean>
  let dtype: DType
  let dims: readonly number[]
  if (ArrayBuffer.isView(data)) {
    values = data as TypedArray
    dtype = wanted ?? (data instanceof Int32Array ? 'int32' : data instanceof BigInt64Array ? 'int64' : data instanceof Int8Array ? 'int8' : data instanceof Uint8Array ? 'uint8' : 'float32')
    if (data instanceof Uint16Array && !wanted) throw new DTypeError("tensor: a Uint16Array may hold float16 or bfloat16 bits; say which with { dtype: 'bfloat16' }")
    dims = shape ?? [values.length]
  } else {
    const nesting = shapeOf(data)
    const flat: (number | bigint | boolean)[] = []
    flatten(data, nesting, 0, flat)
    values = flat
    dtype = wanted ?? 'float32'
    dims = shape ?? nesting
  }
  if (sizeOf(dims) !== values.length) throw new ShapeError(`tensor: ${values.length} values do not fill the shape [${dims.join(', ')}], which has ${sizeOf(dims)} elements`)
  const half = dtype === 'float16' || dtype === 'bfloat16'
  const t = empty([...dims], dtype, device)
  if (half && !(data instanceof Uint16Array)) {
    const full = empty(t.shape, 'float32', t.device)
    native.write(full.raw, encode(values, 'float32'))
    native.copy(full.raw, t.raw)
    full.dispose()
  } else {
    const matches = data instanceof Uint16Array ? half : ArrayBuffer.isView(data) && encodes(data as TypedArray, dtype)
    native.write(t.raw, matches ? (data as TypedArray) : encode(values, dtype))
  }
  if (requiresGrad) t.requiresGrad = true
  return t
}

const encodes = (data: TypedArray, dtype: DType): boolean =>
  (data instanceof Float32Array && dtype === 'float32') || (data instanceof Int32Array && dtype === 'int32') || (data instanceof BigInt64Array && dtype === 'int64') ||
  (data instanceof Int8Array && dtype === 'int8') || (data instanceof Uint8Array && dtype === 'uint8')

/** Every element `value`. */
export function full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
  const t = empty([...shape], options.dtype ?? 'float32', options.device)
  native.fill(t.raw, value)
  if (options.requiresGrad) t.requiresGrad = true
  return t
}
export const zeros = (shape: readonly number[], options: TensorOptions = {}): Tensor => full(shape, 0, options)
export const ones = (shape: readonly number[], options: TensorOptions = {}): Tensor => full(shape, 1, options)

/** start, start + step, … below end. */
export function arange(end: number, { start = 0, step = 1, ...options }: TensorOptions & { start?: number, step?: number } = {}): Tensor {
  if (step === 0 || !Number.isFinite((end - start) / step)) throw new ShapeError(`arange: from ${start} to ${end} in steps of ${step} is not a finite range`)
  const n = Math.max(0, Math.ceil((end - start) / step))
  return tensor(Float64Array.from({ length: n }, (_, i) => start + i * step) as unknown as TypedArray, [n], { dtype: 'float32', ...options })
}
