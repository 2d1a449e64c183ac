// npm run gpu:accept -- OUT/results.json: takes what gpu-verify.sh brought home into bench/results, and writes lib/tensor/verifiedHardware.ts anew from all that is there.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { BuildError, main, root } from './command.mjs'

const folder = join(root, 'bench/results'), target = join(root, 'lib/tensor/verifiedHardware.ts')

/** Why results do not verify a kind of GPU; undefined if they do. */
export function refusal(results) {
  if (results?.format !== 1 || !Array.isArray(results.stages)) return 'it is no results.json of gpu-verify.sh'
  if (results.emulated) return 'it is of the emulator'
  if (results.quick) return 'it is of a quick run'
  const needed = ['primitives', 'op cases', 'parity float32', 'training'], missing = needed.filter(name => !results.stages.some(s => s.name === name && s.status === 'passed'))
  if (missing.length) return `these stages did not pass: ${missing.join(', ')}`
  if (!/^sm_\d+$/.test(results.capability)) return `its capability is ${results.capability}`
  return undefined
}

/** lib/tensor/verifiedHardware.ts for the results below a folder. */
export function verifiedHardware(results = folder) {
  const verified = new Map()
  for (const name of existsSync(results) ? readdirSync(results).filter(file => /^gpu-sm_\d+-.*\.json$/.test(file)).sort() : []) {
    const found = JSON.parse(readFileSync(join(results, name), 'utf8'))
    if (!refusal(found)) verified.set(found.capability, `  ['${found.capability}', '${found.gpu.replaceAll(/['\\]/g, '')}, ${found.date.slice(0, 10)}, kernels ${found.kit.sources.slice(0, 12)}'],`)
  }
  const lines = [...verified.values()]
  return `// Written by \`npm run gpu:accept\` from bench/results/gpu-*.json. Do not edit.

/** GPUs, by compute capability, on which every kernel has been run and compared with the CPU's, and what ran there. Others are experimental. */
export const verifiedHardware: ReadonlyMap<string, string> = new Map<string, string>([${lines.length ? `\n${lines.join('\n')}\n` : ''}])
`
}

if (process.argv[1] === import.meta.filename) {
  await main(() => {
    const path = process.argv[2]
    if (path === undefined || !existsSync(path)) throw new BuildError('usage: npm run gpu:accept -- OUT/results.json   (OUT: what gpu-verify.sh wrote)')
    let results
    try { results = JSON.parse(readFileSync(path, 'utf8')) } catch (error) { throw new BuildError(`gpu:accept: ${path} is not JSON: ${error.message}`) }
    const why = refusal(results)
    if (why) throw new BuildError(`gpu:accept: ${path} verifies nothing: ${why}`)
    mkdirSync(folder, { recursive: true })
    const kept = join(folder, `gpu-${results.capability}-${results.date.slice(0, 10)}.json`)
    writeFileSync(kept, JSON.stringify(results, null, 1) + '\n')
    writeFileSync(target, verifiedHardware())
    console.log(`${relative(root, kept)} and ${relative(root, target)} are written: commit both. 'auto' takes GPUs of ${results.capability} now`)
  })
}
