import { readWholeText } from '../data/plainText.js'
import { translations, type Translation, type TranslationOptions } from '../generate/translate.js'
import { writeFileAtomic } from '../io/atomicFile.js'
import { requireWritableFile } from '../io/folders.js'
import type { Transformer } from '../models/transformer.js'
import { type Command, type Flag, type Options, UsageError } from './arguments.js'
import { atWork } from './atWork.js'
import { translationModel } from './models.js'
import { rescueText } from './rescue.js'
import { standardInput, standardInputName } from './standardInput.js'

export const decodingFlags: Record<string, Flag> = {
  numBeams: { value: 'N', about: 'beams of each sentence; 1 is greedy (default 4)' },
  lengthPenalty: { value: 'X', about: 'above 0 favours long translations (default 1)' },
  maxLength: { value: 'N', about: 'most tokens of a translation (default: 50 more than the source)' },
  batchTokens: { value: 'N', about: 'most source tokens translated together (default 2048)' },
  policy: { value: 'error|truncate', about: 'a sentence longer than the model allows (default error)' },
}

/** @throws UsageError for values that are out of range, or out of the model's once that is there */
export function decodingOptions(options: Options, model?: Transformer): TranslationOptions {
  const maxLength = options.count('maxLength', 2), most = model?.maxPositions ?? Infinity
  if (maxLength !== undefined && maxLength > most) throw new UsageError(`--max-length is ${maxLength}, but the model has positions for ${most}`)
  return {
    numBeams: options.count('numBeams', 1), lengthPenalty: options.number('lengthPenalty'), maxLength,
    batchTokens: options.count('batchTokens', 1) ?? 2048, policy: options.word('policy', ['error', 'truncate']) ?? 'error',
  }
}

/** Lines of a file that are translated together: enough to batch well, few enough to see them come. */
const linesTogether = 1024

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
    const nBest = options.count('nBest', 1) ?? 1, output = options.text('output'), { numBeams = 4 } = decodingOptions(options)
    if (nBest > numBeams) throw new UsageError(`--n-best is ${nBest}, but there are ${numBeams} beams: add --num-beams ${nBest}`)
    if (output !== undefined) await requireWritableFile(output)
    atWork('reading the files')
    const texts: { name: string, lines: string[] }[] = []
    for (const name of files) texts.push({ name, lines: (await readWholeText(name)).replace(/\n$/, '').split('\n') })
    atWork('loading the model')
    const { model, tokenizer } = await translationModel(directory!)
    const settings = { ...decodingOptions(options, model), nBest }
    const results = new Results(output, nBest > 1 || options.on('scores') ? numbered : plain)
    atWork('translating', () => results.broken())
    try {
      if (files.length === 0 && process.stdin.isTTY) console.error('One sentence a line; Ctrl-D ends.')
      for await (const { name, first, lines } of files.length === 0 ? lined(standardInput()) : parted(texts))
        await results.give(await translations(model, tokenizer, lines, { ...settings, nameOf: i => `${name}, line ${first + i},` }))
      await results.end()
    } catch (error) {
      if (error instanceof Error && output !== undefined && !results.isEmpty) error.message += ` ${results.broken()}`
      throw error
    }
    return 0
  },
}

/** What is translated, on its way to standard output or into a file. */
class Results {
  private readonly written: string[] = []
  private lines = 0

  constructor(private readonly output: string | undefined, private readonly format: (found: Translation[], line: number) => string) {}

  async give(results: readonly Translation[][]): Promise<void> {
    for (const found of results) {
      const text = this.format(found, this.lines + 1)
      if (this.output !== undefined) this.written.push(text)
      // A slow reader is waited for, so that what counts as written is.
      else await new Promise(resolve => process.stdout.write(text, resolve))
      this.lines++
    }
  }

  get isEmpty(): boolean { return this.lines === 0 }

  async end(): Promise<void> {
    if (this.output !== undefined) await writeFileAtomic(this.output, this.written.join(''))
  }

  /** What became of the lines so far, which a file gets under another name. */
  broken(): string {
    const lines = `${this.lines.toLocaleString('en')} ${this.lines === 1 ? 'line is' : 'lines are'}`
    if (this.output === undefined || this.isEmpty) return `${lines} written.`
    const partial = rescueText(this.output, this.written.join(''))
    return partial === undefined ? `${lines} lost: there is no place to write them.` : `${lines} in ${partial}.`
  }
}

interface Part { name: string, first: number, lines: string[] }

function* parted(texts: readonly { name: string, lines: string[] }[]): Generator<Part> {
  for (const { name, lines } of texts)
    for (let at = 0; at < lines.length; at += linesTogether) yield { name, first: at + 1, lines: lines.slice(at, at + linesTogether) }
}

async function* lined(input: AsyncIterable<string[]>): AsyncGenerator<Part> {
  let first = 1
  for await (const lines of input) {
    yield { name: standardInputName, first, lines }
    first += lines.length
  }
}

const plain = ([best]: Translation[]): string => `${best!.text}\n`
const numbered = (found: Translation[], line: number): string => found.map(({ text, score }) => `${line}\t${score.toFixed(4)}\t${text}\n`).join('')
