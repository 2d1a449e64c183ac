import { createInterface } from 'node:readline'
import { readWholeText } from '../data/plainText.js'
import { translations, type Translation, type TranslationOptions } from '../generate/translate.js'
import { writeFileAtomic } from '../io/atomicFile.js'
import { type Command, type Flag, type Options } from './arguments.js'
import { translationModel } from './models.js'

export const decodingFlags: Record<string, Flag> = {
  numBeams: { value: 'N', about: 'beams of each sentence; 1 is greedy (default 4)' },
  lengthPenalty: { value: 'X', about: 'above 0 favours long translations (default 1)' },
  maxLength: { value: 'N', about: 'most tokens of a translation (default: 50 more than the source)' },
  batchTokens: { value: 'N', about: 'most source tokens translated together (default 2048)' },
  policy: { value: 'error|truncate', about: 'a sentence longer than the model allows (default error)' },
}

export function decodingOptions(options: Options): TranslationOptions {
  return {
    numBeams: options.count('numBeams', 1), lengthPenalty: options.number('lengthPenalty'), maxLength: options.count('maxLength', 2),
    batchTokens: options.count('batchTokens', 1) ?? 2048, policy: options.word('policy', ['error', 'truncate']) ?? 'error',
  }
}

/** Lines that came while others were translated go together, at most so many. */
const mostTogether = 64

export const translate: Command = {
  about: 'translates files, or standard input line by line',
  usage: 'translate MODEL [FILE…] [options]',
  operands: [1, Infinity],
  flags: {
    ...decodingFlags,
    nBest: { value: 'N', about: 'translations of each line, the best first (at most the beams); with more than one, or --scores, lines are NUMBER<TAB>SCORE<TAB>TEXT' },
    scores: { about: 'say the log-probability of each, divided by its length to the power of the length penalty' },
    output: { value: 'FILE', about: 'where to write; appears when it is complete (default: standard output)' },
  },
  async run([directory, ...files], options) {
    const nBest = options.count('nBest', 1) ?? 1, output = options.text('output')
    const settings = { ...decodingOptions(options), nBest }
    const format = nBest > 1 || options.on('scores') ? numbered : plain
    const { model, tokenizer } = await translationModel(directory!)
    const written: string[] = []
    let line = 0
    const give = (results: readonly Translation[][]): void => {
      const text = results.map(found => format(found, ++line)).join('')
      if (output === undefined) process.stdout.write(text)
      else written.push(text)
    }
    if (files.length === 0) {
      for await (const lines of standardInput()) give(await translations(model, tokenizer, lines, settings))
    }
    for (const file of files) {
      const lines = (await readWholeText(file)).replace(/\n$/, '').split('\n')
      give(await translations(model, tokenizer, lines, settings))
    }
    if (output !== undefined) await writeFileAtomic(output, written.join(''))
    return 0
  },
}

const plain = ([best]: Translation[]): string => `${best!.text}\n`
const numbered = (found: Translation[], line: number): string => found.map(({ text, score }) => `${line}\t${score.toFixed(4)}\t${text}\n`).join('')

/** Lines of standard input as they come: one at once where nothing else waits, many together where they come faster than they are translated. */
async function* standardInput(): AsyncGenerator<string[]> {
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity }), input = { waiting: [] as string[], ended: false, wake: (): void => undefined }
  lines.on('line', line => { input.waiting.push(line); input.wake() })
  lines.on('close', () => { input.ended = true; input.wake() })
  for (;;) {
    if (input.waiting.length > 0) yield input.waiting.splice(0, mostTogether)
    else if (input.ended) return
    else await new Promise<void>(resolve => { input.wake = resolve })
  }
}
