import { readWholeText } from '../data/plainText.js'
import { generate as generateTokens, type GenerationResult } from '../generate/generate.js'
import type { GenerationOptions } from '../generate/options.js'
import { promptIds, specialTokens, textStream } from '../generate/textStream.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { UsageError, type Command } from './arguments.js'
import { atWork } from './atWork.js'
import { generationFlags, generationOptions, limit } from './generationFlags.js'
import { generativeModel } from './models.js'
import { standardInput } from './standardInput.js'
import { written } from './written.js'

export const generate: Command = {
  about: 'goes on with a prompt, or with each line of files or standard input',
  usage: 'generate MODEL [FILE…] [options]',
  operands: [1, Infinity],
  flags: {
    prompt: { value: 'TEXT', about: 'what to go on with; the text comes as it is made' },
    ...generationFlags,
    numBeams: { value: 'N', about: 'beam search with so many (default 1)' },
    lengthPenalty: { value: 'X', about: 'of beams: above 0 favours long texts (default 1)' },
    numReturnSequences: { value: 'N', about: 'how many texts of each prompt (default 1)' },
    batchSize: { value: 'N', about: 'how many lines at a time (default 8)' },
    json: { about: 'a JSON object a text: prompt, text, finishReason; so come the texts of lines, and several of a prompt, in any case' },
  },
  async run([directory, ...files], options) {
    const prompt = options.text('prompt')
    if (prompt !== undefined && files.length > 0) throw new UsageError('--prompt and files both say what to go on with: give one of them')
    atWork('reading the files')
    const lines: string[] = []
    for (const name of files) lines.push(...(await readWholeText(name)).replace(/\n$/, '').split('\n'))
    atWork('loading the model')
    const { model, tokenizer } = await generativeModel(directory!)
    const settings: GenerationOptions = {
      ...specialTokens(model, tokenizer), ...await generationOptions(options, tokenizer),
      ...Object.fromEntries((['numBeams', 'numReturnSequences'] as const).flatMap(name => options.has(name) ? [[name, options.count(name, 1)]] : [])),
      ...(options.has('lengthPenalty') ? { lengthPenalty: options.number('lengthPenalty') } : {}),
    }
    const batchSize = options.count('batchSize', 1) ?? 8, single = (settings.numReturnSequences ?? 1) === 1 && (settings.numBeams ?? 1) === 1
    atWork('generating', () => 'What was written is whole as far as it goes.')
    if (prompt !== undefined && single && !options.on('json')) {
      const ids = promptIds(tokenizer, prompt)
      for await (const text of textStream(model, tokenizer, ids, { ...settings, ...limit(model, settings, ids.length) })) await written(text)
      await written('\n')
      return 0
    }
    for await (const prompts of prompt !== undefined ? [[prompt]] : files.length > 0 ? batches([lines], batchSize) : batches(standardInput(), batchSize))
      await answer(model, tokenizer, prompts, settings)
    return 0
  },
}

async function answer(model: GenerativeModel, tokenizer: Tokenizer, prompts: readonly string[], settings: GenerationOptions): Promise<void> {
  const ids = prompts.map(prompt => promptIds(tokenizer, prompt)), longest = Math.max(...ids.map(({ length }) => length))
  // Guesses are for one text at a time.
  const together = settings.assistantModel || settings.promptLookupNumTokens !== undefined ? ids.map(row => [row]) : [ids]
  const results: GenerationResult[] = []
  for (const rows of together) results.push(await generateTokens(model, rows, { ...settings, ...limit(model, settings, longest) }))
  const texts = results.flatMap(({ newTokens, finishReasons, sequencesScores }) => newTokens.map((tokens, i) =>
    ({ text: tokenizer.decode(tokens), finishReason: finishReasons[i], ...(sequencesScores ? { score: sequencesScores[i] } : {}) })))
  const each = texts.length / prompts.length
  for (const [i, found] of texts.entries()) await written(`${JSON.stringify({ prompt: prompts[Math.floor(i / each)], ...found })}\n`)
}

async function* batches(source: AsyncIterable<string[]> | Iterable<string[]>, size: number): AsyncGenerator<string[]> {
  for await (const lines of source) for (let at = 0; at < lines.length; at += size) yield lines.slice(at, at + size)
}
