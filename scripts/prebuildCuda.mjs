// npm run prebuilds:cuda: compiles the CUDA library for every architecture and lays out the package @warpweft/cuda-linux-x64 in build/packages, ready for npm pack.
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { BuildError, main, output, root } from './command.mjs'
import { buildDeviceLibrary, findNvcc } from './deviceLibrary.mjs'
import { symbols } from './elf.mjs'
import { withBuildLock } from './lock.mjs'
import { checkRequirements } from './symbolGates.mjs'

const folder = join(root, 'build/packages/cuda-linux-x64')

/** The architectures of cuda/architectures.cmake, as cuobjdump names them: sm_80, … */
function architectures() {
  const list = /set\(WARPWEFT_ARCHITECTURES ([^)]+)\)/.exec(readFileSync(join(root, 'cuda/architectures.cmake'), 'utf8'))[1]
  return list.trim().split(/\s+/).map(name => `sm_${name.replace(/-(real|virtual)$/, '')}`)
}

/** Every architecture has machine code in the library, and the entry is all that it offers. @throws BuildError */
function checkLibrary(file) {
  const cuobjdump = join(findNvcc(), '../cuobjdump'), listed = output(cuobjdump, ['--list-elf', file])
  if (listed === undefined) throw new BuildError(`${cuobjdump} could not read ${relative(root, file)}: pip install "cuda-toolkit[cuobjdump]==13.2.*"`)
  const absent = architectures().filter(name => !listed.includes(`.${name}.`))
  if (absent.length) throw new BuildError(`${relative(root, file)} has no code for ${absent.join(', ')}`)
  const offered = symbols(file, { dynamic: true }).filter(({ defined, binding }) => defined && binding !== 'local').map(({ name }) => name)
  if (offered.length !== 1 || !offered[0].startsWith('warpweft_open_')) throw new BuildError(`${relative(root, file)} offers ${offered.join(', ')}, expected its entry alone`)
}

await main(() => withBuildLock(async () => {
  const library = await buildDeviceLibrary('cuda', { folder: join(root, 'build/prebuilds/cuda-linux-x64') })
  checkLibrary(library)
  const needs = checkRequirements(library)
  const { version, license, repository, engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  copyFileSync(library, join(folder, 'libwarpweft_cuda.so'))
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({
    name: '@warpweft/cuda-linux-x64', version, description: 'The CUDA kernels of warpweft for Linux on x64. warpweft finds it by its name.', license, repository, engines,
    os: ['linux'], cpu: ['x64'], libc: ['glibc'], files: ['libwarpweft_cuda.so', 'LICENSE', 'README.md'],
  }, null, 2) + '\n')
  writeFileSync(join(folder, 'README.md'), `# @warpweft/cuda-linux-x64

The CUDA kernels of [warpweft](https://www.npmjs.com/package/warpweft) ${version} for NVIDIA GPUs (${architectures().join(', ')}) on Linux x64 with glibc 2.28 or later
and a driver for CUDA 13. Install it beside warpweft in the same version; nothing else is needed: no toolkit, no compiler.
`)
  console.log(`${relative(root, folder)}: ${(statSync(library).size / 1e6).toFixed(1)} MB, needs ${needs}`)
}, 'prebuild'))
