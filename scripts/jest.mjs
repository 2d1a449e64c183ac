import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BuildError, root } from './command.mjs'

/**
 * Runs the compiled tests by jest and ends with one line of counts; the exit code becomes 1 where a test failed or none ran.
 * @param node the command that starts Node: its path, with what comes before it where an emulator runs it @param folder of package.json, dist and build/js
 */
export function runJest(args, { node = [process.execPath], folder = root, env = {} } = {}) {
  const results = join(root, 'build/test-results', `${process.pid}.json`)
  mkdirSync(join(root, 'build/test-results'), { recursive: true })
  const [command, ...before] = node
  const { status, signal } = spawnSync(command, [
    ...before, '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', join(folder, 'node_modules/jest/bin/jest.js'), '--json', '--outputFile', results,
    ...args.map(argument => argument.replace(/\.ts$/, '.js')),
  ], { cwd: folder, env: { ...process.env, ...env }, stdio: ['inherit', 'ignore', 'inherit'] })
  const counts = read(results)
  if (!counts) throw new BuildError(`jest ended early (${signal ?? `exit status ${status}`})`)
  rmSync(results)
  // A file that could not be run at all has no failed test of its own.
  const failed = counts.numFailedTests + counts.numRuntimeErrorTestSuites
  console.log(`${counts.numPassedTests} passed, ${failed} failed, ${counts.numPendingTests + counts.numTodoTests} skipped`)
  if (status !== 0 || failed > 0 || counts.numPassedTests === 0) process.exitCode = 1
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
