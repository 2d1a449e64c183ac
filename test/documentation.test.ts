import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { saveModel } from '#lib/hub/modelDirectory.js'
import { BertForSequenceClassification } from '#lib/models/bert.js'
import { Llama } from '#lib/models/llama.js'
import { manualSeed } from '#lib/tensor/random.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { mainPath } from './cli/runCli.js'

// The blocks of pages for people, as they stand there, in a folder that has what they name.

jest.setTimeout(300_000)
const folder = mkdtempSync(join(tmpdir(), 'warpweft-documentation-')), at = (...names: string[]): string => join(folder, ...names)
const texts = ['Once upon a time there was a model.', 'Who are you? And this as well.', 'This works without Python. After Monday comes Tuesday.']
const template = '{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}'

beforeAll(async () => {
  manualSeed(1)
  const tokenizer = await Tokenizer.train('bytelevel', texts, { vocabSize: 300 })
  tokenizer.addSpecialTokens(['<|end|>', '<|pad|>'], { eosToken: '<|end|>', padToken: '<|pad|>' })
  const model = new Llama({ vocab_size: tokenizer.vocabSize, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 256 })
  await saveModel(at('model'), model, tokenizer)
  writeFileSync(at('model', 'chat_template.jinja'), template)
  const classifier = new BertForSequenceClassification({ vocab_size: tokenizer.vocabSize, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 48, max_position_embeddings: 128,
    id2label: { 0: 'NEGATIVE', 1: 'POSITIVE' } })
  await saveModel(at('classifier'), classifier, tokenizer)
  for (const made of [model, classifier]) made.dispose()
  writeFileSync(at('data.jsonl'), ['Monday', 'Tuesday', 'Sunday'].map(day => JSON.stringify({ prompt: `After ${day} comes`, completion: ' another.' })).join('\n'))
  // The package as its users find it.
  mkdirSync(at('node_modules'))
  symlinkSync(process.cwd(), at('node_modules', 'warpweft'))
})
afterAll(() => { rmSync(folder, { recursive: true }) })

interface Block { language: string, text: string, line: number }

/** The blocks of a page in JavaScript and for the shell. @param section of the page; default all of it */
function blocksOf(page: string, section?: string): Block[] {
  const whole = readFileSync(page, 'utf8'), from = section === undefined ? 0 : whole.indexOf(`\n## ${section}\n`)
  if (from < 0) throw new Error(`${page} has no section ${String(section)}`)
  const next = section === undefined ? -1 : whole.indexOf('\n## ', from + 1), text = whole.slice(from, next < 0 ? undefined : next)
  return [...text.matchAll(/^```(js|sh)\n(.*?)^```$/gms)].map(({ 1: language, 2: inside, index }) => ({ language: language!, text: inside!, line: whole.slice(0, from + index).split('\n').length }))
}

interface Finished { code: number | null, out: string, err: string }

const finished = (command: string, args: readonly string[]): Promise<Finished> => new Promise((resolve, reject) => {
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = '', err = ''
  child.stdout.on('data', chunk => { out += String(chunk) })
  child.stderr.on('data', chunk => { err += String(chunk) })
  child.on('error', reject)
  child.on('close', code => { resolve({ code, out, err }) })
})

/** Runs a block as somebody would who copies it. `npx warpweft` is the command that the package would install. */
async function run({ language, text, line }: Block): Promise<Finished> {
  if (language === 'sh') return finished('sh', ['-ec', text.replaceAll('npx warpweft', `'${process.execPath}' '${mainPath}'`)])
  writeFileSync(at(`block${line}.mjs`), text)
  return finished(process.execPath, [at(`block${line}.mjs`)])
}

async function runAll(blocks: readonly Block[]): Promise<string[]> {
  const outputs: string[] = []
  for (const block of blocks) {   // one after the other: later ones use what earlier ones wrote
    const { code, out, err } = await run(block)
    if (code !== 0) throw new Error(`the block in line ${block.line} ended with ${String(code)}: ${err}\n${block.text}`)
    outputs.push(out)
  }
  return outputs
}

describe('every block runs as it stands', () => {
  test('docs/hugging-face.md', async () => {
    const blocks = blocksOf('docs/hugging-face.md'), outputs = await runAll(blocks)
    expect(blocks.map(({ language }) => language)).toEqual(['js', 'sh', 'js', 'js', 'sh', 'js', 'sh', 'js'])
    const [generated, , classified, , chatted, , merged, served] = outputs
    expect(generated!.startsWith('\n') || generated!.length > 20).toBe(true)
    expect(classified).toMatch(/POSITIVE|NEGATIVE/)
    expect(chatted!.trim().length).toBeGreaterThan(0)
    expect(merged!.trim().length).toBeGreaterThan(0)
    expect(served!.match(/'|"/g)!.length).toBeGreaterThanOrEqual(6)   // three texts
    for (const [name, file] of [['copy', 'tokenizer.json'], ['adapter', 'adapter_model.safetensors'], ['whole', 'model.safetensors'], ['tuned', 'adapter_config.json'], ['merged', 'model.safetensors']] as const)
      expect(readFileSync(at(name, file)).length).toBeGreaterThan(0)
  })

  test('README.md: models of Hugging Face, with the directories above in place of their ids', async () => {
    const ids: Record<string, string> = { 'Qwen/Qwen3-0.6B': 'model', 'distilbert/distilbert-base-uncased-finetuned-sst-2-english': 'classifier' }
    const local = (text: string): string => Object.entries(ids).reduce((all, [id, name]) => all.replaceAll(id, name), text)
    const blocks = blocksOf('README.md', 'Models of Hugging Face').map(block => ({ ...block, text: local(block.text).split('\n').filter(line => !line.startsWith('npx warpweft download')).join('\n') }))
    expect(blocks.map(({ language }) => language)).toEqual(['js', 'sh'])
    expect((await runAll(blocks))[0]).toMatch(/label: '(POSITIVE|NEGATIVE)'/)
  })

  test('docs/generation.md: what begins with loading a model', async () => {
    const blocks = blocksOf('docs/generation.md').filter(({ language, text }) => language === 'js' && text.includes("loadModel('model')"))
    expect(blocks.length).toBe(2)
    await runAll(blocks)
  })
})
