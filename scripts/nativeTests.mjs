// Builds and runs the native tests, with --sanitize under AddressSanitizer and UndefinedBehaviorSanitizer. Each kind has a build folder of its own.
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { main, root, run, runBuild, runQuietly } from './command.mjs'
import { findCompiler } from './compiler.mjs'
import { compilerJobs } from './jobs.mjs'
import { withBuildLock } from './lock.mjs'
import { buildTools } from './tools.mjs'

const sanitize = process.argv.includes('--sanitize')
const folder = join(root, 'build', sanitize ? 'sanitize' : 'native-tests')
const options = sanitize ? ['-DWARPWEFT_SANITIZE=ON'] : []

await main(() => withBuildLock(async () => {
  const { cmake, ctest, ninja, env } = await buildTools()
  runQuietly(cmake, [
    '-S', root, '-B', folder, '-G', 'Ninja', `-DCMAKE_MAKE_PROGRAM=${ninja}`, `-DCMAKE_CXX_COMPILER=${findCompiler().path}`, '-DWARPWEFT_NATIVE_TESTS=ON', ...options,
  ], { env, failure: 'native tests: cmake could not configure them' })
  await runBuild('native tests', cmake, ['--build', folder, '--parallel', String(compilerJobs())], { env })
  run(ctest, ['--test-dir', folder, '--output-on-failure', '--no-tests=error', '--timeout', '600', '--parallel', String(availableParallelism()), ...process.argv.slice(2).filter(argument => argument !== '--sanitize')], {
    env: { UBSAN_OPTIONS: 'print_stacktrace=1' }, failure: 'native tests: failed, see above',
  })
}))
