import { readParallel } from '../data/parallelText.js'
import { bleu } from '../eval/bleu.js'
import { chrf } from '../eval/chrf.js'
import { ter } from '../eval/ter.js'
import { translate } from '../generate/translate.js'
import { writeFileAtomic } from '../io/atomicFile.js'
import { requireWritableFile } from '../io/folders.js'
import type { Command } from './arguments.js'
import { atWork } from './atWork.js'
import { translationModel } from './models.js'
import { readingFlags, readingOptions, sourceOf } from './train.js'
import { decodingFlags, decodingOptions } from './translate.js'

const tokenizers = ['13a', 'intl', 'char', 'zh', 'none'] as const

export const evaluate: Command = {
  about: 'translates a test set and scores it: BLEU, chrF and TER, equal to sacreBLEU',
  usage: 'evaluate MODEL TEXT.tsv|TEXT.jsonl [options]   or   evaluate MODEL SOURCE.txt TARGET.txt [options]',
  operands: [2, 3],
  flags: {
    ...decodingFlags, ...readingFlags,
    tokenize: { value: tokenizers.join('|'), about: 'of BLEU (default 13a; char or zh for text without spaces)' },
    lowercase: { about: 'score in lower case' },
    output: { value: 'FILE', about: 'write the translations there' },
    json: { about: 'print the scores as JSON' },
  },
  async run([directory, ...files], options) {
    const tokenize = options.word('tokenize', tokenizers) ?? '13a', lowercase = options.on('lowercase'), output = options.text('output')
    if (output !== undefined) await requireWritableFile(output)
    atWork('reading the text')
    const text = readParallel(sourceOf(files) as Parameters<typeof readParallel>[0], readingOptions(options))
    const sources: string[] = [], references: string[] = []
    for await (const pair of text) {
      sources.push(pair.source)
      references.push(pair.target)
    }
    atWork('loading the model')
    const { model, tokenizer } = await translationModel(directory!)
    atWork('translating')
    const translated = await translate(model, tokenizer, sources, decodingOptions(options, model))
    if (output !== undefined) await writeFileAtomic(output, translated.map(line => `${line}\n`).join(''))
    atWork('scoring', () => output === undefined ? 'Run the same command again.' : `The translations are in ${output}.`)
    const scores = {
      bleu: bleu(translated, [references], { tokenize, lowercase }), chrf: chrf(translated, [references], { lowercase }),
      ter: ter(translated, [references], lowercase ? {} : { caseSensitive: true }),
    }
    if (options.on('json')) {
      console.log(JSON.stringify({ pairs: sources.length, ...Object.fromEntries(Object.entries(scores).map(([name, { score, signature }]) => [name, { score, signature }])) }))
      return 0
    }
    console.log(`${sources.length.toLocaleString('en')} pairs`)
    for (const [name, { score, signature }] of Object.entries(scores)) console.log(`${{ bleu: 'BLEU', chrf: 'chrF', ter: 'TER' }[name]!.padEnd(4)} ${score.toFixed(2).padStart(6)}  ${signature}`)
    return 0
  },
}
