// npm run parity -- DIR… [--device cpu] [--precision float32|bfloat16|float16] [--table FILE]: compares what warpweft computes with what PyTorch and transformers did.
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { device, setDefaultDevice } from '#lib/tensor/device.js'
import { runCase, type Precision } from './runCase.js'
import { modelsPage, type Row } from './table.js'

const { values: options, positionals } = parseArgs({
  allowPositionals: true, options: { device: { type: 'string', default: process.env['WARPWEFT_DEVICE'] || 'cpu' }, precision: { type: 'string', default: 'float32' }, verbose: { type: 'boolean', default: false }, table: { type: 'string' } },
})
const precisions = ['float32', 'bfloat16', 'float16']
if (!precisions.includes(options.precision)) {
  console.error(`--precision ${options.precision} is not known, expected one of: ${precisions.join(', ')}`)
  process.exit(2)
}
const on = device(options.device)
setDefaultDevice(on)
let failed = 0, ran = 0
const rows: Row[] = []
for (const directory of positionals) {
  if (!existsSync(directory) || !statSync(directory).isDirectory()) {
    console.log(`skip ${directory}: not a directory`)
    continue
  }
  if (!existsSync(join(directory, 'case.json'))) {
    console.log(`FAIL ${basename(directory)}: there is no case.json in it`)
    failed++
    continue
  }
  ran++
  try {
    const { name, architecture, comparisons } = await runCase(directory, options.precision as Precision)
    const bad = comparisons.filter(r => !r.passed), worst = Math.max(0, ...comparisons.map(r => r.error / (r.bound || Number.MIN_VALUE)))
    rows.push({ name, architecture, compared: comparisons.length, passed: comparisons.length - bad.length, worst })
    console.log(`${bad.length ? 'FAIL' : 'ok  '} ${name}: ${comparisons.length - bad.length} of ${comparisons.length} within bounds, the worst at ${worst.toPrecision(3)} of its bound`)
    for (const r of options.verbose ? comparisons : bad) console.log(`       ${r.name}: ${r.note ?? `error ${r.error.toExponential(2)}, bound ${r.bound.toExponential(2)}`}`)
    if (bad.length) failed++
  } catch (error) {
    failed++
    console.log(`FAIL ${basename(directory)}: ${(error as Error).message}`)
  }
}
console.log(`${ran - failed} passed, ${failed} failed (${options.precision}, ${on.name}: ${on.describe()})`)
if (options.table !== undefined) writeFileSync(options.table, modelsPage(rows, options.precision as Precision, new Date().toISOString().slice(0, 10)))
if (failed || ran === 0) process.exitCode = 1
