import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, expect, test } from '@jest/globals'

// What check:kernels reads out of the reports of NVIDIA's tools: each fault of a kernel must be seen.

interface Kernel { name: string, registers: number, stack: number, spills: number, shared: number }
interface Gates {
  readReport(text: string): Kernel[]
  readLosses(text: string): string[]
  readCode(text: string): Map<string, Set<string>>
  beyondBudget(file: string, kernel: Kernel): string | undefined
  wrongCode(name: string, words: Set<string>, architecture: string): string | undefined
}
let gates: Gates
beforeAll(async () => { gates = await import(pathToFileURL(join(process.cwd(), 'scripts/checkKernels.mjs')).href) as Gates })

const product = '_ZN8warpweft4cuda4gemm16warpgroupProductINS_4bf16EEEv'
const report = (registers: number, spilled: number, shared: string) => `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '${product}' for 'sm_90a'
ptxas info    : Function properties for ${product}
    ${spilled} bytes stack frame, ${spilled} bytes spill stores, ${2 * spilled} bytes spill loads
ptxas info    : Used ${registers} registers, used 16 barriers${shared}
ptxas info    : Compile time = 640.092 ms
`

test("registers, spills and shared memory are read from ptxas's report", () => {
  expect(gates.readReport(report(168, 8, ', 1024 bytes smem'))).toEqual([{ name: product, registers: 168, stack: 8, spills: 24, shared: 1024 }])
})

test('a kernel beyond its budget is refused', () => {
  const [within, wide, shared] = [report(168, 0, ''), report(169, 0, ''), report(168, 0, ', 64 bytes smem')].map(text => gates.readReport(text)[0]!)
  expect(gates.beyondBudget('matmul_warpgroups_bf16.cu', within!)).toBeUndefined()
  expect(gates.beyondBudget('matmul_warpgroups_bf16.cu', wide!)).toBe('169 registers, 168 are its budget')
  expect(gates.beyondBudget('matmul_warpgroups_bf16.cu', shared!)).toBe('64 bytes of static shared memory, 0 are its budget')
})

test('products of warpgroups that are serialized are refused, though ptxas calls that information', () => {
  expect(gates.readLosses(report(168, 0, ''))).toEqual([])
  const text = `ptxas info    : (C7517) wgmma.wait_group is injected in around line 81 by compiler to allow use of registers defined by GMMA in function '_Z3badPf'
ptxas info    : (C7511) Potential Performance Loss: wgmma.mma_async instructions are serialized due to insufficient register resources for the wgmma pipeline in the function '_Z3badPf'
ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine register count at entry.
`
  expect(gates.readLosses(report(58, 0, '') + text).map(line => line.slice(0, 7))).toEqual(['(C7517)', '(C7511)', '(C7508)'])
})

test('a kernel without the instructions that it was written for is refused, on the architecture that has them', () => {
  const sass = (...words: string[]) => `\t\tFunction : ${product}\n${words.map((word, i) => `        /*${(16 * i).toString(16).padStart(4, '0')}*/              @!P0 ${word} R0, R1 ;   /* 0x0 */`).join('\n')}\n`
  const all = ['HGMMA.64x256x16.F32.BF16', 'UTMALDG.3D', 'UTMASTG.3D', 'SYNCS.PHASECHK.TRANS64.TRYWAIT', 'STSM.16.M88.4', 'USETMAXREG.DEALLOC.CTAPOOL']
  const fault = (architecture: string, ...words: string[]) => gates.wrongCode(product, gates.readCode(sass(...words)).get(product)!, architecture)
  expect(fault('90a', ...all)).toBeUndefined()
  expect(fault('90a', ...all.slice(1))).toBe('no HGMMA in its machine code')
  expect(fault('90a', ...all, 'STL.64')).toBe('STL in its machine code')
  expect(fault('80', 'EXIT')).toBeUndefined()
})
