// Runs the op tests once for every instruction set below the best that this processor has.
import { readFileSync } from 'node:fs'
import { main, run } from './command.mjs'

await main(() => {
  const lower = process.arch === 'x64' && /\bavx2\b/.test(readFileSync('/proc/cpuinfo', 'utf8')) ? ['avx2', 'baseline'] : ['baseline']
  for (const set of lower) {
    console.log(`WARPWEFT_ISA=${set}`)
    run(process.execPath, ['scripts/test.mjs', 'test/ops', ...process.argv.slice(2)], { env: { WARPWEFT_ISA: set }, failure: `failed with WARPWEFT_ISA=${set}` })
  }
})
