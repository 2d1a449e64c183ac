// npm run gpu:pack [-- --arch=90a,80 --backend=cuda|simt --parity=FOLDER --output=FOLDER --addon=FILE]: one folder, and an archive of it, with everything that verifies and measures the CUDA
// kernels on a machine with a GPU: node itself, addon, kernels, compiled library, op cases, parity cases and benchmarks. `bash gpu-verify.sh OUT` in it needs no npm, no network, no
// repository. --backend=simt leaves the kernels for GPUs out: then it runs with WARPWEFT_CUDA=simt alone.
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from './build.mjs'
import { BuildError, main, output, root, runQuietly, which } from './command.mjs'
import { buildDeviceLibrary, buildPrimitives } from './deviceLibrary.mjs'
import { withBuildLock } from './lock.mjs'
import { addonFile } from './native.mjs'
import { filesBelow } from './stamp.mjs'

/** Most that the archive may have: what travels to a machine that is lent for minutes. */
const mostBytes = 60e6

/** The packages that the library needs at run time and that op cases do, without jest but with its expectations, by their places in package-lock.json. */
function neededPackages() {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const found = new Set(Object.keys(packages).filter(path => path !== '' && !packages[path].dev))
  const add = name => {
    const path = `node_modules/${name}`
    if (found.has(path)) return
    if (!packages[path]) throw new BuildError(`gpu:pack: package-lock.json has no ${path}`)
    found.add(path)
    for (const dependency of Object.keys(packages[path].dependencies ?? {})) if (!dependency.startsWith('@types/')) add(dependency)
  }
  for (const name of ['expect', 'fast-check']) add(name)
  return [...found].sort()
}

/** Changes with any source that kernels are compiled from. */
export function kernelSources() {
  const hash = createHash('sha256')
  for (const file of [...filesBelow('cuda'), ...filesBelow('native/ops')]) hash.update(`${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/** The parity cases below a folder; none where it is missing. */
const casesBelow = folder => existsSync(folder) ? readdirSync(folder).filter(name => existsSync(join(folder, name, 'case.json'))) : []

function fill(folder, { backend, architectures, parity, addon }) {
  const put = (from, to = from) => {
    mkdirSync(dirname(join(folder, to)), { recursive: true })
    cpSync(resolve(root, from), join(folder, to), { recursive: true, dereference: true, filter: path => !/\.(d\.ts|map|tsbuildinfo)$|\.d\.ts\.map$/.test(path) })
  }
  put(process.execPath, 'bin/node')
  chmodSync(join(folder, 'bin/node'), 0o755)
  for (const path of ['package.json', 'LICENSE', 'dist', 'build/js/test', 'build/js/bench', 'bench/peer.py', 'bench/gpu/peer.py']) put(path)
  put(addon ?? addonFile, addonFile)
  for (const name of ['simt', ...backend === 'cuda' ? ['cuda'] : []]) {
    put(`build/${name}/libwarpweft_${name}.so`)
    put(`build/${name}/primitives_test`, `primitives/${name}`)
  }
  for (const path of neededPackages()) put(path)
  mkdirSync(join(folder, 'node_modules/@jest/globals'), { recursive: true })
  writeFileSync(join(folder, 'node_modules/@jest/globals/package.json'), '{ "name": "@jest/globals", "version": "0.0.0", "type": "module", "exports": "./index.js" }\n')
  writeFileSync(join(folder, 'node_modules/@jest/globals/index.js'), "export * from '../../../build/js/test/gpu/jestGlobals.js'\n")
  for (const name of casesBelow(parity)) put(join(parity, name), `parity/${name}`)
  copyFileSync(join(root, 'scripts/gpu-verify.sh'), join(folder, 'gpu-verify.sh'))
  writeFileSync(join(folder, 'kit.json'), JSON.stringify({
    version: JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version, sources: kernelSources(), packed: new Date().toISOString(),
    commit: `${output('git', ['rev-parse', '--short', 'HEAD'])?.trim() ?? 'unknown'}${output('git', ['status', '--porcelain', '--untracked-files=no'])?.trim() ? ', changed' : ''}`,
    architectures: backend === 'simt' ? 'the emulator alone' : architectures.length ? architectures.map(a => `sm_${a}`).join(', ') : 'all architectures',
  }, null, 2) + '\n')
}

/** Archives the folder by the best of the compressors that are there; returns file and size. @throws BuildError if it is too large */
function archive(folder) {
  const [program, ending, options] = which('xz') ? ['xz', 'tar.xz', '-3 -T0'] : which('zstd') ? ['zstd', 'tar.zst', '-12 -T0'] : ['gzip', 'tar.gz', '-6']
  const file = `${folder}.${ending}`
  runQuietly('tar', ['-C', dirname(folder), '-I', `${program} ${options}`, '-cf', file, folder.slice(dirname(folder).length + 1)], { failure: `gpu:pack: ${file} could not be written` })
  const { size } = statSync(file)
  if (size > mostBytes) throw new BuildError(`gpu:pack: ${file} has ${(size / 1e6).toFixed(1)} MB, at most ${mostBytes / 1e6} may travel. Choose architectures: --arch=90a`)
  return { file, size }
}

/** Makes the folder and its archive. @throws BuildError */
export async function pack({ backend = 'cuda', architectures = [], parity = join(root, '../shared/parity'), folder = join(root, 'build/gpu-pack/warpweft-gpu'), addon } = {}) {
  await build({ tests: true })
  await withBuildLock(async () => {
    for (const name of ['simt', ...backend === 'cuda' ? ['cuda'] : []]) {
      await buildDeviceLibrary(name, name === 'cuda' ? { architectures } : {})
      await buildPrimitives(name)
    }
  })
  rmSync(folder, { recursive: true, force: true })
  fill(folder, { backend, architectures, parity, addon })
  return { folder, cases: casesBelow(parity).length, ...archive(folder) }
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    const { values } = parseArgs({ options: { arch: { type: 'string' }, backend: { type: 'string', default: 'cuda' }, parity: { type: 'string' }, output: { type: 'string' }, addon: { type: 'string' } } })
    if (!['cuda', 'simt'].includes(values.backend)) throw new BuildError(`gpu:pack: --backend is ${values.backend}, expected cuda or simt`)
    for (const name of ['parity', 'addon']) if (values[name] !== undefined && !existsSync(values[name])) throw new BuildError(`gpu:pack: --${name} names ${values[name]}, which is not there`)
    const { file, size, cases, folder } = await pack({
      backend: values.backend, ...values.arch ? { architectures: values.arch.split(',') } : {}, ...values.parity ? { parity: resolve(values.parity) } : {},
      ...values.output ? { folder: resolve(values.output) } : {}, ...values.addon ? { addon: resolve(values.addon) } : {},
    })
    console.log(`${folder}: ${cases} parity cases; ${file}: ${(size / 1e6).toFixed(1)} MB. Unpack it on a machine with a GPU and run: bash gpu-verify.sh OUT`)
  })
}
