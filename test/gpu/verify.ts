// node verify.js OUT [--quick] [--limit SECONDS]: what `bash gpu-verify.sh OUT` runs in the folder that `npm run gpu:pack` makes. Compares hardware with the emulator, kernels with
// float64, models with PyTorch's numbers and a training with the CPU's, then measures beside the machine's PyTorch. Goes on after a failure, keeps to its limit, and writes results.json,
// results.md, log.txt and the vectors of the primitives to OUT. WARPWEFT_CUDA=simt puts the emulator in the GPU's place.
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir, totalmem } from 'node:os'
import { basename, delimiter, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { cuda } from '#lib/tensor/cuda.js'
import { askGpu, runBenchmarks } from './benchmarks.js'
import { runChild, type Ended } from './child.js'
import { markdown, neededStages, type Results, type Stage, type Status } from './report.js'
import { compareVectors, mayDiffer } from './vectors.js'

const { values: options, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean', default: false }, limit: { type: 'string', default: '525' } } })
const [given] = positionals, limit = Number(options.limit)
if (given === undefined || positionals.length > 1 || !(limit >= 1)) {
  console.error('usage: bash gpu-verify.sh OUT [--quick] [--limit SECONDS]   (OUT: a folder for the results)')
  process.exit(2)
}
const root = resolve(import.meta.dirname, '../../../..'), out = resolve(given), start = performance.now(), quick = options.quick
mkdirSync(out, { recursive: true })
const logFile = createWriteStream(join(out, 'log.txt')), log = (text: string): void => { logFile.write(`${text}\n`) }
const say = (text: string): void => { console.log(text); log(text) }
const elapsed = (): number => (performance.now() - start) / 1000

const { devices, versions, emulated, why } = cuda(), kit = JSON.parse(readFileSync(join(root, 'kit.json'), 'utf8')) as Results['kit']
const results: Results = {
  format: 1, date: new Date().toISOString(), kit, emulated, quick, gpu: devices[0] ?? 'none', versions, capability: /sm_\d+/.exec(devices[0] ?? '')?.[0] ?? 'none',
  machine: { gpu: askGpu() ?? null, processor: cpus()[0]?.model.trim() ?? 'unknown', cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), kernel: release(), node: process.versions.node },
  conditions: [], stages: [], vectors: [], benchmarks: [], peer: 'none', verified: false, seconds: 0,
}

function write(): void {
  results.seconds = elapsed()
  const passed = (name: string): boolean => results.stages.some(s => s.name === name && s.status === 'passed')
  results.verified = !emulated && !quick && neededStages.every(passed)
  writeFileSync(join(out, 'results.json'), JSON.stringify(results, null, 1) + '\n')
  writeFileSync(join(out, 'results.md'), markdown(results))
}

/** Runs a stage within its limit and what is left of the whole; a stage that throws has failed. */
async function stage(name: string, seconds: number, body: (limit: number) => Promise<Omit<Stage, 'name' | 'seconds'>>): Promise<void> {
  const began = elapsed(), most = Math.min(seconds, limit - began)
  let found: Omit<Stage, 'name' | 'seconds'>
  if (most < 1) found = { status: 'not run', summary: `no time was left of ${limit} s` }
  else {
    try {
      found = await body(1000 * most)
    } catch (error) {
      log((error as Error).stack ?? '')
      found = { status: 'failed', summary: (error as Error).message }
    }
  }
  results.stages.push({ name, seconds: elapsed() - began, ...found })
  say(`${found.status.padEnd(9)} ${name} (${(elapsed() - began).toFixed(1)} s): ${found.summary}`)
  write()
}

const environment = { WARPWEFT_DEVICE: 'cuda', WARPWEFT_TEST_DEVICE: 'cuda' }, node = process.execPath
const script = (path: string): string => join(root, 'build/js', path)
const statusOf = ({ status, cut }: Ended): Status => cut ? 'cut short' : status === 0 ? 'passed' : 'failed'
const primitives = (side: 'cuda' | 'simt'): string => join(root, 'primitives', side)

async function comparePrimitives(most: number): Promise<Omit<Stage, 'name' | 'seconds'>> {
  const folder = mkdtempSync(join(tmpdir(), 'warpweft-vectors-'))
  try {
    const hardware = join(folder, 'hardware.bin'), emulator = join(folder, 'emulator.bin')
    const ran = await runChild(primitives(emulated ? 'simt' : 'cuda'), [hardware], { limit: most, log }), other = await runChild(primitives('simt'), [emulator], { limit: most, log })
    for (const path of [hardware, emulator]) if (existsSync(path)) writeFileSync(join(out, `vectors-${basename(path)}.gz`), gzipSync(readFileSync(path)))
    if (ran.status !== 0 || other.status !== 0) return { status: ran.cut ? 'cut short' : 'failed', summary: `${ran.status !== 0 ? 'the GPU' : 'the emulator'} fails the definitions: see log.txt` }
    const compared = results.vectors = compareVectors(hardware, emulator), wrong = compared.filter(v => v.different > 0 && !mayDiffer(v.test)), differing = compared.filter(v => v.different > 0)
    return {
      status: wrong.length ? 'failed' : 'passed',
      summary: `${compared.length} tests; ${wrong.length ? `not as the emulator: ${wrong.map(v => v.test).join(', ')}` : differing.length ? `other last places in ${differing.map(v => `${v.test} (${v.ulps})`).join(', ')}` : 'every number equals the emulator\'s'}`,
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface OpFile { file: string, passed: number, failed: { name: string, message?: string }[], skipped: { name: string }[], ended: Ended }

async function opFile(file: string, most: number): Promise<OpFile> {
  const found: OpFile = { file: basename(file, '.test.js'), passed: 0, failed: [], skipped: [], ended: { status: null, signal: null, cut: true, seconds: 0 } }
  found.ended = await runChild(node, [script('test/gpu/opTests.js'), file], {
    env: environment, limit: most, log, line: text => {
      try {
        const line = JSON.parse(text) as { counts?: { passed: number }, name: string, status: string, message?: string }
        if (line.counts) found.passed = line.counts.passed
        else (line.status === 'failed' ? found.failed : found.skipped).push({ name: line.name, ...line.message === undefined ? {} : { message: line.message } })
      } catch { /* a word between */ }
    },
  })
  return found
}

async function opCases(most: number): Promise<Omit<Stage, 'name' | 'seconds'>> {
  const end = performance.now() + most, folder = script('test/ops'), all = readdirSync(folder).filter(name => name.endsWith('.test.js'))
  const wanted = all.filter(name => !quick || /^(arrangement|softmax|optimizers|tf32)/.test(name)), waiting = [...wanted].sort((a, b) => statSync(join(folder, b)).size - statSync(join(folder, a)).size)
  const done: OpFile[] = []
  // A GPU is shared by a few processes, which mostly compute references; the emulator takes a core each.
  await Promise.all(Array.from({ length: Math.max(1, Math.min(4, availableParallelism())) }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const left = end - performance.now()
      done.push(left < 1000 ? { file, passed: 0, failed: [], skipped: [], ended: { status: null, signal: null, cut: true, seconds: 0 } } : await opFile(join(folder, file), left))
    }
  }))
  const passed = done.reduce((sum, f) => sum + f.passed, 0), failed = done.flatMap(f => f.failed), skipped = done.flatMap(f => f.skipped), cut = done.filter(f => f.ended.cut), broken = done.filter(f => !f.ended.cut && f.ended.status !== 0)
  const words = [`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`, ...cut.length ? [`not to their end: ${cut.map(f => f.file).join(', ')}`] : [], ...broken.length ? [`in ${broken.map(f => f.file).join(', ')}`] : []]
  return { status: broken.length ? 'failed' : cut.length ? 'cut short' : 'passed', summary: words.join('; '), details: { failed, skipped: skipped.map(s => s.name), files: done.map(f => ({ file: f.file, passed: f.passed, seconds: f.ended.seconds, status: statusOf(f.ended) })) } }
}

/** In half precision some models leave the bounds on the CPU too: there a failure is told, and none of the GPU's. */
async function parity(precision: string, most: number): Promise<Omit<Stage, 'name' | 'seconds'>> {
  const folder = join(root, 'parity'), cases = existsSync(folder) ? readdirSync(folder).filter(name => existsSync(join(folder, name, 'case.json'))).sort() : [], lines: string[] = []
  if (cases.length === 0) return { status: 'not run', summary: 'the folder was packed without parity cases' }
  const wanted = quick ? cases.slice(0, 2) : cases
  const ended = await runChild(node, [script('test/parity/run.js'), ...wanted.map(name => join(folder, name)), '--device', 'cuda', '--precision', precision], { env: environment, limit: most, log, line: text => { lines.push(text) } })
  const ok = lines.filter(text => text.startsWith('ok')).length, bad = lines.filter(text => text.startsWith('FAIL')).map(text => text.slice(5)), half = precision !== 'float32'
  const words = `${ok} of ${wanted.length} cases within their bounds${bad.length ? `; not ${bad.map(text => text.split(':')[0]).join(', ')}` : ''}${half ? ' (in half precision some models leave them on the CPU too)' : ''}`
  return { status: half && !ended.cut && ok > 0 ? 'passed' : statusOf(ended), summary: words, details: lines }
}

async function training(most: number): Promise<Omit<Stage, 'name' | 'seconds'>> {
  const found: { precision: string, passed: boolean, difference: number, sameBits: boolean }[] = []
  const ended = await runChild(node, [script('test/gpu/training.js'), quick || emulated ? '6' : '30'], { env: {}, limit: most, log, line: text => { try { found.push(JSON.parse(text) as typeof found[number]) } catch { /* a word between */ } } })
  return { status: statusOf(ended), summary: `losses beside the CPU's: ${found.map(f => `${f.precision} ${f.difference.toExponential(1)} apart${f.sameBits ? '' : ', other bits the second time'}`).join('; ') || 'none came'}`, details: found }
}

async function sanitizer(most: number): Promise<Omit<Stage, 'name' | 'seconds'>> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), join(process.env['CUDA_HOME'] ?? '/usr/local/cuda', 'bin'), '/usr/local/cuda/bin', '/usr/local/cuda/compute-sanitizer']
  const program = folders.map(folder => join(folder, 'compute-sanitizer')).find(path => existsSync(path) && statSync(path).isFile())
  if (program === undefined) return { status: 'not run', summary: 'no compute-sanitizer on the PATH or in the CUDA toolkit' }
  const end = performance.now() + most, exe = primitives(emulated ? 'simt' : 'cuda'), done: string[] = [], bad: string[] = []
  const runs = [...['memcheck', 'racecheck', 'synccheck'].map(tool => [`${tool} of the primitives`, ['--tool', tool, '--error-exitcode', '9', exe]] as const),
    ...['softmax', 'rmsNorm', 'matmul'].map(op => [`memcheck of ${op}`, ['--tool', 'memcheck', '--error-exitcode', '9', node, script('test/gpu/opTests.js'), script(`test/ops/${op}.cases.test.js`)]] as const)]
  for (const [name, args] of runs) {
    const left = end - performance.now()
    if (left < 1000) { bad.push(`${name}: no time was left`); continue }
    const ended = await runChild(program, args, { env: environment, limit: left, log })
    if (ended.status === 0) done.push(name)
    else bad.push(`${name}: ${ended.cut ? 'cut short' : `exit status ${ended.status}`}`)
  }
  const cut = bad.length > 0 && bad.every(text => /no time|cut short/.test(text))
  return { status: bad.length === 0 ? 'passed' : cut ? 'cut short' : 'failed', summary: [done.length ? `clean: ${done.join(', ')}` : '', ...bad].filter(Boolean).join('; ') }
}

