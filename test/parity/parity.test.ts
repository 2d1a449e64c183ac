import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { writeSafetensors } from '#lib/io/safetensorsWriter.js'
import { BertForSequenceClassification } from '#lib/models/bert.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { pipeline } from '#lib/pipelines/index.js'
import { tensor } from '#lib/tensor/create.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { runCase } from './runCase.js'

// What the runner lets pass and what not, on a case whose expectations are our own.

type Arrays = Record<string, { shape: readonly number[], data: Float32Array | Int32Array }>
const config = { vocab_size: 11, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 }
let folder = '', expected: Arrays

const write = (path: string, arrays: Arrays): Promise<unknown> => writeSafetensors(path, Object.entries(arrays).map(([name, { shape, data }]) =>
  ({ name, dtype: data instanceof Int32Array ? 'I32' as const : 'F32' as const, shape: [...shape], data: () => data })))

/** A copy of the case with other descriptions or expectations. */
async function variant(name: string, description: object = {}, change: Arrays = {}): Promise<string> {
  const directory = join(folder, name)
  mkdirSync(directory)
  for (const file of ['config.json', 'model.safetensors', 'inputs.safetensors']) cpSync(join(folder, file), join(directory, file))
  writeFileSync(join(directory, 'case.json'), JSON.stringify({ name, class: 'GPT2LMHeadModel', ...description }))
  await write(join(directory, 'expected.safetensors'), { ...expected, ...change })
  return directory
}

const changed = (name: string, by: number): Arrays => ({ [name]: { shape: expected[name]!.shape, data: Float32Array.from(expected[name]!.data, (v, i) => i === 3 ? v + by : v) } })
const failures = async (directory: string, precision: 'float32' | 'bfloat16' = 'float32'): Promise<string[]> =>
  (await runCase(directory, precision)).comparisons.filter(r => !r.passed).map(r => r.name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warpweft-parity-'))
  const model = new GPT2(config), ids = Int32Array.of(1, 5, 3, 9, 2, 7), labels = Int32Array.of(5, 3, -100, 2, 7, -100)
  const logits = model.forward(tensor(ids, [2, 3])), loss = crossEntropy(logits, tensor(labels, [2, 3]))
  backward(loss)
  const read = (t: { shape: readonly number[], dataSync(): unknown }) => ({ shape: t.shape, data: t.dataSync() as Float32Array })
  expected = {
    logits: read(logits), loss: read(loss), ...Object.fromEntries([...model.namedParameters()].map(([name, p]) => [`grad.${name}`, read(p.grad!)])),
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  await write(join(folder, 'model.safetensors'), Object.fromEntries([...model.namedParameters()].map(([name, p]) => [name, read(p)])))
  await write(join(folder, 'inputs.safetensors'), { input_ids: { shape: [2, 3], data: ids }, labels: { shape: [2, 3], data: Int32Array.of(1, 5, 3, 9, 2, 7) } })
  model.dispose()
}, 30_000)
afterAll(() => { rmSync(folder, { recursive: true }) })

describe('parity', () => {
  test('outputs, loss and every gradient are compared, in bfloat16 with its own bounds', async () => {
    const same = await variant('same')
    const { comparisons } = await runCase(same, 'float32')
    expect(comparisons.map(r => r.name).sort()).toEqual(Object.keys(expected).sort())
    expect(await failures(same)).toEqual([])
    expect(await failures(same, 'bfloat16')).toEqual([])
  })

  test('one element that is off is found, wherever it is', async () => {
    const size = (name: string): number => Math.max(...Array.from(expected[name]!.data, Math.abs))
    expect(await failures(await variant('logits', {}, changed('logits', 4e-5 * size('logits'))))).toEqual(['logits'])
    const grad = 'grad.transformer.h.0.mlp.c_fc.weight'
    expect(await failures(await variant('gradient', {}, changed(grad, 3e-4 * size(grad))))).toEqual([grad])
    expect(await failures(await variant('gradient in bfloat16', {}, changed(grad, 0.3 * size(grad))), 'bfloat16')).toEqual([grad])
    expect(await failures(await variant('NaN', {}, changed('logits', NaN)))).toEqual(['logits'])
  })

  test('what nothing produces fails: an output, a gradient, sequences', async () => {
    const one = { shape: [1], data: Float32Array.of(1) }
    expect(await failures(await variant('more', {}, { hidden: one, 'grad.nothing': one, 'generate.greedy.sequences': one }))).toEqual(expect.arrayContaining(['hidden', 'grad.nothing', 'generate.greedy.sequences']))
  })

  test('pipelines: scores within 1e-4, everything else equal, and what is missing', async () => {
    const directory = join(folder, 'pipeline'), tokenizer = await Tokenizer.train('char', ['abcd'])
    const classifier = new BertForSequenceClassification({ vocab_size: tokenizer.vocabSize, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 8, max_position_embeddings: 8, num_labels: 3 })
    await classifier.savePretrained(directory, { tokenizer })
    classifier.dispose()
    const classify = await pipeline('text-classification', directory), found = await classify('abc', { topK: null }) as { label: string, score: number }[]
    classify.dispose()
    const outcome = async (expected: unknown): Promise<string[]> => {
      writeFileSync(join(directory, 'case.json'), JSON.stringify({ name: 'p', kind: 'pipeline', task: 'text-classification', calls: [{ inputs: ['abc'], options: { topK: null }, expected }] }))
      return (await runCase(directory, 'float32')).comparisons.flatMap(r => r.passed ? [] : [r.note ?? ''])
    }
    const first = (change: object): unknown => found.map((label, i) => i === 0 ? { ...label, ...change } : label)
    expect(await outcome(found)).toEqual([])
    expect(await outcome(first({ score: found[0]!.score + 5e-5 }))).toEqual([])
    expect(await outcome(first({ score: found[0]!.score + 5e-4 }))).toEqual([expect.stringMatching(/^result\[0\]\.score is 0\./)])
    expect(await outcome(first({ label: 'other' }))).toEqual([expect.stringMatching(/^result\[0\]\.label is "LABEL_\d", expected "other"$/)])
    expect(await outcome(first({ start: 3 }))).toEqual([expect.stringMatching(/^result\[0\]\.start is missing, expected 3$/)])
    expect(await outcome(found.slice(1))).toEqual([expect.stringMatching(/^result is /)])
  })

  test('an unknown kind, an unknown class and a folder without a case fail, what is no folder is named, and the exit code says it', async () => {
    const run = (...directories: string[]) => spawnSync(process.execPath, [join(process.cwd(), 'build/js/test/parity/run.js'), ...directories], { encoding: 'utf8' })
    const sound = await variant('sound'), kind = await variant('kind', { kind: 'embeddings' }), model = await variant('class', { class: 'NobodyModel' }), empty = join(folder, 'empty')
    mkdirSync(empty)
    const passed = run(sound, join(folder, 'nowhere'))
    expect(passed).toMatchObject({ status: 0 })
    expect(passed.stdout).toMatch(/^ok {3}sound: .*\nskip .*nowhere: not a directory\n1 passed, 0 failed/)
    const { status, stdout } = run(sound, kind, model, empty)
    expect(status).toBe(1)
    expect(stdout).toMatch(/FAIL kind: kind 'embeddings' is not known/)
    expect(stdout).toMatch(/FAIL class: class NobodyModel is not known/)
    expect(stdout).toMatch(/FAIL empty: there is no case\.json in it/)
    expect(run(join(folder, 'nowhere')).status).toBe(1)   // nothing was compared
  }, 30_000)
})
