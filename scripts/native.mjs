import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BuildError, output, root, runBuild, runQuietly } from './command.mjs'
import { findCompiler } from './compiler.mjs'
import { compilerJobs } from './jobs.mjs'
import { filesBelow, fingerprint, isStamped, stamp } from './stamp.mjs'
import { buildTools } from './tools.mjs'

export const addonFile = 'build/Release/warpweft.node'

/** What the addon is made of. */
export const sources = () => ['CMakeLists.txt', 'package-lock.json', ...filesBelow('native')]

/** Compiles what is stale of the native addon into build/Release. @throws BuildError with one line that says what is missing, or after the compiler's messages */
export async function buildNative() {
  const before = fingerprint([...sources(), addonFile], process.env['CXX'])
  if (isStamped('native', before)) return
  const compiler = findCompiler()
  const { cmake, ninja, env } = await buildTools()
  const folder = join(root, 'build/native')
  keepIf('configuration', [root, compiler, cmake, ninja, output(cmake, ['--version'])], folder)
  await compileAddon({
    title: 'native build', compiler: `${compiler.family} ${compiler.version}`, folder, cmake, env,
    cc: compiler.path, cxx: compiler.path, definitions: { CMAKE_LIBRARY_OUTPUT_DIRECTORY: join(root, 'build/Release') },
  })
  if (!existsSync(join(root, addonFile))) throw new BuildError(`native build: it made no ${addonFile}`)
  stamp('native', fingerprint([...sources(), addonFile], process.env['CXX']))
}

/** Removes a build folder that was configured for something else. */
export function keepIf(name, facts, folder) {
  const configuration = JSON.stringify(facts)
  if (isStamped(name, configuration)) return
  rmSync(folder, { recursive: true, force: true })
  stamp(name, configuration)
}

/**
 * Configures a build folder by cmake-js, where that has not been done, and compiles what is stale in it by ninja. Headers are those of node-api-headers.
 * @throws BuildError after the messages of cmake or the compiler
 */
export async function compileAddon({ title, compiler, folder, cmake, env, cc, cxx, definitions }) {
  const cmakeJs = [
    join(root, 'node_modules/cmake-js/bin/cmake-js'), '--log-level', 'error', '--directory', root, '--out', folder, '--cmake-path', cmake, '--generator', 'Ninja',
    '--cc', cc, '--cxx', cxx, ...Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`),
  ]
  if (!existsSync(join(folder, 'build.ninja'))) {
    console.log(`${title}: ${compiler}, ${compilerJobs()} at a time`)
    runQuietly(process.execPath, [...cmakeJs, 'configure'], { env, failure: `${title}: cmake could not configure it` })
  }
  await runBuild(title, process.execPath, [...cmakeJs, '--parallel', String(compilerJobs()), 'build'], { env })
}
