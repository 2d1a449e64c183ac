// Builds what is stale and nothing else: the native addon, its declarations, the library, and with --tests the tests and benchmarks.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { BuildError, main, root } from './command.mjs'
import { withBuildLock } from './lock.mjs'
import { addonFile, buildNative } from './native.mjs'
import { fingerprint, isStamped, stamp } from './stamp.mjs'
import { compileTypeScript } from './typescript.mjs'

export function build({ tests = false } = {}) {
  return withBuildLock(async () => {
    await buildNative()
    updateDeclarations()
    compileTypeScript('library')
    if (tests) compileTypeScript('tests')
  })
}

/** The addon's TypeScript declarations follow from its op structs: written anew here where they differ (tsc then finds what does not fit), an error in CI. */
function updateDeclarations() {
  const state = () => fingerprint([addonFile, 'lib/tensor/nativeOps.ts', 'scripts/generate.mjs'])
  if (isStamped('declarations', state())) return
  const generate = (...options) => spawnSync(process.execPath, [join(root, 'scripts/generate.mjs'), ...options], { encoding: 'utf8' })
  const check = generate('--check')
  if (check.status !== 0) {
    if (process.env['CI']) throw new BuildError(check.stderr.trim())
    const { status, stderr } = generate()
    if (status !== 0) throw new BuildError(`the addon's declarations could not be generated: ${stderr.trim()}`)
    console.log('lib/tensor/nativeOps.ts was stale and has been written anew from the ops of the addon: commit it')
  }
  stamp('declarations', state())
}

if (process.argv[1] === import.meta.filename) await main(() => build({ tests: process.argv.includes('--tests') }))
