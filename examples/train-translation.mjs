// The encoder-decoder of "Attention Is All You Need" learns to translate dates, prices, lists and names from English to Korean. Its phrases are made of the
// Intl data inside Node, so nothing is downloaded. Run it with: node examples/train-translation.mjs [steps]
import { data, manualSeed, metrics, Tokenizer, Trainer, Transformer, translate, translationData } from 'warpweft'

const steps = Number(process.argv[2] ?? 400)
manualSeed(0)

// 5,000 pairs is the smallest corpus. Phrases of `test` are not in `train`, but each of their words and numbers is.
const corpus = data.intlCorpus({ source: 'en', target: 'ko', size: 5000 })
const texts = corpus.train.flatMap(pair => [pair.source, pair.target])
const tokenizer = await Tokenizer.train('bpe', texts, { vocabSize: 1500, splitDigits: true })
const pairs = await translationData(corpus.train, { tokenizer, validation: corpus.validation, maxTokens: 800 })
console.log(pairs.summary)

const model = new Transformer({
  vocabSize: pairs.vocabSize, dModel: 96, layers: 2, heads: 4, normFirst: true, finalNorm: true,
  padId: pairs.ids.pad, bosId: pairs.ids.bos, eosId: pairs.ids.eos,
})
console.log(`${model.parameterCount} parameters, ${steps} steps`)

// Progress goes to standard error. With an outputDir there would be checkpoints, a log and the trained model in it.
const trainer = new Trainer(model, pairs, {
  maxSteps: steps, learningRate: 3e-3, warmupSteps: Math.ceil(steps / 8), adamBeta2: 0.98, labelSmoothingFactor: 0.1, loggingSteps: 100,
})
const result = await trainer.train()
console.log(`trained: ${result.step} steps, validation loss ${result.metrics.loss.toFixed(3)}, perplexity ${result.metrics.perplexity.toFixed(2)}`)

const unseen = corpus.test.slice(0, 40)
const translated = await translate(model, tokenizer, unseen.map(pair => pair.source), { numBeams: 1, maxLength: 60 })
for (const [i, { source, target }] of unseen.slice(0, 4).entries()) console.log(`${source}\n  ${translated[i]}\n  (expected: ${target})`)
const { score } = metrics.chrf(translated, [unseen.map(pair => pair.target)])
console.log(`chrF on ${unseen.length} unseen phrases: ${score.toFixed(1)}`)
model.dispose()
