// Trains English to German on Multi30k from its files and scores it as published: npm run quality:multi30k [-- --data DIR --seeds 1,2 --output FILE --work DIR]
// The seeds are trained at the same time, each on its part of the cores.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { machine } from '../machine.js'
import { saveResult } from '../saveResult.js'
import { sharedFolder } from '../shared.js'
import { hasMulti30k } from './multi30kData.js'
import type { SeedResult } from './multi30kSeed.js'

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: sharedFolder('data/multi30k') }, seeds: { type: 'string', default: '1,2' },
    output: { type: 'string', default: 'build/quality/multi30k.json' }, work: { type: 'string', default: 'build/quality/multi30k' },
  },
})
if (!hasMulti30k(values.data)) {
  console.error(`multi30k: no data in ${values.data}; expected its folders bpe10k-en-de and raw. Give the folder with --data.`)
  process.exit(1)
}
const seeds = values.seeds.split(',').map(Number), threads = Math.max(1, Math.floor(availableParallelism() / seeds.length))
const began = performance.now()
const results = await Promise.all(seeds.map(train))
const minutes = (performance.now() - began) / 60_000

const mean = results.reduce((sum, { test }) => sum + test.test2016.bleu, 0) / results.length
console.log(`test2016, mean of ${results.length}: BLEU ${mean.toFixed(2)}; ${minutes.toFixed(0)} minutes for all, ${threads} thread${threads > 1 ? 's' : ''} each`)
await saveResult(values.output, { ...machine(), command: 'npm run quality:multi30k', seedsAtOnce: seeds.length, threadsEach: threads, minutes, meanBleuTest2016: mean, results })

async function train(seed: number): Promise<SeedResult> {
  const folder = join(values.work, `seed-${seed}`)
  const child = spawn(process.execPath, [fileURLToPath(new URL('./multi30kSeed.js', import.meta.url)), values.data, String(seed), folder], {
    env: { ...process.env, WARPWEFT_THREADS: String(threads) }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', line => { console.log(`seed ${seed}: ${line}`) })
  const status = await new Promise<number | null>(resolve => child.on('close', resolve))
  if (status !== 0) throw new Error(`the training with seed ${seed} ended with status ${status}`)
  return JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8')) as SeedResult
}
