import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BuildError, output, root, runBuild, runQuietly } from './command.mjs'
import { findCompiler } from './compiler.mjs'
import { compilerJobs } from './jobs.mjs'
import { filesBelow, fingerprint, isStamped, stamp } from './stamp.mjs'
import { buildTools } from './tools.mjs'

export const addonFile = 'build/Release/warpweft.node'

/** What the addon is made of. */
const sources = () => ['CMakeLists.txt', 'package-lock.json', ...filesBelow('native')]

/** Compiles what is stale of the native addon into build/Release. @throws BuildError with one line that says what is missing, or after the compiler's messages */
export async function buildNative() {
  const before = fingerprint([...sources(), addonFile], process.env['CXX'])
  if (isStamped('native', before)) return
  const compiler = findCompiler()
  const { cmake, ninja, env } = await buildTools()
  const cmakeJs = [
    join(root, 'node_modules/cmake-js/bin/cmake-js'), '--log-level', 'error', '--out', 'build/native', '--cmake-path', cmake, '--generator', 'Ninja',
    '--cc', compiler.path, '--cxx', compiler.path, `--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=${join(root, 'build/Release')}`,
  ]
  const configuration = JSON.stringify([root, compiler, cmake, ninja, output(cmake, ['--version'])])
  if (!isStamped('configuration', configuration)) rmSync(join(root, 'build/native'), { recursive: true, force: true })
  if (!existsSync(join(root, 'build/native/build.ninja'))) {
    console.log(`native build: ${compiler.family} ${compiler.version}, ${compilerJobs()} at a time`)
    runQuietly(process.execPath, [...cmakeJs, 'configure'], { env, failure: 'native build: cmake could not configure it' })
    stamp('configuration', configuration)
  }
  await runBuild('native build', process.execPath, [...cmakeJs, '--parallel', String(compilerJobs()), 'build'], { env })
  if (!existsSync(join(root, addonFile))) throw new BuildError(`native build: it made no ${addonFile}`)
  stamp('native', fingerprint([...sources(), addonFile], process.env['CXX']))
}
