// Compiles the kernels of cuda/ for GPUs and reads ptxas's report and the machine code: node scripts/checkKernels.mjs [--arch=80,90a] [--all] [layer_norm …]. Fails where
// a kernel spills registers, has a stack that nothing allows, exceeds its budget, lacks the instructions that it was written for, or has products of warpgroups that wait
// for each other. No GPU is needed.
import { performance } from 'node:perf_hooks'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { BuildError, main, output, root } from './command.mjs'
import { findNvcc } from './deviceLibrary.mjs'

// sinf and cosf keep the digits of large arguments in a stack of 28 bytes.
const stackAllowed = /^unary\.cu .*Any(Forward|Backward)/

// What a kernel may take at most: registers of a thread, bytes of static shared memory. The first line whose pattern fits "file kernel", as the compiler mangles it, counts.
// Registers decide how many blocks share a multiprocessor; the limits leave a few for other versions of ptxas.
const budgets = [
  // What a block of 384 threads has at its launch; setmaxnreg deals them out anew.
  { kernel: /^matmul.* .*warpgroupProduct/, registers: 168, shared: 0 },
  { kernel: /^matmul.* .*tensorProduct.*TensorTileILi128E/, registers: 255, shared: 0 },   // 128 threads, two blocks
  { kernel: /^matmul.* .*tensorProduct/, registers: 128, shared: 0 },                      // 128 threads, four blocks
  { kernel: /^matmul.* .*tf32Product.*Tf32TileILi128E/, registers: 255, shared: 0 },   // 128 threads, two blocks
  { kernel: /^matmul.* .*tf32Product/, registers: 168, shared: 0 },                        // 128 threads, three blocks
  { kernel: /^matmul.* .*fmaProduct/, registers: 128, shared: 0 },
  { kernel: /^matmul/, registers: 64, shared: 1024 },
  { kernel: /^attention.* .*(attentionForward|Gradient)/, registers: 255, shared: 1024 },   // sums of a block's queries or keys in registers
  { kernel: /^(layer|rms)_norm.* .*normBackwardRows/, registers: 255, shared: 4160 },      // a row of a weight's gradient in registers
  { kernel: /^(layer|rms)_norm.* .*normRows/, registers: 128, shared: 1024 },
  { kernel: /^softmax/, registers: 96, shared: 1024 },
  { kernel: /./, registers: 64, shared: 9216 },
]

// Instructions that have to be there, by their first word: tensor cores, asynchronous copies, fragments from and to shared memory, barriers that count bytes. And those
// that must not. Of all architectures, or of one.
const instructions = [
  { kernel: /warpgroupProduct/, architecture: '90a', needs: ['HGMMA', 'UTMALDG', 'UTMASTG', 'SYNCS', 'STSM', 'USETMAXREG'], refuses: ['LDL', 'STL', 'HMMA'] },
  { kernel: /tensorProduct/, needs: ['HMMA', 'LDGSTS', 'LDSM'], refuses: ['LDL', 'STL'] },
  { kernel: /attentionForwardINS_\d(f|bf)16E/, needs: ['HMMA', 'LDGSTS', 'LDSM'], refuses: ['LDL', 'STL'] },
  { kernel: /tf32Product/, needs: ['HMMA', 'LDGSTS'], refuses: ['LDL', 'STL'] },
  { kernel: /fmaProduct/, needs: ['FFMA', 'LDGSTS'], refuses: ['HMMA', 'LDL', 'STL'] },
]

/** What a kernel of ptxas's report takes beyond its budget, in words; undefined if it keeps to it. */
export function beyondBudget(file, { name, registers, shared }) {
  const budget = budgets.find(line => line.kernel.test(`${file} ${name}`))
  if (registers > budget.registers) return `${registers} registers, ${budget.registers} are its budget`
  if (shared > budget.shared) return `${shared} bytes of static shared memory, ${budget.shared} are its budget`
  return undefined
}

/** The instructions of each kernel in what cuobjdump -sass prints: a map of names to sets of first words. */
export function readCode(text) {
  const kernels = new Map()
  for (const part of text.split(/Function : /).slice(1)) {
    const words = part.matchAll(/^\s*\/\*[0-9a-f]{4,}\*\/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9]*)/gm)
    kernels.set(/^\S+/.exec(part)[0], new Set([...words].map(match => match[1])))
  }
  return kernels
}

/** What is wrong with the instructions of a kernel, in words; undefined if they are as they should be. */
export function wrongCode(name, words, on) {
  for (const { kernel, architecture, needs, refuses } of instructions) {
    if (!kernel.test(name) || (architecture && architecture !== on)) continue
    const missing = needs.filter(word => !words.has(word)), unwanted = refuses.filter(word => words.has(word))
    if (missing.length) return `no ${missing.join(', ')} in its machine code`
    if (unwanted.length) return `${unwanted.join(', ')} in its machine code`
  }
  return undefined
}