async function benchmarks(most: number): Promise<Omit<Stage, 'name' | 'seconds'>> {
  const named = process.env['WARPWEFT_PYTHON'], python = named ?? (emulated ? undefined : 'python3')
  results.conditions = [
    'Times are milliseconds of a run, median (least–greatest) over batches of runs that are queued one behind the other and end with a synchronisation; both sides are timed alike, by the clock of the host.',
    'The two take turns, work by work, in processes that live as long as the measurement; each frees its memory after a work. Ratio: PyTorch\'s time in parts of warpweft\'s.',
    'Inputs are standard normal (warpweft: a block of 2^18 numbers, repeated). L2 is warm: runs follow each other on the same operands, nothing is flushed. Streaming works take more than any L2 holds.',
    'PyTorch: cuBLASLt, the fastest of its attention backends (named), fused AdamW, torch.compile for the step; attention takes [B, H, S, D] views of [B, S, H, D].',
    'Clocks are as the machine has them: nothing is locked.',
  ]
  const { peer, notRun } = await runBenchmarks({
    node, worker: script('bench/gpu/worker.js'), python, peer: join(root, 'bench/gpu/peer.py'), emulated, quick, env: environment, limit: most, log,
    tell: row => { results.benchmarks.push(row); write() },
  })
  results.peer = peer
  const broken = results.benchmarks.filter(row => 'error' in row.warpweft)
  return {
    status: broken.length ? 'failed' : notRun.length ? 'cut short' : 'passed',
    summary: [`${results.benchmarks.length} works, peer ${peer}`, ...broken.length ? [`failed: ${broken.map(row => row.name).join(', ')}`] : [], ...notRun.length ? [`no time for ${notRun.join(', ')}`] : []].join('; '),
  }
}

