import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { Readable } from 'node:stream'
import { describe, expect, jest, test } from '@jest/globals'
import { commands } from '#lib/cli/commandLine.js'
import { inFlags } from '#lib/cli/inFlags.js'
import { standardInput } from '#lib/cli/standardInput.js'
import { Options, parseCommandLine, UsageError } from '#lib/cli/arguments.js'
import { DataError } from '#lib/errors.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { runCli } from './runCli.js'

const at = temporaryFolder()
jest.setTimeout(90_000)

/** Runs a command within this process, as far as its first mistake. */
const run = (name: string, ...args: string[]): Promise<unknown> => {
  const { operands, options } = parseCommandLine(name, commands[name]!, args)
  return commands[name]!.run(operands, options).catch((error: unknown) => error)
}

describe('a mistake is told before the text is read', () => {
  // The text does not exist: reading it would be another error.
  const none = '/none.tsv'
  test.each<[string, string[], RegExp]>([
    ['a width that the heads do not divide', ['--d-model', '33'], /dModel 33 is not a multiple of the 4 heads/],
    ['a dropout above 1', ['--dropout', '2'], /dropout is 2/],
    ['an activation that is none', ['--activation', 'foo'], /activation is 'foo'/],
    ['a layer count that is no number', ['--layers', 'x'], /--layers is 'x', expected a number/],
    ['NaN', ['--learning-rate', 'NaN'], /--learning-rate is 'NaN', expected a finite number > 0/],
    ['infinity', ['--dropout', 'Infinity'], /--dropout is 'Infinity', expected a finite number/],
    ['a kind of tokenizer that is none', ['--tokenizer-kind', 'foo'], /--tokenizer-kind is 'foo', expected one of bytelevel/],
    ['three files of validation', ['--validation', 'a,b,c'], /expected one file, or two/],
    ['an option of the schedule that it does not have', ['--lr-scheduler-kwargs', '{"bad":1}'], /unknown option bad/],
    ['options of another optimizer', ['--optim-args', '{"momentum":0.9}'], /optimArgs is for 'sgd'/],
    ['options that contradict each other', ['--eval-strategy', 'steps'], /needs evalSteps/],
    ['a metric that no evaluation gives', ['--metric-for-best-model', 'bleu'], /'bleu', but the evaluation gives loss, perplexity.*predictWithGenerate: true/],
    ['a checkpoint that is not there', ['--resume-from-checkpoint', '/none'], /\/none is no checkpoint: there is no such folder/],
  ])('%s', async (_, args, message) => {
    expect(String(await run('train', none, '--output-dir', at('out'), ...args))).toMatch(message)
    expect(existsSync(at('out'))).toBe(false)
  })

  test('an output folder that is a file, below a file, or in use', async () => {
    writeFileSync(at('file'), '')
    expect(String(await run('train', none, '--output-dir', at('file')))).toMatch(/it is a file, not a folder/)
    expect(String(await run('train', none, '--output-dir', at('file', 'out')))).toMatch(/file is a file, not a folder/)
    mkdirSync(at('used', 'checkpoint-7'), { recursive: true })
    writeFileSync(at('used', 'checkpoint-7', 'trainer_state.json'), '{}')
    expect(String(await run('train', none, '--output-dir', at('used')))).toMatch(/holds checkpoints of an earlier training, up to step 7/)
    // Replacing is for later: the text may be wrong.
    expect(String(await run('train', none, '--output-dir', at('used'), '--overwrite-output-dir'))).toMatch(/no such file/)
    expect(existsSync(at('used', 'checkpoint-7'))).toBe(true)
  })

  test.each(['translate', 'evaluate'])('%s: a place that cannot be written, before the work is done', async name => {
    expect(String(await run(name, 'model', none, '--output', at('none', 'out')))).toMatch(/there is no folder .*none/)
    expect(String(await run(name, 'model', none, '--output', at()))).toMatch(/it is a folder, not a file/)
  })

  test('more translations than beams name the flag to add', async () => {
    expect(String(await run('translate', 'model', '--n-best', '5'))).toMatch(/--n-best is 5, but there are 4 beams: add --num-beams 5/)
  })
})

test('an empty argument and an unknown command of help are mistakes', async () => {
  expect(() => parseCommandLine('info', commands['info']!, [''])).toThrow(UsageError)
  expect(() => new Options(new Map([['x', '-Infinity']])).number('x')).toThrow('expected a finite number')
  const [help, version] = await Promise.all([runCli(['help', 'trian']), runCli(['--versoin'])])
  expect(help).toMatchObject({ code: 2, out: '' })
  expect(help.err).toMatch(/^warpweft: there is no command 'trian'; do you mean train\? .*\n$/)
  expect(version.code).toBe(2)
  expect(version.err).toContain('do you mean --version?')
})

test('messages of the library name flags where they name options, and leave paths and words alone', () => {
  const say = (message: string): string => inFlags(message, commands['train']!)
  expect(say('Go on: resumeFromCheckpoint: true; remove them: overwriteOutputDir: true; or choose another outputDir.'))
    .toBe('Go on: --resume-from-checkpoint true; remove them: --overwrite-output-dir; or choose another --output-dir.')
  expect(say("cut it with policy: 'truncate'. The policy of maxTokens 12")).toBe('cut it with --policy truncate. The policy of --max-tokens 12')
  expect(say("/data/maxTokens/x.maxTokens.tsv and 'maxTokens', normFirst: false")).toBe("/data/maxTokens/x.maxTokens.tsv and 'maxTokens', --no-norm-first")
})

describe('standard input', () => {
  const stream = (...chunks: (string | Uint8Array)[]): NodeJS.ReadStream =>
    Readable.from(chunks.map(chunk => Buffer.from(chunk)), { objectMode: false }) as unknown as NodeJS.ReadStream
  const read = async (...chunks: (string | Uint8Array)[]): Promise<string[]> => {
    const lines: string[] = []
    for await (const some of standardInput(stream(...chunks))) lines.push(...some)
    return lines
  }

  test('is lines, however its bytes are cut: characters in the middle, a mark at the start, CRLF, no end of line at the end', async () => {
    const bytes = Buffer.from('\uFEFFfünf\r\n\n한 줄\nlast')
    for (const cut of [3, 5, 6, 9, 12, 14]) expect(await read(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(['fünf', '', '한 줄', 'last'])
    expect(await read('')).toEqual([])
  })

  test('that is no text in UTF-8 is named by its line, after the lines before it', async () => {
    const lines: string[] = []
    const reading = async (): Promise<void> => { for await (const some of standardInput(stream('one\ntwo\n', Uint8Array.of(0xFC, 10)))) lines.push(...some) }
    await expect(reading()).rejects.toThrow(/^standard input, line 3: not valid UTF-8/)
    expect(lines).toEqual(['one', 'two'])
    await expect(read('a\nb\0c\n')).rejects.toThrow(/line 2: a NUL byte/)
    await expect(read(gzipSync('one\ntwo\n'.repeat(100)), '\n')).rejects.toThrow(/compressed by gzip/)
    await expect(read('a\n', 'x'.repeat(1 << 20), 'y')).rejects.toThrow(DataError)
  })
})
