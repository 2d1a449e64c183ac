import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describe, expect, jest, test } from '@jest/globals'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { runCli } from './runCli.js'

const at = temporaryFolder()
jest.setTimeout(240_000)

const words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven'], worte = ['eins', 'zwei', 'drei', 'vier', 'fünf', 'sechs', 'sieben']
/** Numbers word for word: enough for a tiny model to train on. */
const pairs = Array.from({ length: 400 }, (_, i) => {
  const digits = [i % 7, (3 * i + 1) % 7, Math.floor(i / 7) % 7]
  return [digits.map(d => words[d]).join(' '), digits.map(d => worte[d]).join(' ')] as const
})
const tsv = (): string => {
  writeFileSync(at('text.tsv'), pairs.map(pair => `${pair.join('\t')}\n`).join(''))
  return at('text.tsv')
}
const small = ['--d-model', '32', '--layers', '1', '--vocab-size', '120', '--max-tokens', '256', '--validation-size', '20', '--logging-steps', '1']
const oneLine = /^warpweft: [^\n]+\n$/

describe('train, translate, evaluate and info', () => {
  test('a model is trained from a file, translates standard input in order, is scored and described', async () => {
    const trained = await runCli(['train', tsv(), '--output-dir', at('model'), '--max-steps', '12', ...small])
    expect(trained).toMatchObject({ code: 0, out: '' })
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json']) expect(existsSync(at('model', file))).toBe(true)

    const greedy = await runCli(['translate', at('model'), '--num-beams', '1', '--max-length', '12'], { input: 'one two\n\nthree four five\n' })
    expect(greedy).toMatchObject({ code: 0, err: '' })
    expect(greedy.out.split('\n')).toHaveLength(4)
    expect(greedy.out.split('\n')[1]).toBe('')   // an empty line stays one

    writeFileSync(at('lines.txt.gz'), gzipSync('one two\nsix\n'))
    const nBest = await runCli(['translate', at('model'), at('lines.txt.gz'), '--n-best', '2', '--num-beams', '3', '--max-length', '12', '--output', at('out.txt')])
    expect(nBest).toMatchObject({ code: 0, out: '', err: '' })
    const rows = readFileSync(at('out.txt'), 'utf8').trimEnd().split('\n').map(row => row.split('\t'))
    expect(rows.map(([line]) => line)).toEqual(['1', '1', '2', '2'])
    expect(Number(rows[0]![1])).toBeGreaterThanOrEqual(Number(rows[1]![1]))

    const scored = await runCli(['evaluate', at('model'), at('text.tsv'), '--num-beams', '1', '--max-length', '12', '--json'])
    expect(scored.code).toBe(0)
    const scores = JSON.parse(scored.out) as Record<'bleu' | 'chrf' | 'ter', { score: number, signature: string }> & { pairs: number }
    expect(scores.pairs).toBe(400)
    expect(scores.bleu.signature).toContain('tok:13a')

    const info = JSON.parse((await runCli(['info', at('model'), '--json'])).out) as { model: string, parameters: number }
    expect(info.model).toBe('Transformer')
    expect(info.parameters).toBeGreaterThan(10_000)
  })

  test.each([['SIGINT', 130], ['SIGTERM', 143]] as const)('%s while training saves, exits with %i, and the same command resumes', async (signal, code) => {
    const command = ['train', tsv(), '--output-dir', at('model'), '--max-steps', '4000', ...small]
    let sent = false
    const stopped = await runCli(command, { onOutput: (err, kill) => {
      if (sent || !err.includes('step 3/')) return
      sent = true
      kill(signal)
    } })
    expect(stopped).toMatchObject({ code, out: '' })
    expect(stopped.err).toContain('--resume-from-checkpoint true')
    const step = Number(/Stopped after step (\d+)/.exec(stopped.err)![1])
    expect(readdirSync(at('model'))).toContain(`checkpoint-${step}`)
    const resumed = await runCli([...command.slice(0, 4), '--max-steps', String(step + 2), ...small, '--resume-from-checkpoint', 'true'])
    expect(resumed.err).toContain(`Resuming from ${at('model', `checkpoint-${step}`)}, step ${step}.`)
    expect(resumed.code).toBe(0)
  })
})