say(`warpweft ${kit.version}, kernels for ${kit.architectures}: ${devices[0] ?? why ?? 'no GPU'}${emulated ? ' (the emulator in a GPU\'s place)' : ''}`)
if (devices.length === 0) {
  results.stages.push({ name: 'device', status: 'failed', seconds: elapsed(), summary: why ?? 'there is no GPU' })
  write()
  console.error('nothing was run: there is no GPU that can be used. WARPWEFT_CUDA=simt puts the emulator in its place')
  process.exitCode = 1
} else {
  await stage('primitives', 30, comparePrimitives)
  await stage('op cases', 170, opCases)
  await stage('parity float32', 60, most => parity('float32', most))
  if (!quick) for (const precision of ['bfloat16', 'float16']) await stage(`parity ${precision}`, 30, most => parity(precision, most))
  await stage('training', 40, training)
  await stage('compute-sanitizer', 45, sanitizer)
  await stage('benchmarks', 200, benchmarks)
  const notPassed = results.stages.filter(s => s.status !== 'passed')
  say(`${results.stages.length - notPassed.length} of ${results.stages.length} stages passed in ${elapsed().toFixed(0)} s${notPassed.length ? `; ${notPassed.map(s => `${s.name}: ${s.status}`).join(', ')}` : ''}. ${emulated ? 'Nothing ran on hardware.' : `Verified on hardware (${results.capability}): ${results.verified ? 'yes' : 'no'}.`} Results: ${out}`)
  if (results.stages.some(s => s.status === 'failed')) process.exitCode = 1
}
logFile.end()
