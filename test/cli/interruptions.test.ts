import { execFileSync, spawnSync } from 'node:child_process'
import { createWriteStream, existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { describe, expect, jest, test } from '@jest/globals'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { mainPath, runCli, type Running } from './runCli.js'

const at = temporaryFolder()
// Each test starts the command several times, on machines that do other things as well.
jest.setTimeout(240_000)

const small = ['--d-model', '16', '--layers', '1', '--heads', '2', '--vocab-size', '60', '--max-tokens', '128', '--validation-size', '5', '--logging-steps', '1']
const text = (): string => {
  writeFileSync(at('text.tsv'), Array.from({ length: 60 }, (_, i) => `a${'bcd'[i % 3]} ${'efg'[i % 2]}\tx${'yzw'[i % 3]} ${'uv'[i % 2]}\n`).join(''))
  return at('text.tsv')
}
const trainedModel = async (): Promise<string> => {
  expect(await runCli(['train', text(), '--output-dir', at('model'), '--max-steps', '1', ...small])).toMatchObject({ code: 0 })
  return at('model')
}
/** Acts once, as soon as there is something to act on. */
const once = (when: (running: Running) => boolean, act: (running: Running) => void) => {
  let done = false
  return (running: Running): void => {
    if (done || !when(running)) return
    done = true
    act(running)
  }
}

describe('a signal gets one line, and ends the process as shells expect', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('%s while the text is read, be it from a pipe into which nobody writes: nothing was written', async signal => {
    execFileSync('mkfifo', [at('pipe.tsv')])
    // A named pipe opens when both sides are there: then the command is reading.
    const writer = createWriteStream(at('pipe.tsv'))
    let kill: (() => void) | undefined, opened = false
    writer.on('open', () => { opened = true; kill?.() })
    const stopped = await runCli(['train', at('pipe.tsv'), '--output-dir', at('model'), ...small], { input: null, onChange: ({ kill: send }) => {
      kill = () => { send(signal) }
      if (opened) kill()
    } })
    writer.destroy()
    expect(stopped).toEqual({ code: null, signal, out: '', err: `warpweft: ${signal} while reading the text. Nothing was written: run the same command again.\n` })
    expect(existsSync(at('model'))).toBe(false)
  })

  test('while standard input is translated: a line comes out for each line that has gone in, before the end of input', async () => {
    const model = await trainedModel()
    const stopped = await runCli(['translate', model, '--num-beams', '1', '--max-length', '5'], { input: null, onChange: (() => {
      const steps = [
        once(() => true, ({ write }) => { write('ab e\n') }),
        once(({ out }) => out.split('\n').length === 2, ({ write }) => { write('ac f\nad ') }),
        once(({ out }) => out.split('\n').length === 3, ({ kill }) => { kill('SIGINT') }),
      ]
      return (running: Running) => { for (const step of steps) step(running) }
    })() })
    expect(stopped).toMatchObject({ code: null, signal: 'SIGINT', err: 'warpweft: SIGINT while translating. 2 lines are written.\n' })
  })

  test('a second one while training ends at once, and says so', async () => {
    const first = once(({ err }) => err.includes('step 2/'), ({ kill }) => { kill('SIGINT') })
    const second = once(({ err }) => err.includes('SIGINT: finishing'), ({ kill }) => { kill('SIGINT') })
    const stopped = await runCli(['train', text(), '--output-dir', at('model'), '--max-steps', '100000', ...small], { onChange: running => { first(running); second(running) } })
    expect(stopped.code).toBe(130)
    expect(stopped.err).not.toMatch(/\n {4}at |unexpected;/)
    // Either the second one came first, or the training had saved before it came.
    expect(stopped.err).toMatch(/SIGINT again: exiting at once|Stopped after step \d+/)
  })
})

describe('what is computed is not lost', () => {
  const saving = ['--max-steps', '100000', '--save-steps', '5', ...small]

  test('where the output folder cannot be written any more, the step is saved in the working folder, and a training goes on from there', async () => {
    const broken = once(({ err }) => err.includes('step 7/'), () => {
      renameSync(at('model'), at('moved'))
      writeFileSync(at('model'), '')
    })
    const failed = await runCli(['train', text(), '--output-dir', at('model'), ...saving], { cwd: at(), onChange: broken })
    expect(failed.code).toBe(1)
    const [, step, checkpoint] = /Step (\d+) is saved in (\S+): go on with --resume-from-checkpoint \S+\.\n$/.exec(failed.err)!
    expect(checkpoint).toBe(at('model-rescued', `checkpoint-${step}`))
    expect(failed.err).not.toContain('saveCheckpoint')
    expect(failed.err.match(/The log misses lines/g)).toHaveLength(1)
    expect(readdirSync(at('moved'))).toContain('checkpoint-5')
    const resumed = await runCli(['train', text(), '--output-dir', at('next'), '--max-steps', String(Number(step) + 1), ...small, '--resume-from-checkpoint', checkpoint!])
    expect(resumed.code).toBe(0)
    expect(resumed.err).toContain(`step ${step}.`)
  })

  test('a training goes on where nobody reads its messages any more', async () => {
    const unread = once(({ err }) => err.includes('step 2/'), ({ closeErr }) => { closeErr() })
    expect(await runCli(['train', text(), '--output-dir', at('model'), '--max-steps', '60', ...small], { onChange: unread })).toMatchObject({ code: 0 })
    expect(existsSync(at('model', 'model.safetensors'))).toBe(true)
  })

  test('translations before a line that cannot be translated are in FILE.partial, and the line is named', async () => {
    const model = await trainedModel()
    writeFileSync(at('lines'), `${'ab e\n'.repeat(1500)}${'ab '.repeat(3000)}\n`)
    const failed = await runCli(['translate', model, at('lines'), '--num-beams', '1', '--max-length', '3', '--output', at('out')])
    expect(failed).toMatchObject({ code: 1, out: '' })
    expect(failed.err).toMatch(/^warpweft: \S+lines, line 1501, has \d+ tokens, .*--policy truncate\. 1,024 lines are in \S+out\.partial\.\n$/)
    expect(readFileSync(at('out.partial'), 'utf8').split('\n')).toHaveLength(1025)
    expect(existsSync(at('out'))).toBe(false)
  })

  test('a full disk behind standard output is told', () => {
    const { status, stderr } = spawnSync('sh', ['-c', '"$0" "$1" doctor > /dev/full', process.execPath, mainPath], { encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toBe('warpweft: cannot write to standard output: no space is left on the disk. Free some, or choose another folder.\n')
  })
})
