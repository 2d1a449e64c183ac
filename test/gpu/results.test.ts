import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { markdown, neededStages, type Results } from './report.js'
import { compareVectors, mayDiffer } from './vectors.js'

// What comes home from a machine with a GPU: how vectors are compared, and which results verify a kind of GPU.

interface Accept { refusal(results: unknown): string | undefined, verifiedHardware(folder?: string): string }
const at = temporaryFolder()
let accept: Accept
beforeAll(async () => { accept = await import(pathToFileURL(join(process.cwd(), 'scripts/gpuAccept.mjs')).href) as Accept })

describe('vectors', () => {
  const record = (test: string, kind: string, size: number, values: ArrayBufferView): Buffer =>
    Buffer.concat([Buffer.from(`${test} ${kind} ${size} ${values.byteLength / size}\n`), Buffer.from(values.buffer, values.byteOffset, values.byteLength)])
  const file = (name: string, ...records: Buffer[]): string => { writeFileSync(at(name), Buffer.concat(records)); return at(name) }
  const floats = (...values: number[]): Float32Array => Float32Array.from(values)

  test('are compared number by number, test by test; NaN equals NaN', () => {
    const one = file('one', record('testMath', 'f', 4, floats(1, -2, NaN)), record('testMatrices<1, false>', 'u', 2, Uint16Array.of(5, 0x7FC1)), record('testMath', 'f', 4, floats(0)))
    const other = file('other', record('testMath', 'f', 4, floats(1 + 2 ** -22, -2, NaN)), record('testMatrices<1, false>', 'u', 2, Uint16Array.of(6, 0x7FC0)), record('testMath', 'f', 4, floats(-0)))
    expect(compareVectors(one, one).every(v => v.different === 0)).toBe(true)
    expect(compareVectors(one, other)).toEqual([{ test: 'testMath', elements: 4, different: 2, ulps: 2 }, { test: 'testMatrices<1, false>', elements: 2, different: 1, ulps: 0 }])
    expect(compareVectors(file('number', record('testMath', 'f', 4, floats(1))), file('nan', record('testMath', 'f', 4, floats(NaN))))[0]!.ulps).toBe(Infinity)
  })

  test('of other tests, or cut short, are refused', () => {
    const one = file('a', record('testMath', 'f', 4, floats(1, 2)))
    expect(() => compareVectors(one, file('b', record('testRandom', 'f', 4, floats(1, 2))))).toThrow(/different tests/)
    writeFileSync(at('c'), readFileSync(one).subarray(0, -1))
    expect(() => compareVectors(one, at('c'))).toThrow(/cut short/)
  })

  test('may differ in elementary functions and sums of products alone', () => {
    expect(['testMath', 'testProductOfNormals<bf16>'].map(mayDiffer)).toEqual([true, true])
    expect(['testProduct16<bf16>', 'testProductTf32', 'testConversions', 'testShuffles'].map(mayDiffer)).toEqual([false, false, false, false])
  })
})

describe('results', () => {
  const good: Results = {
    format: 1, date: '2030-01-02T03:04:05.000Z', kit: { version: '0.1.0', commit: 'abc', sources: '0123456789abcdef', architectures: 'sm_90a', packed: '' }, emulated: false, quick: false,
    gpu: "GPU 'X', sm_90", versions: 'driver', capability: 'sm_90', machine: {}, conditions: ['warm'], vectors: [], peer: 'none', verified: true, seconds: 9,
    stages: neededStages.map(name => ({ name, status: 'passed', seconds: 1, summary: 'all' })),
    benchmarks: [{ name: 'copy float32', bytes: 1e9, warpweft: { milliseconds: 1, from: 1, to: 2, peakMiB: 3 }, pytorch: { error: 'none' } }],
  }

  test('verify a kind of GPU if they are of hardware, whole, and passed', () => {
    expect(accept.refusal(good)).toBeUndefined()
    expect(accept.refusal({ ...good, emulated: true })).toMatch(/emulator/)
    expect(accept.refusal({ ...good, quick: true })).toMatch(/quick/)
    expect(accept.refusal({ ...good, stages: good.stages.map(s => s.name === 'op cases' ? { ...s, status: 'cut short' } : s) })).toMatch(/did not pass: op cases$/)
    expect(accept.refusal({ ...good, stages: good.stages.slice(1) })).toMatch(/primitives/)
    expect(accept.refusal({ ...good, capability: 'none' })).toMatch(/capability/)
    expect(accept.refusal({})).toMatch(/no results\.json/)
  })

  test('are what the library goes by: the module is written from those that are kept', () => {
    mkdirSync(at('results'))
    writeFileSync(at('results', 'gpu-sm_90-2030-01-02.json'), JSON.stringify(good))
    writeFileSync(at('results', 'gpu-sm_80-2030-01-02.json'), JSON.stringify({ ...good, capability: 'sm_80', emulated: true }))
    expect(accept.verifiedHardware(at('results'))).toContain("\n  ['sm_90', 'GPU X, sm_90, 2030-01-02, kernels 0123456789ab'],\n]")
    expect(readFileSync(join(process.cwd(), 'lib/tensor/verifiedHardware.ts'), 'utf8')).toBe(accept.verifiedHardware())
  })

  test('are a page: stages, rates, and what a side failed of', () => {
    const page = markdown(good)
    expect(page).toContain('**Verified on hardware (sm_90): yes.**')
    expect(page).toContain('| copy float32 | 1.000 (1.00–2.00) | 1000 GB/s, 1.00 of the copy | failed: none |')
    expect(markdown({ ...good, emulated: true, verified: false })).toContain('**Not hardware**')
  })
})
