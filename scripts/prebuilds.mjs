// npm run prebuilds [-- linux-x64 linux-x64-musl linux-arm64]: compiles the addon for releases into prebuilds/ and looks at what came out. All of them on one machine.
import { mkdirSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import prebuildify from 'prebuildify'
import { BuildError, main, root } from './command.mjs'
import { withBuildLock } from './lock.mjs'
import { sources } from './native.mjs'
import { prebuildFile, releaseBuild, releaseFolder, releases } from './releases.mjs'
import { fingerprint, isStamped, stamp } from './stamp.mjs'
import { checkExports, checkInstructionSets, checkRequirements } from './symbolGates.mjs'

/** Whether the binary of a release is there and made of the sources as they are now. */
export function isPrebuilt(name) {
  return isStamped(`prebuild-${name}`, state(name))
}

const recipe = ['native', 'nodeGyp', 'prebuilds', 'releases', 'zig'].map(name => `scripts/${name}.mjs`)
const state = name => fingerprint([...sources(), ...recipe, 'scripts/wheels.json', prebuildFile(releases[name])])

/** Makes the binary of a release, unless it is there. @throws BuildError after the messages of the compiler, or what a symbol gate found */
export function prebuild(name) {
  // A lock of its own: these builds take minutes and touch nothing that `npm test` builds.
  return withBuildLock(async () => {
    if (isPrebuilt(name)) return
    const { arch, libc } = releases[name], folder = join(root, releaseFolder(name))
    mkdirSync(folder, { recursive: true })
    try {
      await promisify(prebuildify)({
        name: 'warpweft', platform: 'linux', arch, libc, tagLibc: true, napi: true, cwd: folder, out: root, cache: join(folder, 'cache'), nodeGyp: join(root, 'scripts/nodeGyp.mjs'),
      })
    } catch (cause) {
      throw new BuildError(`prebuild ${name} failed: see the messages above (${cause.message})`, { cause })
    }
    const file = join(root, prebuildFile(releases[name]))
    try {
      checkInstructionSets(join(root, releaseBuild(name)))
      checkExports(file)
      console.log(`${relative(root, file)}: needs ${checkRequirements(file)}`)
    } catch (error) {
      rmSync(file)   // so that nobody packs it
      throw error
    }
    stamp(`prebuild-${name}`, state(name))
  }, 'prebuild')
}

if (process.argv[1] === import.meta.filename) {
  await main(async () => {
    const names = process.argv.slice(2)
    const unknown = names.find(name => !(name in releases))
    if (unknown) throw new BuildError(`prebuilds: there is no release ${unknown}, only ${Object.keys(releases).join(', ')}`)
    for (const name of names.length ? names : Object.keys(releases)) await prebuild(name)
  })
}
