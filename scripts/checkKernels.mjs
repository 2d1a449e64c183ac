// Compiles the kernels of cuda/ for GPUs and reads ptxas's report: node scripts/checkKernels.mjs [--arch=80,90a] [--all] [layer_norm …]. Fails where a kernel spills
// registers or has a stack that nothing allows. No GPU is needed.
import { performance } from 'node:perf_hooks'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { BuildError, main, root } from './command.mjs'
import { findNvcc } from './deviceLibrary.mjs'

// sinf and cosf keep the digits of large arguments in a stack of 28 bytes.
const stackAllowed = /^unary\.cu .*Any(Forward|Backward)/

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

function compile(nvcc, file, architecture, folder) {
  const cubin = join(folder, `${basename(file, '.cu')}.${architecture}.cubin`)
  const { status, stdout, stderr } = spawnSync(nvcc, [
    '-std=c++20', '-O3', '-cubin', `-arch=sm_${architecture}`, '--extended-lambda', '--expt-relaxed-constexpr', '-Werror', 'all-warnings', '-Xptxas', '-v',
    '-I', root, '-I', join(root, 'native'), '-o', cubin, file], { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new BuildError(`${basename(file)} for sm_${architecture}:\n${stdout}${stderr}`)
  return readReport(stdout + stderr)
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
          }
        }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    if (faults.length) throw new BuildError(`${faults.join('\n')}\n${faults.length} faults in the kernels`)
  })
}
