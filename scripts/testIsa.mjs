// Runs the op tests once for every instruction set below the best that this processor has.
import { readFileSync } from 'node:fs'
import { main, run } from './command.mjs'

await main(() => {
  const flags = new Set(readFileSync('/proc/cpuinfo', 'utf8').match(/^flags\s*:.*$/m)?.[0].split(/\s+/))
  const has = (...names) => names.every(name => flags.has(name))
  const lower = [...(has('amx_bf16', 'amx_tile') ? ['avx512'] : []), ...(has('avx512f', 'avx512_bf16', 'avx512_vnni') ? ['avx2'] : []), ...(has('avx2', 'fma', 'bmi2') ? ['baseline'] : [])]
  if (lower.length === 0) console.log('this processor has no instruction set below the one that every test uses')
  for (const set of lower) {
    console.log(`WARPWEFT_ISA=${set}`)
    run(process.execPath, ['scripts/test.mjs', 'test/ops', ...process.argv.slice(2)], { env: { WARPWEFT_ISA: set }, failure: `failed with WARPWEFT_ISA=${set}` })
  }
})
