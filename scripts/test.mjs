// Builds what is stale, runs the tests by jest with the arguments given (paths may be those of the sources), and ends with one line of counts.
import { build } from './build.mjs'
import { main } from './command.mjs'
import { runJest } from './jest.mjs'

await main(async () => {
  await build({ tests: true })
  runJest(process.argv.slice(2))
})
