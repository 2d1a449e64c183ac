import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The folder of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

/** A failure that is told to the user in one line, without a stack. */
export class BuildError extends Error {}

/** Runs the main function of a script: a BuildError becomes one line on standard error and exit code 1. */
export async function main(body) {
  try {
    await body()
  } catch (error) {
    if (!(error instanceof BuildError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}

/** Runs a command with this terminal as its own. @throws BuildError if it fails, `failure` or a line with its name and exit status */
export function run(command, args, { env = {}, cwd = root, failure } = {}) {
  const { status, signal, error } = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, stdio: 'inherit' })
  if (error) throw new BuildError(`${command} could not be started: ${error.message}`)
  if (status !== 0) throw new BuildError(failure ?? `${[command, ...args].join(' ').slice(0, 160)}: ${signal ?? `exit status ${status}`}`)
}

/** Runs a command whose output is of interest only where it fails. @throws BuildError with that output */
export function runQuietly(command, args, { env = {}, cwd = root, failure }) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (error || status !== 0) throw new BuildError(`${(stdout ?? '') + (stderr ?? '')}${failure}${error ? `: ${error.message}` : ''}`)
}

/** What a command writes to standard output, or undefined where it is missing or fails. */
export function output(command, args, options = {}) {
  const { status, stdout } = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], ...options })
  return status === 0 ? stdout : undefined
}

/** Path of an executable of the PATH, or undefined. */
export function which(name, path = process.env['PATH'] ?? '') {
  for (const folder of name.includes('/') ? [''] : path.split(delimiter)) {
    const file = folder ? join(folder, name) : name
    try {
      accessSync(file, constants.X_OK)
      if (statSync(file).isFile()) return file
    } catch { /* not here */ }
  }
  return undefined
}

/**
 * Runs a build by ninja or cmake and shows its steps in one line that is rewritten (on a terminal) or in a line for every quarter (elsewhere).
 * Everything else that it says is shown as it is.
 * @throws BuildError if it fails
 */
export async function runBuild(title, command, args, { env = {}, cwd = root } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const terminal = process.stdout.isTTY
  const started = Date.now()
  let quarter = 0
  let steps = 0
  const show = line => {
    const step = /^\[(\d+)\/(\d+)\] /.exec(line)
    if (!step) {
      if (/^(-- |ninja: (no work to do|Entering directory)|ERROR OMG Process terminated)/.test(line)) return
      process.stdout.write((terminal && steps ? '\r\x1b[K' : '') + line + '\n')
      return
    }
    const [done, all] = [Number(step[1]), Number(step[2])]
    if (all !== steps) quarter = Math.floor(4 * (done - 1) / all)   // cmake runs first where a source has come or gone
    steps = all
    if (terminal) process.stdout.write(`\r\x1b[K${title}: ${done} of ${all}`)
    else if (Math.floor(4 * done / all) > quarter) {
      quarter = Math.floor(4 * done / all)
      console.log(`${title}: ${done} of ${all}`)
    }
  }
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', show)
  const status = await new Promise((resolve, reject) => {
    child.on('error', error => { reject(new BuildError(`${command} could not be started: ${error.message}`)) })
    child.on('close', (code, signal) => { resolve(signal ?? code) })
  })
  if (terminal && steps) process.stdout.write('\r\x1b[K')
  if (status !== 0) throw new BuildError(`${title} failed: see the messages above`)
  if (steps) console.log(`${title}: done in ${((Date.now() - started) / 1000).toFixed(0)} s`)
}
