// node scripts/run.mjs lib/cli/main.ts [arguments]: builds what is stale, then runs the compiled script in this process.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from './build.mjs'
import { BuildError, main, root } from './command.mjs'

await main(async () => {
  const source = process.argv[2]
  if (!source?.endsWith('.ts') || !existsSync(join(root, source))) throw new BuildError(`scripts/run.mjs: expected a TypeScript source of this repository, got ${source}`)
  const ofLibrary = source.startsWith('lib/')
  await build({ tests: !ofLibrary })
  const compiled = join(root, (ofLibrary ? source.replace('lib', 'dist') : join('build/js', source)).replace(/ts$/, 'js'))
  process.argv.splice(1, 2, compiled)
  await import(pathToFileURL(compiled).href)
})
