// npm run test:gpu-pack: packs the folder that verifies GPUs with the emulator alone, unpacks it elsewhere and runs it there, quickly, where there is neither npm nor node nor a network on
// the PATH. Shows that every stage goes through, that a failure and a limit are told, and that such results verify nothing.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BuildError, main, runQuietly, which } from './command.mjs'
import { refusal } from './gpuAccept.mjs'
import { pack } from './gpuPack.mjs'

const expectThat = (holds, what) => { if (!holds) throw new BuildError(`test:gpu-pack: ${what}`) }

await main(async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'warpweft-gpu-pack-')))
  try {
    const { file, size, cases } = await pack({ backend: 'simt', folder: join(folder, 'packed/warpweft-gpu') })
    console.log(`${(size / 1e6).toFixed(1)} MB, ${cases} parity cases`)
    const away = join(folder, 'a machine'), tools = join(folder, 'bin')
    for (const path of [away, tools]) mkdirSync(path)
    runQuietly('tar', ['-C', away, '-xf', file], { failure: 'test:gpu-pack: the archive could not be unpacked' })
    rmSync(join(folder, 'packed'), { recursive: true })
    for (const name of ['bash', 'dirname']) symlinkSync(which(name), join(tools, name))
    // A compute-sanitizer that finds nothing: the programs behind its options run as they are.
    writeFileSync(join(tools, 'compute-sanitizer'), '#!/bin/bash\n[ "$1" = --tool ] && [ "$3" = --error-exitcode ] || exit 2\nshift 4\nexec "$@"\n')
    chmodSync(join(tools, 'compute-sanitizer'), 0o755)
    const verify = (out, ...options) => {
      const { status, stdout, stderr } = spawnSync(join(tools, 'bash'), [join(away, 'warpweft-gpu/gpu-verify.sh'), out, ...options], {
        cwd: folder, encoding: 'utf8', env: { PATH: tools, HOME: folder, WARPWEFT_CUDA: 'simt' }, timeout: 560_000,
      })
      const text = `${stdout}${stderr}`, at = join(folder, out), results = existsSync(join(at, 'results.json')) ? JSON.parse(readFileSync(join(at, 'results.json'), 'utf8')) : undefined
      expectThat(results && existsSync(join(at, 'results.md')), `no results were written:\n${text}`)
      return { status, text, results, stages: Object.fromEntries(results.stages.map(s => [s.name, s])), log: readFileSync(join(at, 'log.txt'), 'utf8'), at }
    }

    const whole = verify('out', '--quick')
    process.stdout.write(whole.text)
    expectThat(whole.status === 0, `a stage failed:\n${whole.log.slice(-4000)}`)
    for (const name of ['primitives', 'op cases', 'parity float32', 'training', 'compute-sanitizer', 'benchmarks'])
      expectThat(whole.stages[name]?.status === 'passed' || (name === 'parity float32' && cases === 0), `${name}: ${whole.stages[name]?.status}, ${whole.stages[name]?.summary}`)
    const { results } = whole
    expectThat(results.emulated && !results.verified && refusal(results) === 'it is of the emulator', 'results of the emulator count as verified')
    expectThat(results.vectors.length > 20 && results.vectors.every(v => v.different === 0) && existsSync(join(whole.at, 'vectors-hardware.bin.gz')), 'the vectors did not come')
    expectThat(results.benchmarks.length > 15 && results.benchmarks.every(row => row.warpweft.milliseconds > 0), 'the benchmarks have no times')
    expectThat(/\| benchmarks \| passed \|/.test(readFileSync(join(whole.at, 'results.md'), 'utf8')), 'the table lacks its stages')

    // One kernel's tests broken: the others run, and the break is named.
    const broken = join(away, 'warpweft-gpu/build/js/test/ops/optimizers.test.js'), sound = readFileSync(broken)
    writeFileSync(broken, `${sound}\ntest('seeded', () => { expect(1).toBe(2) })\n`)
    const failing = verify('failing', '--quick', '--limit', '60')
    expectThat(failing.status === 1 && failing.stages['op cases'].status === 'failed' && /1 failed.*in optimizers/.test(failing.stages['op cases'].summary), `a failed test was not told: ${failing.stages['op cases']?.summary}`)
    expectThat(failing.stages.training?.status === 'passed', 'nothing ran behind a failure')
    writeFileSync(broken, sound)

    const short = verify('short', '--quick', '--limit', '2')
    expectThat(short.results.stages.length === whole.results.stages.length && short.stages.benchmarks.status === 'not run' && short.results.seconds < 15, `the limit was not kept, or what did not run was not told:\n${short.text}`)

    unlinkSync(join(away, 'warpweft-gpu/build/simt/libwarpweft_simt.so'))
    const none = verify('none')
    expectThat(none.status === 1 && none.stages.device?.status === 'failed' && /there is no GPU/.test(none.text), `without a device: ${none.text}`)
    console.log('the folder runs without npm; what failed, what was cut short and what did not run is told')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
