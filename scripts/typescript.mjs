import { chmodSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './command.mjs'
import { filesBelow, fingerprint, isStamped, stamp } from './stamp.mjs'

const compilations = {
  library: { project: 'tsconfig.json', folders: { lib: 'dist' } },
  tests: { project: 'tsconfig.test.json', folders: { test: 'build/js/test', bench: 'build/js/bench', examples: 'build/js/examples' } },
}

/** Compiles the library to dist/, or the tests, benchmarks and examples to build/js, if a source or an output changed. @throws BuildError after tsc's messages */
export function compileTypeScript(name) {
  const { project, folders } = compilations[name]
  const configurations = ['tsconfig.json', 'tsconfig.test.json', 'package-lock.json']
  const state = () => fingerprint([
    ...configurations, ...filesBelow('lib'), ...filesBelow('dist'), ...Object.entries(folders).flatMap(([from, to]) => [...filesBelow(from), ...filesBelow(to)]),
  ])
  if (isStamped(name, state())) return
  for (const [from, to] of Object.entries(folders)) removeOrphans(from, to)
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-b', project], { failure: `${name}: TypeScript errors, see above` })
  if (name === 'library') makeCommandsExecutable()
  stamp(name, state())
}

/** Removes what was compiled from sources that are gone, so that it is neither packed nor tested. */
function removeOrphans(from, to) {
  for (const file of filesBelow(to)) {
    const source = join(from, file.slice(to.length)).replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts')
    if (!existsSync(join(root, source))) rmSync(join(root, file))
  }
}

function makeCommandsExecutable() {
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const file of Object.values(bin)) if (existsSync(join(root, file))) chmodSync(join(root, file), 0o755)
}
