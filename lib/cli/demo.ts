import { intlCorpus, type IntlPair } from '../data/intlCorpus.js'
import { bleu } from '../eval/bleu.js'
import { chrf } from '../eval/chrf.js'
import { translate } from '../generate/translate.js'
import { requireWritableFolder } from '../io/folders.js'
import { Transformer } from '../models/transformer.js'
import { threads } from '../tensor/device.js'
import { manualSeed } from '../tensor/random.js'
import { Tokenizer } from '../text/tokenizer.js'
import { Trainer } from '../train/trainer.js'
import { translationData } from '../train/translationData.js'
import { UsageError, type Command } from './arguments.js'
import { atWork } from './atWork.js'
import { exitCodeOf } from './train.js'
import { trained } from './trained.js'

/** Found on the validation phrases: small batches and a high rate learn most in the time. */
const recipe = { dModel: 128, layers: 2, steps: 1900, learningRate: 3e-3, warmupSteps: 200, maxTokens: 800, vocabSize: 2500 }
const shown = 6

export const demo: Command = {
  about: 'trains a small translator on text made by Node itself, and shows what it has learnt',
  usage: 'demo [options]',
  operands: [0, 0],
  flags: {
    source: { value: 'LOCALE', about: 'translate from (default en)' },
    target: { value: 'LOCALE', about: 'translate to, such as ko, de, fr, ja, es (default ko)' },
    steps: { value: 'N', about: `training steps (default ${recipe.steps})` },
    maxTime: { value: 'SECONDS', about: 'longest training (default 150)' },
    seed: { value: 'N', about: 'of the corpus, the weights and the order (default 0)' },
    outputDir: { value: 'FOLDER', about: 'keep the trained model there, for `warpweft translate`' },
  },
  async run(_, options) {
    const { source = 'en', target = 'ko' } = { source: options.text('source'), target: options.text('target') }
    const seed = options.count('seed') ?? 0, steps = options.count('steps', 1) ?? recipe.steps
    const maxTime = options.number('maxTime') ?? 150, outputDir = options.text('outputDir')
    if (!(maxTime > 0)) throw new UsageError(`--max-time is ${maxTime}, expected seconds above 0`)
    if (outputDir !== undefined) await requireWritableFolder(outputDir)
    atWork('making the phrases')

    const corpus = intlCorpus({ source, target, seed })
    const { train: pairs, validation, test } = corpus
    console.log(`Phrases from ${source} to ${target}: ${pairs.length.toLocaleString('en')} to learn from, ${test.length.toLocaleString('en')} unseen ones to test`
      + ` (Intl data of Node ${process.versions.node}, ICU ${corpus.icu}, CLDR ${corpus.cldr})`)
    manualSeed(seed)
    const texts = pairs.flatMap(pair => [pair.source, pair.target])
    const tokenizer = await Tokenizer.train('bpe', texts, { vocabSize: recipe.vocabSize, splitDigits: true })
    const data = await translationData(pairs, { tokenizer, validation, maxTokens: recipe.maxTokens })
    using model = new Transformer({
      vocabSize: data.vocabSize, dModel: recipe.dModel, layers: recipe.layers, heads: 4, normFirst: true, finalNorm: true, dropout: 0.1,
      padId: data.ids.pad, bosId: data.ids.bos, eosId: data.ids.eos,
    })
    console.log(`A Transformer of ${model.parameterCount.toLocaleString('en')} parameters, ${steps.toLocaleString('en')} steps on the CPU, threads: ${threads()}`)
    const trainer = new Trainer(model, data, {
      maxSteps: steps, maxTime, learningRate: recipe.learningRate, warmupSteps: Math.min(recipe.warmupSteps, Math.ceil(steps / 5)), adamBeta2: 0.98,
      labelSmoothingFactor: 0.1, seed, evalStrategy: 'end', ...(outputDir === undefined ? {} : { outputDir, saveStrategy: 'no' as const, resumeFromCheckpoint: true }),
    })
    const result = await trained(trainer, outputDir)
    console.log(`${result.step.toLocaleString('en')} steps in ${result.seconds.toFixed(0)} s, ${Math.round(result.tokens / result.seconds).toLocaleString('en')} target tokens/s`)
    if (result.interrupted) {
      console.log(outputDir === undefined ? 'Stopped: nothing is kept (--output-dir keeps it).' : 'Stopped: the same command goes on from here.')
      return exitCodeOf(result)
    }
    atWork('translating the unseen phrases', () => outputDir === undefined ? 'Nothing is kept (--output-dir keeps the model).' : `The model is in ${outputDir}.`)
    const translated = await translate(model, tokenizer, test.map(pair => pair.source), { numBeams: 1, maxLength: 100 })
    report(test, translated, target)
    if (outputDir !== undefined) console.log(`\nThe model is in ${outputDir}. Try: echo '${test[0]!.source}' | npx warpweft translate ${outputDir}`)
    return 0
  },
}

function report(test: readonly IntlPair[], translated: readonly string[], target: string): void {
  const references = [test.map(pair => pair.target)]
  // Japanese and Chinese have no spaces: words are not what to count there.
  const tokenize = /^(ja|zh|th)/.test(target) ? 'char' : '13a'
  const score = bleu(translated, references, { tokenize }), characters = chrf(translated, references)
  const exact = translated.filter((text, i) => text === test[i]!.target).length
  console.log(`\nOn ${test.length.toLocaleString('en')} phrases that it never saw: BLEU ${score.score.toFixed(1)}, chrF ${characters.score.toFixed(1)}, `
    + `exactly right ${(100 * exact / test.length).toFixed(1)} %`)
  console.log(`(${score.signature})\n`)
  // One of each category in turn.
  const categories = [...new Set(test.map(pair => pair.category))].slice(0, shown)
  for (const category of categories) {
    const i = test.findIndex(pair => pair.category === category), { source, target: reference } = test[i]!
    console.log(`  ${source}\n    ${translated[i]}${translated[i] === reference ? '' : `\n    (expected: ${reference})`}`)
  }
}
