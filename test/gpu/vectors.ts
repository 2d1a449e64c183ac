import { readFileSync } from 'node:fs'

// The buffers that two runs of primitives_test (test/native/simt) wrote, number by number: hardware against the emulator.

interface Buffer64 { test: string, kind: string, size: number, bytes: Buffer }

/** How the buffers of a test compare. */
export interface VectorComparison {
  test: string
  elements: number
  /** Elements whose bits differ; NaN equals NaN. */
  different: number
  /** Of float32: the greatest distance in units of the last place. */
  ulps: number
}

function buffersIn(path: string): Buffer64[] {
  const file = readFileSync(path), buffers: Buffer64[] = []
  for (let at = 0; at < file.length;) {
    const end = file.indexOf(10, at), [, test, kind, size, count] = /^(.+) ([fdu]) (\d+) (\d+)$/.exec(file.toString('latin1', at, end)) ?? []
    const bytes = Number(size) * Number(count)
    if (end < 0 || test === undefined || end + 1 + bytes > file.length) throw new Error(`${path}: a record at byte ${at} is cut short`)
    buffers.push({ test, kind: kind!, size: Number(size), bytes: file.subarray(end + 1, end + 1 + bytes) })
    at = end + 1 + bytes
  }
  return buffers
}

/** Numbers in the order of their values, so that neighbours differ by 1. */
const ordered = (bits: number): number => bits & 0x80000000 ? -(bits & 0x7FFFFFFF) : bits
const isNaN16 = (bits: number): boolean => (bits & 0x7FFF) > 0x7F80 || ((bits & 0x7C00) === 0x7C00 && (bits & 0x3FF) !== 0)   // of bfloat16 or float16
const isNaN32 = (bits: number): boolean => (bits & 0x7FFFFFFF) > 0x7F800000

function compareBuffers(one: Buffer64, other: Buffer64): { elements: number, different: number, ulps: number } {
  const step = one.kind === 'f' ? 4 : one.kind === 'd' ? 8 : one.size === 2 ? 2 : 1, elements = one.bytes.length / step
  let different = 0, ulps = 0
  for (let i = 0; i < one.bytes.length; i += step) {
    if (step === 4) {
      const a = one.bytes.readUInt32LE(i), b = other.bytes.readUInt32LE(i)
      if (a === b || (isNaN32(a) && isNaN32(b))) continue
      different++
      ulps = Math.max(ulps, isNaN32(a) || isNaN32(b) ? Infinity : Math.abs(ordered(a) - ordered(b)))
    } else if (step === 2) {
      const a = one.bytes.readUInt16LE(i), b = other.bytes.readUInt16LE(i)
      if (a !== b && !(isNaN16(a) && isNaN16(b))) different++
    } else if (one.bytes.compare(other.bytes, i, i + step, i, i + step) !== 0) different++
  }
  return { elements, different, ulps }
}

/** Compares two files of vectors test by test. @throws Error if one is damaged, or they are of different tests */
export function compareVectors(one: string, other: string): VectorComparison[] {
  const [a, b] = [buffersIn(one), buffersIn(other)], results = new Map<string, VectorComparison>()
  const same = a.length === b.length && a.every((x, i) => x.test === b[i]!.test && x.bytes.length === b[i]!.bytes.length)
  if (!same) throw new Error(`${one} and ${other} hold the buffers of different tests`)
  a.forEach((x, i) => {
    const found = compareBuffers(x, b[i]!), before = results.get(x.test) ?? { test: x.test, elements: 0, different: 0, ulps: 0 }
    results.set(x.test, { test: x.test, elements: before.elements + found.elements, different: before.different + found.different, ulps: Math.max(before.ulps, found.ulps) })
  })
  return [...results.values()]
}

/** Whether a difference is one that hardware may have: elementary functions by other instructions, sums of products in another order. Everything else is exact. */
export const mayDiffer = (test: string): boolean => /^test(Math|ProductOfNormals<)/.test(test)
