import { existsSync, readdirSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { BuildError, root } from './command.mjs'
import { neededLibraries, neededVersions, symbols } from './elf.mjs'

// What a compiler adds to objects by itself and what does the same in each: a pointer to the exception handler, and a call of std::terminate.
const harmless = new Set(['DW.ref.__gxx_personality_v0', '__clang_call_terminate'])
const highestGlibc = [2, 28]
// What a release may need of the system: its C library, by the names that its parts have. musl's loader takes libc.so for itself.
const libraries = {
  glibc: /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|ld-linux-\S+)$/,
  musl: /^libc\.so$/,
}

/**
 * Looks at the objects of one native build folder that are compiled once for each instruction set. Of two weak symbols of one name the linker keeps either: code
 * for AVX-512 would run on a processor without it. So each must have its instruction set's namespace in its name.
 * @throws BuildError that lists the symbols
 */
export function checkInstructionSets(buildFolder) {
  const found = []
  let objects = 0
  for (const set of readdirSync(join(buildFolder, 'CMakeFiles')).filter(name => /^cpu_\w+\.dir$/.test(name))) {
    const space = set.slice('cpu_'.length, -'.dir'.length)
    const inNamespace = new RegExp(`(?<!\\d)${space.length}${space}`)   // as it is mangled
    for (const file of readdirSync(join(buildFolder, 'CMakeFiles', set), { recursive: true }).filter(name => name.endsWith('.o'))) {
      objects++
      for (const { name, binding, defined } of symbols(join(buildFolder, 'CMakeFiles', set, file)))
        if (defined && (binding === 'weak' || binding === 'unique') && !inNamespace.test(name) && !harmless.has(name)) found.push(`${space} ${basename(file)}: ${name}`)
    }
  }
  if (objects === 0) throw new BuildError(`${relative(root, buildFolder)} has no objects of the kernels: build first`)
  if (found.length) throw new BuildError(`${found.join('\n')}\n${found.length} weak symbols could be handed from one instruction set to another: put them into the namespace of the instruction set, or make them static`)
  return objects
}

/**
 * Looks at the binary of a release: it must need the C library that its name says and no other library (a C++ runtime of the system, say), and no newer glibc than 2.28.
 * @returns what it needs. @throws BuildError
 */
export function checkRequirements(file) {
  const libc = file.endsWith('.musl.node') ? 'musl' : 'glibc'
  const others = neededLibraries(file).filter(name => !libraries[libc].test(name))
  if (others.length) throw new BuildError(`${relative(root, file)} needs libraries other than ${libc}: ${others.join(', ')}`)
  if (libc === 'musl') return libc
  const needs = neededVersions(file)
  const glibc = needs.map(text => /GLIBC_(\d+)\.(\d+)/.exec(text)).filter(Boolean).map(([, major, minor]) => [Number(major), Number(minor)])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]).at(-1) ?? [2, 0]
  if ((glibc[0] - highestGlibc[0] || glibc[1] - highestGlibc[1]) > 0)
    throw new BuildError(`${relative(root, file)} needs GLIBC_${glibc.join('.')}, at most ${highestGlibc.join('.')} is allowed: ${needs.filter(text => text.endsWith(glibc.join('.'))).join(', ')}`)
  return `glibc ${glibc.join('.')}`
}

/** Looks at what an addon offers to others: the entry points of Node-API and nothing of the C++ runtime or of ours. @throws BuildError */
export function checkExports(file) {
  const wrong = symbols(file, { dynamic: true }).filter(({ name, defined, binding }) => defined && binding !== 'local' && !/^(napi_register_module_v1|node_api_module_get_api_version_v1|_init|_fini)$/.test(name))
  if (wrong.length) throw new BuildError(`${relative(root, file)} offers symbols to other addons: ${wrong.map(({ name }) => name).slice(0, 10).join(', ')}`)
}

/** The addons below prebuilds/. */
export function prebuilds() {
  const folder = join(root, 'prebuilds')
  return existsSync(folder) ? readdirSync(folder, { recursive: true }).filter(name => name.endsWith('.node')).map(name => join(folder, name)).sort() : []
}
