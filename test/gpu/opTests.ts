// node opTests.js FILE.js: runs a compiled file of test/ops without jest, and prints a JSON line for each test that did not pass, and one with the counts.
import { pathToFileURL } from 'node:url'
import { runRegistered } from './jestGlobals.js'

const counts = { passed: 0, failed: 0, skipped: 0 }
await import(pathToFileURL(process.argv[2]!).href)
await runRegistered(result => {
  counts[result.status]++
  if (result.status !== 'passed') console.log(JSON.stringify(result))
})
console.log(JSON.stringify({ counts }))
if (counts.failed > 0) process.exitCode = 1