/** The kernels of ptxas's report (-Xptxas -v): name as it is mangled, registers, bytes of stack, spills and static shared memory. */
export function readReport(text) {
  const kernels = []
  for (const part of text.split(/Compiling entry function '/).slice(1)) {
    const number = expression => Number(expression.exec(part)?.[1] ?? 0)
    kernels.push({
      name: part.slice(0, part.indexOf("'")), registers: number(/Used (\d+) registers/), stack: number(/(\d+) bytes stack frame/),
      spills: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/), shared: number(/(\d+) bytes smem/),
    })
  }
  return kernels
}

/**
 * What ptxas says of wgmma (C7508 to C7517: products that are serialized, waits that it added, a setmaxnreg that it ignores). It calls that information, and it costs
 * two thirds of the speed.
 */
export function readLosses(text) {
  return text.split('\n').filter(line => /\(C75\d\d\)/.test(line)).map(line => line.replace(/^ptxas info\s*:\s*/, ''))
}

function compile(nvcc, file, architecture, folder) {
  const cubin = join(folder, `${basename(file, '.cu')}.${architecture}.cubin`)
  const { status, stdout, stderr } = spawnSync(nvcc, [
    '-std=c++20', '-O3', '-cubin', `-arch=sm_${architecture}`, '--extended-lambda', '--expt-relaxed-constexpr', '-Werror', 'all-warnings', '-Xptxas', '-v',
    '-I', root, '-I', join(root, 'native'), '-o', cubin, file], { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new BuildError(`${basename(file)} for sm_${architecture}:\n${stdout}${stderr}`)
  const losses = readLosses(stdout + stderr)
  if (losses.length) throw new BuildError(`${basename(file)} for sm_${architecture}:\n${losses.join('\n')}`)
  const kernels = readReport(stdout + stderr)
  if (!kernels.some(k => instructions.some(line => line.kernel.test(k.name)))) return kernels
  const sass = output(join(dirname(nvcc), 'cuobjdump'), ['-sass', cubin], { maxBuffer: 1 << 28 })
  if (!sass) throw new BuildError(`kernels: no cuobjdump beside ${nvcc}, which reads the machine code (pip install "cuda-toolkit[cuobjdump,nvdisasm]")`)
  const code = readCode(sass)
  return kernels.map(k => ({ ...k, wrong: wrongCode(k.name, code.get(k.name) ?? new Set(), architecture) }))
}

if (process.argv[1] === import.meta.filename) {
  await main(() => {
    const options = process.argv.slice(2), names = options.filter(o => !o.startsWith('--')), all = options.includes('--all')
    const nvcc = findNvcc()
    if (!nvcc) throw new BuildError('kernels: no nvcc was found (PATH, CUDA_HOME, pip package cuda-toolkit)')
    const architectures = options.find(o => o.startsWith('--arch='))?.slice(7).split(',')
      ?? [.../ARCHITECTURES ([^)]*)\)/.exec(readFileSync(join(root, 'cuda/architectures.cmake'), 'utf8'))[1].matchAll(/(\d+a?)/g)].map(match => match[1])
    const files = readdirSync(join(root, 'cuda')).filter(file => file.endsWith('.cu') && (names.length === 0 || names.includes(basename(file, '.cu'))))
    const folder = mkdtempSync(join(tmpdir(), 'warpweft-kernels-')), faults = []
    try {
      for (const file of files)
        for (const architecture of architectures) {
          const begin = performance.now()
          let kernels
          try {
            kernels = compile(nvcc, join(root, 'cuda', file), architecture, folder)
          } catch (error) {
            if (!(error instanceof BuildError)) throw error
            faults.push(error.message)
            continue
          }
          const most = key => Math.max(0, ...kernels.map(k => k[key]))
          console.log(`${file} sm_${architecture}: ${kernels.length} kernels, at most ${most('registers')} registers, ${most('shared')} bytes of static shared memory, `
            + `${((performance.now() - begin) / 1000).toFixed(1)} s`)
          for (const k of kernels) {
            if (all) console.log(`  ${k.registers} registers, stack ${k.stack}, spills ${k.spills}, shared ${k.shared}: ${k.name}`)
            if (k.spills || (k.stack && !stackAllowed.test(`${file} ${k.name}`)))
              faults.push(`${file} sm_${architecture}: ${k.spills ? `${k.spills} bytes of spills` : `a stack of ${k.stack} bytes`}: ${k.name}`)
            for (const fault of [beyondBudget(file, k), k.wrong]) if (fault) faults.push(`${file} sm_${architecture}: ${fault}: ${k.name}`)
          }
        }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    if (faults.length) throw new BuildError(`${faults.join('\n')}\n${faults.length} faults in the kernels`)
  })
}
