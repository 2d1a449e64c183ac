import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { generate } from '#lib/generate/generate.js'
import { setGenerationDefaults } from '#lib/generate/generationConfig.js'
import { textStream } from '#lib/generate/textStream.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { manualSeed } from '#lib/tensor/random.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { saveModel } from '#lib/hub/modelDirectory.js'
import { mainPath, runCli } from './runCli.js'

const folder = mkdtempSync(join(tmpdir(), 'warpweft-generation-')), at = (...names: string[]): string => join(folder, ...names)
jest.setTimeout(240_000)

const template = '{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}'
let model: GPT2, tokenizer: Tokenizer
beforeAll(async () => {
  manualSeed(1)
  tokenizer = await Tokenizer.train('bytelevel', ['hello there, how are you? fine 🙂 가나다 0123456789 {"ok": true}'], { vocabSize: 300 })
  tokenizer.addSpecialTokens(['<|end|>'], { eosToken: '<|end|>' })
  model = new GPT2({ vocab_size: tokenizer.vocabSize, n_positions: 3000, n_embd: 32, n_layer: 1, n_head: 2, initializer_range: 0.3 }).eval()
  setGenerationDefaults(model, { maxNewTokens: 9 })
  await saveModel(at('model'), model, tokenizer)
  await saveModel(at('chat'), model, tokenizer)
  writeFileSync(at('chat', 'chat_template.jinja'), template)
})

afterAll(() => {
  model.dispose()
  rmSync(folder, { recursive: true })
})

describe('generate', () => {
  test('writes what follows a prompt as the library makes it; the directory says how long', async () => {
    const pieces: string[] = []
    for await (const piece of textStream(model, tokenizer, 'hello', { repetitionPenalty: 1.2 })) pieces.push(piece)
    expect(pieces.length).toBeGreaterThan(1)
    expect(await runCli(['generate', at('model'), '--prompt', 'hello', '--repetition-penalty', '1.2'])).toMatchObject({ code: 0, err: '', out: `${pieces.join('')}\n` })
  })

  test('answers lines of standard input and of files as JSON, several texts of each', async () => {
    const options = { doSample: true, seed: 3, numReturnSequences: 2, topK: 20, maxNewTokens: 5 }, flags = ['--do-sample', '--seed', '3', '--num-return-sequences', '2', '--top-k', '20', '--max-new-tokens', '5']
    const prompts = ['hello there', 'you'], { newTokens } = await generate(model, prompts.map(prompt => tokenizer.encode(prompt).ids), { ...options, eosTokenId: tokenizer.eosId })
    const expected = newTokens.map((tokens, i) => ({ prompt: prompts[i >> 1], text: tokenizer.decode(tokens) }))
    writeFileSync(at('prompts.txt'), 'hello there\nyou\n')
    for (const run of [await runCli(['generate', at('model'), at('prompts.txt'), ...flags]), await runCli(['generate', at('model'), ...flags], { input: 'hello there\nyou\n' })]) {
      expect(run).toMatchObject({ code: 0, err: '' })
      expect(run.out.trimEnd().split('\n').map(line => JSON.parse(line) as { prompt: string, text: string })).toEqual(expected.map(row => ({ ...row, finishReason: 'length' })))
    }
  })

  test('keeps to a schema, in one object with its reason to end', async () => {
    writeFileSync(at('schema.json'), JSON.stringify({ properties: { ok: { type: 'boolean' }, n: { type: 'integer', minimum: 10, maximum: 20 } }, required: ['ok', 'n'] }))
    const { out, err } = await runCli(['generate', at('model'), '--prompt', 'hello', '--json-schema', at('schema.json'), '--json', '--max-new-tokens', '40', '--prompt-lookup-num-tokens', '3'])
    expect(err).toBe('')
    const { text, finishReason } = JSON.parse(out) as { text: string, finishReason: string }
    expect([JSON.parse(text), finishReason]).toEqual([{ ok: expect.any(Boolean), n: expect.any(Number) }, 'stop'])
  })

  test.each<[string, string[], RegExp]>([
    ['sampling that was not asked for', ['--prompt', 'x', '--temperature', '0.5'], /temperature.*add --do-sample/], ['beams that memory does not hold', ['--prompt', 'x', '--num-beams', '100000'], /--num-beams is 100000, with a vocabulary of \d+: at most/],
    ['a prompt and files', ['file', '--prompt', 'x'], /give one of them/], ['a pattern that cannot be', ['--prompt', 'x', '--regex', 'a(?=b)'], /looking ahead/], ['a schema that is not there', ['--prompt', 'x', '--json-schema', '/none.json'], /none\.json/],
    ['a draft model that is none', ['--prompt', 'x', '--assistant-model', '/none'], /\/none: there is no such folder/], ['an option that is none', ['--max-tokens', '4'], /--max-new-tokens|unknown option/],
  ])('%s is told in one line', async (_, args, message) => {
    const { code, out, err } = await runCli(['generate', at('model'), ...args])
    expect(code).toBeGreaterThan(0)
    expect([out, err.trimEnd().split('\n').length]).toEqual(['', 1])
    expect(err).toMatch(message)
  })

  test.each(['generate', 'chat'])('%s: a folder as standard input is a mistake', name => {
    const input = openSync(at(), 'r')
    try {
      const { status, stderr } = spawnSync(process.execPath, [mainPath, name, at('chat')], { stdio: [input, 'pipe', 'pipe'], encoding: 'utf8' })
      expect([status, stderr]).toEqual([1, expect.stringMatching(/^warpweft: standard input: it is a folder\. [^\n]+\n$/)])
    } finally {
      closeSync(input)
    }
  })
})

