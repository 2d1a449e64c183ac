import { ShapeError } from '../errors.js'

/**
 * float16 and bfloat16 as their bits in Uint16Array. Rounding is to nearest, ties to even (IEEE 754-2019, 4.3.1); overflow gives infinity;
 * NaN stays NaN with its sign. The loops have no calls and no lookups.
 */

/** @param target `[n]`, a new array if left out @throws ShapeError if the lengths differ */
export function toBfloat16(source: Float32Array, target: Uint16Array = new Uint16Array(source.length)): Uint16Array {
  requireSameLength(source, target)
  const bits = bitsOf(source)
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i]!
    // Half an ulp, minus one where the bit that stays is even; a NaN keeps its upper bits and is made quiet, lest it round to infinity.
    target[i] = (x & 0x7fffffff) > 0x7f800000 ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16
  }
  return target
}

/** @param target `[n]`, a new array if left out @throws ShapeError if the lengths differ */
export function fromBfloat16(source: Uint16Array, target: Float32Array = new Float32Array(source.length)): Float32Array {
  requireSameLength(source, target)
  const bits = bitsOf(target)
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16
  return target
}

/** @param target `[n]`, a new array if left out @throws ShapeError if the lengths differ */
export function toFloat16(source: Float32Array, target: Uint16Array = new Uint16Array(source.length)): Uint16Array {
  requireSameLength(source, target)
  const bits = bitsOf(source)
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000, x = bits[i]! & 0x7fffffff
    if (x > 0x7f800000) target[i] = sign | 0x7e00 | ((x >>> 13) & 0x1ff)
    else if (x >= 0x47800000) target[i] = sign | 0x7c00                       // 2^16 and more
    else if (x >= 0x38800000) target[i] = sign | ((x - 0x38000000 + 0xfff + ((x >>> 13) & 1)) >>> 13)   // the exponent's bias 127 becomes 15
    else target[i] = sign | roundToEven(Math.abs(source[i]!) * 0x1000000)     // below 2^-14: multiples of 2^-24
  }
  return target
}

/** @param target `[n]`, a new array if left out @throws ShapeError if the lengths differ */
export function fromFloat16(source: Uint16Array, target: Float32Array = new Float32Array(source.length)): Float32Array {
  requireSameLength(source, target)
  const bits = bitsOf(target)
  for (let i = 0; i < source.length; i++) {
    const x = source[i]!, sign = (x & 0x8000) << 16, exponent = x & 0x7c00
    if (exponent === 0x7c00) bits[i] = sign | 0x7f800000 | ((x & 0x3ff) << 13)
    else if (exponent !== 0) bits[i] = sign | (((x & 0x7fff) << 13) + 0x38000000)
    else target[i] = (sign === 0 ? 1 : -1) * (x & 0x3ff) / 0x1000000
  }
  return target
}

/** For 0 <= x < 2^51: adding 2^52 leaves no room for a fraction, and the processor rounds to even. */
const roundToEven = (x: number) => x + 0x10000000000000 - 0x10000000000000

/** Signed, so that V8 keeps the arithmetic in 32 bits. */
const bitsOf = (values: Float32Array) => new Int32Array(values.buffer, values.byteOffset, values.length)

function requireSameLength(source: { length: number }, target: { length: number }): void {
  if (source.length !== target.length) throw new ShapeError(`half floats: ${source.length} values do not fit an array of ${target.length}.`)
}
