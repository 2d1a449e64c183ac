import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, jest, test } from '@jest/globals'

const folder = resolve(process.cwd(), 'examples')
jest.setTimeout(60_000)

interface Finished { code: number | null, out: string, err: string }

/** Runs an example in a process of its own, from another folder: it finds the package by its name. */
function runExample(name: string, ...args: string[]): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(folder, name), ...args], { cwd: '/' })
    let out = '', err = ''
    child.stdout.on('data', chunk => { out += String(chunk) })
    child.stderr.on('data', chunk => { err += String(chunk) })
    child.on('error', reject)
    child.on('close', code => { resolve({ code, out, err }) })
  })
}

async function linesOf(name: string, ...args: string[]): Promise<string[]> {
  const { code, out, err } = await runExample(name, ...args)
  if (code !== 0) throw new Error(`${name} ended with ${String(code)}: ${err}`)
  return out.trimEnd().split('\n')
}

/** Number behind a pattern in one of the lines. */
function numberIn(lines: readonly string[], pattern: RegExp): number {
  const found = lines.map(line => pattern.exec(line)).find(match => match !== null)
  if (!found) throw new Error(`no line is ${String(pattern)}:\n${lines.join('\n')}`)
  return Number(found[1])
}

/** What each example prints after a few steps. */
const examples: Record<string, () => Promise<void>> = {
  'train-translation.mjs': async () => {
    const lines = await linesOf('train-translation.mjs', '3')
    expect(lines[0]).toMatch(/^4,500 read, 4,500 kept; validation: 250 pairs; vocabulary: 1,500 tokens$/)
    expect(lines[1]).toMatch(/^\d+ parameters, 3 steps$/)
    expect(numberIn(lines, /^trained: 3 steps, validation loss (\d+\.\d{3}), perplexity \d+\.\d{2}$/)).toBeGreaterThan(0)
    expect(lines.filter(line => /^ {2}\(expected: .+\)$/.test(line))).toHaveLength(4)
    expect(numberIn(lines, /^chrF on 40 unseen phrases: (\d+\.\d)$/)).toBeLessThanOrEqual(100)
  },
  'language-model.mjs': async () => {
    const lines = await linesOf('language-model.mjs', '3')
    expect(lines[0]).toMatch(/^\d+ lines, \d+ tokens, vocabulary: 320$/)
    expect(numberIn(lines, /^trained: 3 steps, loss (\d+\.\d{3}) a token$/)).toBeGreaterThan(0)
    expect(lines).toContain('prompt: From fifty-seven:')
    expect(lines).toContain('expected: fifty-eight, fifty-nine, sixty, sixty-one, sixty-two, sixty-three.')
    const tokens = numberIn(lines, /^(\d+) tokens were streamed$/)
    expect(tokens).toBeGreaterThan(0)
    expect(tokens).toBeLessThanOrEqual(40)
  },
  'hugging-face.mjs': async () => {
    const lines = await linesOf('hugging-face.mjs', '3')
    expect(lines[0]).toBe('files: config.json, model.safetensors, tokenizer.json, tokenizer_config.json')
    expect(lines.some(line => line.startsWith('before: After Monday comes'))).toBe(true)
    expect(numberIn(lines, /^trained: 3 steps, loss (\d+\.\d{3}) a token$/)).toBeGreaterThan(0)
    expect(lines).toContain('adapter: adapter_config.json, adapter_model.safetensors')
    expect(lines.some(line => line.startsWith('after: After Monday comes'))).toBe(true)
  },
  'generate.mjs': async () => {
    const text = (await linesOf('generate.mjs')).join('\n')
    expect(text).toMatch(/^streamed: Once upon a time./)
    expect(text).toMatch(/\nsample 1: ".*", log-probability -\d+\.\d\d\n\nsample 2: /)
    const [, json] = /\nin a form: (.*)$/.exec(text)!, { name, age } = JSON.parse(json!) as { name: string, age: number }
    expect([name.length <= 8, Number.isInteger(age), age >= 0 && age <= 120]).toEqual([true, true, true])
  },
  'fine-tune.mjs': async () => {
    const lines = await linesOf('fine-tune.mjs', '40')
    expect(numberIn(lines, /^trained are (\d+) of \d+ parameters$/)).toBeLessThan(numberIn(lines, /^trained are \d+ of (\d+) parameters$/) / 4)
    expect(numberIn(lines, /^trained: 40 steps, loss (\d+\.\d{3}) a token$/)).toBeLessThan(5)   // ln 300 = 5.7 at the beginning
    expect(lines.at(-1)).toMatch(/^merged: After Monday comes./)
  },
  'chat.mjs': async () => {
    const text = (await linesOf('chat.mjs')).join('\n'), counts = [...text.matchAll(/^\((\d+) tokens asked, (\d+) kept\)$/gm)].map(([, asked, kept]) => [Number(asked), Number(kept)])
    expect(text).toMatch(/^user: Who are you\?\nassistant: /)
    expect(counts.length).toBe(2)
    for (const [asked, kept] of counts) expect(kept).toBeGreaterThanOrEqual(asked!)
    expect(counts[1]![0]).toBeGreaterThan(counts[0]![1]!)
  },
  'serve.mjs': async () => {
    const lines = await linesOf('serve.mjs')
    expect(lines.slice(0, 3).every(line => line.startsWith('200 "') && (JSON.parse(line.slice(4)) as string).length > 0)).toBe(true)
    expect(lines[3]).toMatch(/^400 "inputIds: row 0 is empty/)
    expect(lines[4]).toBe('in the end: 0 run, 0 wait')
  },
  'own-model.mjs': async () => {
    const lines = await linesOf('own-model.mjs', '5')
    expect(lines[0]).toMatch(/^\d+ parameters, the first is embedding\.weight$/)
    expect(numberIn(lines, /^step 5: loss (\d+\.\d{4})$/)).toBeGreaterThan(0)
    expect(numberIn(lines, /^right on (\d+) of 64 new sequences$/)).toBeLessThanOrEqual(64)
    expect(lines.at(-1)).toBe('tensors left over: 0')
  },
  'custom-op.mjs': async () => {
    const lines = await linesOf('custom-op.mjs')
    expect(lines.slice(0, 3)).toEqual([
      `mish: ${mish.map(([y]) => y!.toFixed(4)).join(' ')}`,
      `gradient: ${mish.map(([, slope]) => slope!.toFixed(4)).join(' ')}`,
      'gradcheck: the gradient of mish is right',
    ])
    expect(lines[3]).toMatch(/^gradcheck: ERR_AUTOGRAD: gradcheck: along a random direction of input 0, \[2, 3\]/)
  },
}

// x tanh(ln(1 + e^x)) and its derivative where the example takes them.
const mish = [-3, -1, -0.5, 0, 0.5, 2].map(x => {
  const t = Math.tanh(Math.log1p(Math.exp(x)))
  return [x * t, t + x * (1 - t * t) / (1 + Math.exp(-x))]
})

describe('examples', () => {
  test.each(Object.entries(examples))('%s prints what it says it computes', async (_, check) => { await check() })

  test('every example is run here', () => {
    expect(readdirSync(folder).filter(name => name.endsWith('.mjs')).sort()).toEqual(Object.keys(examples).sort())
  })
})