describe('chat', () => {
  /** What the library says to a conversation. */
  const answer = async (messages: [string, string][], maxNewTokens: number): Promise<string> => {
    const text = `${messages.map(([role, content]) => `${role}: ${content}<|end|>`).join('')}assistant: `, pieces: string[] = []
    for await (const piece of textStream(model, tokenizer, tokenizer.encode(text, { addSpecialTokens: false }).ids, { maxNewTokens })) pieces.push(piece)
    return pieces.join('')
  }

  test('goes on with the conversation, in which each answer has its place; commands steer it', async () => {
    const input = `hello\n\nhow are you?\n/save ${at('saved.json')}\n/reset\nhello\n/system none\nhello\n/help\n/nonsense\n/exit\nnever`
    const { code, out, err } = await runCli(['chat', at('chat'), '--system', 'be fine', '--max-new-tokens', '6'], { input })
    const first = await answer([['system', 'be fine'], ['user', 'hello']], 6)
    const second = await answer([['system', 'be fine'], ['user', 'hello'], ['assistant', first], ['user', 'how are you?']], 6)
    expect(code).toBe(0)
    expect(out.startsWith([first, second, first, await answer([['system', 'none'], ['user', 'hello']], 6), '/help'].join('\n'))).toBe(true)
    expect(err).toMatch(/Saved: .*\nA new conversation\.\nA new conversation\.\nThere is no command \/nonsense/)
    expect(JSON.parse(readFileSync(at('saved.json'), 'utf8'))).toEqual([['system', 'be fine'], ['user', 'hello'], ['assistant', first], ['user', 'how are you?'], ['assistant', second]]
      .map(([role, content]) => ({ role, content })))
  })

  test('a model without a template is told what to do; a template can be given', async () => {
    const { code, err } = await runCli(['chat', at('model')], { input: 'hello\n' })
    expect([code, err]).toEqual([1, expect.stringMatching(/^warpweft: [^\n]*no chat template[^\n]*`warpweft generate`[^\n]*--chat-template FILE\.\n$/)])
    writeFileSync(at('own.jinja'), '{% if messages|length > 1 %}{{ raise_exception("one at a time") }}{% endif %}{{ messages[0].content }}')
    const own = await runCli(['chat', at('model'), '--chat-template', at('own.jinja'), '--max-new-tokens', '3'], { input: 'hello\nyou\n/reset\nhello\n' })
    const pieces: string[] = []
    for await (const piece of textStream(model, tokenizer, tokenizer.encode('hello').ids, { maxNewTokens: 3 })) pieces.push(piece)
    expect(own).toMatchObject({ code: 0, out: `${pieces.join('')}\n${pieces.join('')}\n`, err: expect.stringMatching(/refuses the conversation: one at a time/) })
  })

  test('a conversation that is too long is refused, and the next one goes on', async () => {
    const { code, out, err } = await runCli(['chat', at('chat'), '--max-new-tokens', '2'], { input: `${'hello there '.repeat(900)}\nhello\n` })
    expect([code, out]).toEqual([0, `${await answer([['user', 'hello']], 2)}\n`])
    expect(err).toMatch(/the conversation has \d+ tokens, the model positions for 3000\. \/reset/)
  })

  test('Ctrl-C stops an answer, and the conversation goes on; a second one leaves', async () => {
    let signals = 0, asked = false
    const stopped = await runCli(['chat', at('chat'), '--max-new-tokens', '2900', '--min-new-tokens', '2890'], { input: null, onChange: ({ out, kill, write }) => {
      if (!asked) { asked = true; write('hello\n') }
      if (out.length > 20 && signals === 0) { signals = 1; kill('SIGINT'); write(`/save ${at('stopped.json')}\n`) }
    }, onOutput: (err, kill) => { if (err.includes('Saved') && signals === 1) { signals = 2; kill('SIGINT') } } })
    expect(stopped).toMatchObject({ code: 130, signal: null })
    const [, said] = JSON.parse(readFileSync(at('stopped.json'), 'utf8')) as { role: string, content: string }[]
    expect(said).toMatchObject({ role: 'assistant' })
    expect(stopped.out.startsWith(said!.content)).toBe(true)
    expect((await answer([['user', 'hello']], 40)).startsWith(said!.content.slice(0, 15))).toBe(true)
  })
})