describe('what goes wrong is told in one line, and leaves nothing behind', () => {
  const cases: [string, () => string[], RegExp][] = [
    ['an empty file', () => { writeFileSync(at('a.tsv'), ''); return ['train', at('a.tsv'), '--output-dir', at('m')] }, /a\.tsv: empty/],
    ['a binary file', () => { writeFileSync(at('a.tsv'), Buffer.from([1, 0, 2, 255])); return ['train', at('a.tsv'), '--output-dir', at('m')] }, /binary/],
    ['a missing file', () => ['train', at('none.tsv'), '--output-dir', at('m')], /no such file/],
    ['a folder for a file', () => { mkdirSync(at('d.tsv')); return ['train', at('d.tsv'), '--output-dir', at('m')] }, /d\.tsv/],
    ['files of different length', () => {
      writeFileSync(at('a'), 'x\ny\n')
      writeFileSync(at('b'), 'x\n')
      return ['train', at('a'), at('b'), '--output-dir', at('m')]
    }, /has 2 lines, .* has 1/],
    ['a missing model', () => ['translate', at('none')], /there is no such folder/],
    ['a model whose weights are cut off', () => {
      mkdirSync(at('m2'))
      writeFileSync(at('m2', 'config.json'), JSON.stringify({ model_type: 'warpweft-transformer', vocabSize: 10, dModel: 8, heads: 2, layers: 1 }))
      writeFileSync(at('m2', 'model.safetensors'), Buffer.alloc(5))
      return ['translate', at('m2')]
    }, /model\.safetensors/],
    ['a locale that does not exist', () => ['demo', '--target', 'nonsense-locale-name'], /locale/],
    ['two times the same language', () => ['demo', '--target', 'en'], /same language/],
  ]
  test.each(cases)('%s', async (_, args, message) => {
    const result = await runCli(args())
    expect(result.code).toBe(1)
    expect(result.err).toMatch(oneLine)
    expect(result.err).toMatch(message)
    expect(result.err).not.toContain('unexpected;')
    expect(existsSync(at('m'))).toBe(false)
  })

  test('a folder that cannot be written is told before the training, not after it', async () => {
    // Root writes everywhere: a file where the folder should be stands for it there.
    const blocked = at('blocked')
    if (process.getuid?.() === 0) writeFileSync(blocked, '')
    else { mkdirSync(blocked); chmodSync(blocked, 0o555) }
    const result = await runCli(['train', tsv(), '--output-dir', at('blocked', 'model'), '--max-steps', '3', ...small])
    expect(result.code).toBe(1)
    expect(result.err.trimEnd().split('\n').at(-1)).toMatch(/^warpweft: .*blocked/)
    expect(result.err).not.toMatch(/step 1\/3/)
  })
})

test('demo: goes on where it was interrupted, scores unseen phrases, shows translations and keeps the model', async () => {
  let sent = false
  const stopped = await runCli(['demo', '--steps', '100000', '--target', 'de', '--output-dir', at('demo')], { onOutput: (err, kill) => {
    if (sent || !err.includes('step 50/')) return
    sent = true
    kill('SIGINT')
  } })
  expect(stopped.code).toBe(130)
  expect(stopped.out).toMatch(/Stopped: the same command goes on from here\.\n$/)
  const step = Number(/checkpoint-(\d+)/.exec(readdirSync(at('demo')).join(' '))![1])
  const result = await runCli(['demo', '--steps', String(step + 1), '--target', 'de', '--output-dir', at('demo')])
  expect(result.code).toBe(0)
  expect(result.err).toContain(`checkpoint-${step}, step ${step}.`)
  expect(result.out).toMatch(/On 1,000 phrases that it never saw: BLEU \d+\.\d/)
  expect(existsSync(at('demo', 'model.safetensors'))).toBe(true)
})

test('demo: a Node without full locale data gets one line and no score', async () => {
  const smallIcu = '--import "data:text/javascript,Intl.DateTimeFormat.supportedLocalesOf=()=>[]"'
  const result = await runCli(['demo'], { env: { NODE_OPTIONS: smallIcu } })
  expect(result).toMatchObject({ code: 1, out: '' })
  expect(result.err).toMatch(/^warpweft: this Node .* has no full locale data.* full ICU .*\n$/)
})

test('instructions that nothing has: one line says which there are, for every command', async () => {
  for (const args of [['doctor'], ['demo'], ['train', '--help']]) {
    const result = await runCli(args, { env: { WARPWEFT_ISA: 'mmx' } })
    expect(result).toMatchObject({ code: 1, out: '' })
    expect(result.err).toMatch(/^warpweft: WARPWEFT_ISA=mmx is not known, expected one of: .*baseline\n$/)
  }
})

test('doctor says what computes and why no GPU does', async () => {
  const facts = JSON.parse((await runCli(['doctor', '--json'], { env: { WARPWEFT_ISA: 'baseline', WARPWEFT_THREADS: '1', WARPWEFT_CUDA: 'off', WARPWEFT_DEVICE: '' } })).out) as Record<string, string>
  expect(facts['instructions']).toContain('baseline')
  expect(facts['threads']).toBe('1 (WARPWEFT_THREADS=1)')
  expect(facts['gpu']).toBe('none: GPUs are switched off by WARPWEFT_CUDA=off')
  expect(facts['device']).toBe("cpu; 'auto' is cpu: GPUs are switched off by WARPWEFT_CUDA=off")
})

describe('bench --profile', () => {
  test('a step op by op, figures and trace in files', async () => {
    const { code, out, err } = await runCli(['bench', '--profile', '--output', at('profile.json'), '--trace', at('trace.json')])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/one training step/)
    expect(out).toMatch(/\nmatmul +\d+ /)
    const { ops, milliseconds } = JSON.parse(readFileSync(at('profile.json'), 'utf8')) as { ops: { op: string, milliseconds: number }[], milliseconds: number }
    expect(ops.map(({ op }) => op)).toEqual(expect.arrayContaining(['matmul', 'attention', 'attentionBackward', 'layerNorm', 'crossEntropy', 'adamW']))
    expect(ops.reduce((sum, op) => sum + op.milliseconds, 0)).toBeLessThan(milliseconds)
    const { traceEvents } = JSON.parse(readFileSync(at('trace.json'), 'utf8')) as { traceEvents: { ph: string }[] }
    expect(traceEvents.filter(({ ph }) => ph === 'X').length).toBeGreaterThan(50)
  })

  test('a trace without a profile is a mistake', async () => {
    expect(await runCli(['bench', '--trace', at('none.json')])).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/--trace is of --profile: give both/) as unknown })
    expect(existsSync(at('none.json'))).toBe(false)
  })
})
