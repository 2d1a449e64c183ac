import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { ShapeError } from '#lib/errors.js'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '#lib/io/halfFloats.js'

const formats = [
  { name: 'float16', to: toFloat16, from: fromFloat16, mantissa: 10, least: -14, bias: 15, infinity: 0x7c00 },
  { name: 'bfloat16', to: toBfloat16, from: fromBfloat16, mantissa: 7, least: -126, bias: 127, infinity: 0x7f80 },
]
const every = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits)

describe.each(formats)('$name', ({ to, from, mantissa, least, bias, infinity }) => {
  /** The value of a pattern of bits, by the definition of IEEE 754. */
  const valueOf = (bits: number) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits & 0x7fff) >> mantissa, fraction = (bits & ((1 << mantissa) - 1)) / 2 ** mantissa
    if ((bits & 0x7fff) >= infinity) return (bits & 0x7fff) === infinity ? sign * Infinity : NaN
    return sign * (exponent === 0 ? fraction * 2 ** least : (1 + fraction) * 2 ** (exponent - bias))
  }
  test('each of the 65,536 patterns has its value', () => {
    const values = from(every)
    expect(every.every(bits => Object.is(values[bits], valueOf(bits)))).toBe(true)
  })
  test('each pattern comes back from its value; a NaN stays a NaN of the same sign', () => {
    const back = to(from(every))
    const wrong = every.filter(bits => (bits & 0x7fff) <= infinity
      ? back[bits] !== bits
      : (back[bits]! & 0x7fff) <= infinity || (back[bits]! & 0x8000) !== (bits & 0x8000))
    expect([...wrong]).toEqual([])
  })
  test('values between two neighbours go to the nearer one, halfway to the even one', () => {
    const one = (value: number) => to(Float32Array.of(value))[0]!
    for (let bits = 0; bits < infinity; bits++) {
      const low = valueOf(bits), high = bits + 1 === infinity ? 2 ** (bias + 1) : valueOf(bits + 1), middle = (low + high) / 2
      const even = bits % 2 === 0 ? bits : bits + 1
      if (Math.fround(middle) !== middle) continue   // float32 has no such value
      const below = neighbour(middle, -1), above = neighbour(middle, 1)
      if (one(middle) !== even || one(-middle) !== (even | 0x8000) || one(below) !== bits || one(above) !== bits + 1) {
        throw new Error(`${bits.toString(16)}: ${[below, middle, -middle, above].map(value => one(value).toString(16)).join(' ')}`)
      }
    }
  })
  test('is the nearest of all values, for any float32', () => {
    fc.assert(fc.property(fc.float({ noNaN: true }), value => {
      const bits = to(Float32Array.of(value))[0]!, chosen = valueOf(bits)
      if (!Number.isFinite(chosen)) { expect(Math.abs(value)).toBeGreaterThanOrEqual((2 - 2 ** (-mantissa - 1)) * 2 ** bias); return }
      for (const other of [bits - 1, bits + 1]) {
        const candidate = valueOf(other & 0xffff)
        if (Number.isFinite(candidate)) expect(Math.abs(chosen - value)).toBeLessThanOrEqual(Math.abs(candidate - value))
      }
    }))
  })
  test('the target must have the length of the source', () => {
    expect(() => to(new Float32Array(2), new Uint16Array(3))).toThrow(ShapeError)
    expect(() => from(new Uint16Array(2), new Float32Array(1))).toThrow(ShapeError)
  })
})

/** The next float32 above (`by` 1) or below (-1) a positive one. */
function neighbour(value: number, by: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer)
  bits[0]! += by
  return new Float32Array(bits.buffer)[0]!
}
