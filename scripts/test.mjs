// Builds what is stale, runs the tests by jest with the arguments given (paths may be those of the sources), and ends with one line of counts.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from './build.mjs'
import { BuildError, main, root } from './command.mjs'

await main(async () => {
  await build({ tests: true })
  const results = join(root, 'build/test-results', `${process.pid}.json`)
  mkdirSync(join(root, 'build/test-results'), { recursive: true })
  const { status, signal } = spawnSync(process.execPath, [
    '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', join(root, 'node_modules/jest/bin/jest.js'), '--json', '--outputFile', results,
    ...process.argv.slice(2).map(argument => argument.replace(/\.ts$/, '.js')),
  ], { cwd: root, stdio: ['inherit', 'ignore', 'inherit'] })
  const counts = read(results)
  if (!counts) throw new BuildError(`jest ended early (${signal ?? `exit status ${status}`})`)
  rmSync(results)
  // A file that could not be run at all has no failed test of its own.
  const failed = counts.numFailedTests + counts.numRuntimeErrorTestSuites
  console.log(`${counts.numPassedTests} passed, ${failed} failed, ${counts.numPendingTests + counts.numTodoTests} skipped`)
  if (status !== 0 || failed > 0 || counts.numPassedTests === 0) process.exitCode = 1
})

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
