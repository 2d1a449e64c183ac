// npm run test:arm64, npm run test:musl: runs the op cases on the prebuilt binary of another system, by Node of that system: arm64 under qemu, musl by its own loader.
// Arguments are jest's; without any all of test/ops is run, for arm64 a part of it: all of it takes 21 minutes under qemu (AMD EPYC), the part seven.
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BuildError, main, output, root, runQuietly } from './command.mjs'
import { foreignNode } from './foreignNode.mjs'
import { runJest } from './jest.mjs'
import { withBuildLock } from './lock.mjs'
import { prebuild } from './prebuilds.mjs'
import { prebuildFile, releases } from './releases.mjs'
import { fingerprint, isStamped, stamp } from './stamp.mjs'
import { compileTypeScript } from './typescript.mjs'

const [release, ...args] = process.argv.slice(2)
const parts = { 'linux-arm64': ['attention', 'matmul', 'layerNorm', 'softmax', 'crossEntropy', 'embedding', 'optimizers'].map(name => `test/ops/${name}`) }

await main(async () => {
  if (!(release in foreignNode)) throw new BuildError(`testPrebuild: expected one of ${Object.keys(foreignNode).join(', ')}, got ${release}`)
  await prebuild(release)
  const node = await foreignNode[release]()
  const folder = await withBuildLock(() => {
    for (const name of ['library', 'tests']) compileTypeScript(name)
    return installed()
  })
  const system = output(node[0], [...node.slice(1), '-p', '"Node " + process.versions.node + " for " + process.platform + "-" + process.arch'])
  if (!system) throw new BuildError(`${node.join(' ')} does not run`)
  console.log(`${prebuildFile(releases[release])}, ${system.trim()}`)
  // In one process, since emulated Node cannot start another, and with time enough for an emulator.
  runJest(['--runInBand', '--testTimeout=600000', ...(args.length ? args : parts[release] ?? ['test/ops'])], { node, folder })
})

/** The package as that system would have it, in a folder of its own: its dependencies, what is compiled, the one binary. */
function installed() {
  const folder = join(root, 'build/foreign', release), { arch, libc } = releases[release]
  mkdirSync(folder, { recursive: true })
  for (const name of ['package.json', 'package-lock.json', 'jest.config.mjs']) cpSync(join(root, name), join(folder, name))
  const lock = fingerprint(['package-lock.json'])
  if (!isStamped(`foreign-${release}`, lock)) {
    runQuietly('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--os=linux', `--cpu=${arch}`, `--libc=${libc}`], { cwd: folder, failure: `npm ci for ${release} failed` })
    stamp(`foreign-${release}`, lock)
  }
  for (const name of ['dist', 'build/js', 'prebuilds']) rmSync(join(folder, name), { recursive: true, force: true })
  for (const name of ['dist', 'build/js', prebuildFile(releases[release])]) cpSync(join(root, name), join(folder, name), { recursive: true })
  return folder
}
