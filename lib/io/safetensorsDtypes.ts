/**
 * The dtypes of the safetensors format, in the order of its library (ascending alignment), which files are sorted by.
 * `array` is what an element is read as: float16 and bfloat16 as their bits. Without it the dtype can be carried, not computed with.
 */
export const safetensorsDtypes = {
  BOOL: { bits: 8, array: Uint8Array },
  F4: { bits: 4 },
  F6_E2M3: { bits: 6 },
  F6_E3M2: { bits: 6 },
  U8: { bits: 8, array: Uint8Array },
  I8: { bits: 8, array: Int8Array },
  F8_E5M2: { bits: 8 },
  F8_E4M3: { bits: 8 },
  F8_E8M0: { bits: 8 },
  F8_E4M3FNUZ: { bits: 8 },
  F8_E5M2FNUZ: { bits: 8 },
  I16: { bits: 16, array: Int16Array },
  U16: { bits: 16, array: Uint16Array },
  F16: { bits: 16, array: Uint16Array },
  BF16: { bits: 16, array: Uint16Array },
  I32: { bits: 32, array: Int32Array },
  U32: { bits: 32, array: Uint32Array },
  F32: { bits: 32, array: Float32Array },
  C64: { bits: 64 },
  F64: { bits: 64, array: Float64Array },
  I64: { bits: 64, array: BigInt64Array },
  U64: { bits: 64, array: BigUint64Array },
} as const

export type SafetensorsDtype = keyof typeof safetensorsDtypes

/** An array of one of the dtypes' elements. */
export type ElementArray =
  | Float64Array | Float32Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | BigInt64Array | BigUint64Array

/** Names in ascending alignment; the position is the first key that tensors are sorted by, descending. */
export const dtypeNames = Object.keys(safetensorsDtypes) as readonly SafetensorsDtype[]

/** The dtype of a file that each dtype of a tensor is saved as. */
export const dtypeOfTensor = {
  float32: 'F32', float16: 'F16', bfloat16: 'BF16', int64: 'I64', int32: 'I32', int8: 'I8', uint8: 'U8', bool: 'BOOL',
} as const satisfies Record<string, SafetensorsDtype>

export type TensorDtype = keyof typeof dtypeOfTensor

/** The dtype of a tensor that holds a dtype of a file; undefined where no tensor does (64-bit floats, 8-bit floats, …). */
export function tensorDtypeOf(dtype: SafetensorsDtype): TensorDtype | undefined {
  return (Object.keys(dtypeOfTensor) as TensorDtype[]).find(name => dtypeOfTensor[name] === dtype)
}

/** Bytes of a tensor; undefined if they are more than can be counted, or no whole number. */
export function byteLengthOf(dtype: SafetensorsDtype, shape: readonly number[]): number | undefined {
  let elements = 1
  for (const size of shape) {
    elements *= size
    if (!Number.isSafeInteger(elements)) return undefined
  }
  const bits = elements * safetensorsDtypes[dtype].bits
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : undefined
}
