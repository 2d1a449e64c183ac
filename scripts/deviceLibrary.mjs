// Builds a device library: node scripts/deviceLibrary.mjs simt | cuda [--arch=80,90a]. Without nvcc `cuda` says so in one line: the package is one for the CPU then.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BuildError, main, output, root, runBuild, runQuietly, which } from './command.mjs'
import { findCompiler } from './compiler.mjs'
import { compilerJobs } from './jobs.mjs'
import { withBuildLock } from './lock.mjs'
import { keepIf } from './native.mjs'
import { buildTools } from './tools.mjs'

/**
 * nvcc: CUDACXX, of the PATH, of CUDA_HOME, of /usr/local/cuda, or of a pip package of the python on the PATH (`pip install "cuda-toolkit[nvcc,cudart,cccl]==13.2.*"`);
 * undefined if there is none.
 */
export function findNvcc() {
  const home = process.env['CUDA_HOME'] ?? process.env['CUDA_PATH']
  const places = [process.env['CUDACXX'], 'nvcc', home && join(home, 'bin/nvcc'), '/usr/local/cuda/bin/nvcc'].filter(Boolean)
  for (const place of places) {
    const path = which(place)
    if (path) return path
  }
  for (const python of ['python3', 'python']) {
    const folders = output(python, ['-c', 'import nvidia, os; print(os.pathsep.join(nvidia.__path__))'])?.trim().split(':') ?? []
    for (const folder of folders) {
      const path = join(folder, 'cu13/bin/nvcc')
      if (existsSync(path)) return path
    }
  }
  return undefined
}

/** Builds the library of a backend; returns its path. @throws BuildError */
export async function buildDeviceLibrary(backend, { architectures = [], folder = join(root, 'build', backend) } = {}) {
  const compiler = findCompiler(), { cmake, env } = await buildTools()
  const definitions = { WARPWEFT_BACKEND: backend, CMAKE_CXX_COMPILER: compiler.path, CMAKE_BUILD_TYPE: 'Release' }
  if (process.env['CMAKE_CXX_COMPILER_LAUNCHER']) definitions.CMAKE_CXX_COMPILER_LAUNCHER = process.env['CMAKE_CXX_COMPILER_LAUNCHER']
  let title = `${backend} library: ${compiler.family} ${compiler.version}`
  if (backend === 'cuda') {
    const nvcc = findNvcc()
    if (!nvcc) {
      throw new BuildError('cuda library: no nvcc was found (PATH, CUDA_HOME, pip package cuda-toolkit), so this package computes on the CPU only. '
        + 'pip install "cuda-toolkit[nvcc,cudart,cccl]==13.2.*", then build again')
    }
    const version = /release (\d+\.\d+)/.exec(output(nvcc, ['--version']) ?? '')?.[1] ?? 'unknown'
    if (Number.parseFloat(version) < 13) throw new BuildError(`cuda library: ${nvcc} is of CUDA ${version}, 13.0 or later is needed`)
    Object.assign(definitions, { CMAKE_CUDA_COMPILER: nvcc, CMAKE_CUDA_HOST_COMPILER: compiler.path })
    if (architectures.length) definitions.WARPWEFT_CUDA_ARCHITECTURES = architectures.map(a => `${a}-real`).join(';')
    title += `, nvcc ${version}${architectures.length ? `, sm_${architectures.join(' sm_')}` : ''}`
  }
  keepIf(`${backend}-configuration`, [root, definitions, folder], folder)
  if (!existsSync(join(folder, 'build.ninja'))) {
    console.log(`${title}, ${compilerJobs()} at a time`)
    runQuietly(cmake, ['-S', join(root, 'cuda'), '-B', folder, '-G', 'Ninja', ...Object.entries(definitions).map(([name, value]) => `-D${name}=${value}`)],
      { env: { ...env }, failure: `${backend} library: cmake could not configure it` })
  }
  await runBuild(`${backend} library`, cmake, ['--build', folder, '--parallel', String(compilerJobs())], { env })
  return join(folder, `libwarpweft_${backend}.so`)
}

/** Builds the device layer's own test for a backend whose library is built; returns its path. @throws BuildError */
export async function buildPrimitives(backend) {
  const { cmake, env } = await buildTools(), folder = join(root, 'build', backend)
  await runBuild(`${backend} primitives`, cmake, ['--build', folder, '--target', 'primitives_test', '--parallel', String(compilerJobs())], { env })
  return join(folder, 'primitives_test')
}

if (process.argv[1] === import.meta.filename) {
  await main(() => withBuildLock(async () => {
    const [backend, ...options] = process.argv.slice(2)
    if (backend !== 'simt' && backend !== 'cuda') throw new BuildError(`usage: node ${dirname(process.argv[1]).split('/').at(-1)}/deviceLibrary.mjs simt | cuda [--arch=80,90a]`)
    const architectures = options.find(o => o.startsWith('--arch='))?.slice(7).split(',') ?? []
    console.log(await buildDeviceLibrary(backend, { architectures }))
  }))
}
