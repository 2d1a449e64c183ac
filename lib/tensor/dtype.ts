import { DTypeError } from '../errors.js'

/** Element types. Half types are storage formats: values are read and written as float32. */
export type DType = 'float32' | 'float16' | 'bfloat16' | 'int32' | 'int64' | 'uint8' | 'int8' | 'bool'

/** In the order of the native enumeration. */
export const dtypes: readonly DType[] = ['float32', 'float16', 'bfloat16', 'int32', 'int64', 'uint8', 'int8', 'bool']

const bytes: Record<DType, number> = { float32: 4, float16: 2, bfloat16: 2, int32: 4, int64: 8, uint8: 1, int8: 1, bool: 1 }
const ids = new Map(dtypes.map((name, index) => [name, index]))

/** Number of the dtype in the native enumeration. @throws DTypeError for an unknown name */
export function dtypeId(dtype: DType): number {
  const id = ids.get(dtype)
  if (id === undefined) throw new DTypeError(`unknown dtype '${String(dtype)}', expected one of: ${dtypes.join(', ')}`)
  return id
}

export const bytesOf = (dtype: DType): number => bytes[dtype]
export const isFloating = (dtype: DType): boolean => dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16'

/** What values of a tensor are read as: half types as Float32Array, int64 as BigInt64Array. */
export type TypedArray = Float32Array | Int32Array | BigInt64Array | Uint8Array | Int8Array

/** The raw elements of a dtype (half types as their 16 bits). */
export function rawArray(dtype: DType, buffer: ArrayBuffer): TypedArray | Uint16Array {
  switch (dtype) {
    case 'float32': return new Float32Array(buffer)
    case 'float16': case 'bfloat16': return new Uint16Array(buffer)
    case 'int32': return new Int32Array(buffer)
    case 'int64': return new BigInt64Array(buffer)
    case 'int8': return new Int8Array(buffer)
    case 'uint8': case 'bool': return new Uint8Array(buffer)
  }
}
