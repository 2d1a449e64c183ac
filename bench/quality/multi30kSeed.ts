// One seed of the Multi30k training, as a process of its own: node multi30kSeed.js DATA SEED OUTPUT
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { bleu, formatBleu } from '#lib/eval/bleu.js'
import { formatMultiBleu, multiBleu } from '#lib/eval/multiBleu.js'
import { translate } from '#lib/generate/translate.js'
import { writeJsonAtomic } from '#lib/io/atomicFile.js'
import { Transformer } from '#lib/models/transformer.js'
import { manualSeed } from '#lib/tensor/random.js'
import { averageCheckpoints, listCheckpoints, Trainer, translationData } from '#lib/train/index.js'
import { detokenized, readPairs, readRaw, testSets, type TestSet } from './multi30kData.js'

/**
 * The size of the published figure's model (Wu et al. 2021, `transformer_tiny`) and its dropout, but pre-norm, with fewer pieces of words, small batches and a
 * rate that falls to zero: each of these learns more from an epoch, of which there is time for fewer.
 */
export const recipe = {
  vocabSize: 4000,
  model: { dModel: 128, heads: 4, layers: 4, feedForward: 256, dropout: 0.3, attentionDropout: 0, activationDropout: 0, normFirst: true, finalNorm: true },
  training: { numTrainEpochs: 40, learningRate: 4e-3, warmupSteps: 800, adamBeta2: 0.98, labelSmoothingFactor: 0.1, maxGradNorm: 5, emaDecay: 0.998 },
  maxTokens: 768,
  numBeams: 5,
  /** Chosen from on the validation set: the weights, and the exponent of the length that scores are divided by. */
  averages: [1, 5, 10],
  lengthPenalties: [0.6, 1, 1.4],
}

export interface SeedResult {
  seed: number
  parameters: number
  steps: number
  trainingSeconds: number
  validationLoss: number
  chosen: { average: number, lengthPenalty: number, validationBleu: number }
  choices: { average: number, lengthPenalty: number, validationBleu: number }[]
  test: Record<TestSet, { bleu: number, line: string, sacreBleu: number, signature: string }>
}

const [directory, seedText, output] = process.argv.slice(2) as [string, string, string]
const seed = Number(seedText)
mkdirSync(output, { recursive: true })
manualSeed(seed)

const validation = readPairs(directory, 'val')
const data = await translationData(readPairs(directory, 'train'), { vocabSize: recipe.vocabSize, validation, maxTokens: recipe.maxTokens })
const { tokenizer } = data
console.log(data.summary)
const model = new Transformer({ ...recipe.model, vocabSize: data.vocabSize, padId: data.ids.pad, bosId: data.ids.bos, eosId: data.ids.eos })
const result = await new Trainer(model, data, {
  ...recipe.training, seed, outputDir: output, resumeFromCheckpoint: true, evalStrategy: 'epoch', saveStrategy: 'epoch', saveTotalLimit: Math.max(...recipe.averages),
  loggingSteps: 200,
}).train()
if (result.interrupted) process.exit(1)

const hypotheses = (sources: readonly { source: string }[], lengthPenalty: number): Promise<string[]> =>
  translate(model, tokenizer, sources.map(pair => pair.source), { numBeams: recipe.numBeams, lengthPenalty, maxLength: 200 })

const choices: SeedResult['choices'] = [], checkpoints = await listCheckpoints(output)
const reference = [validation.map(pair => pair.target)]
// The final model holds the moving average of the weights; the others are means of the last checkpoints.
async function useAverage(count: number): Promise<void> {
  model.loadStateDict(await averageCheckpoints(count === 1 ? [output] : checkpoints.slice(-count).map(({ path }) => path)))
}
for (const average of recipe.averages) {
  await useAverage(average)
  for (const lengthPenalty of recipe.lengthPenalties) {
    const validationBleu = multiBleu(await hypotheses(validation, lengthPenalty), reference).score
    choices.push({ average, lengthPenalty, validationBleu })
    console.log(`validation, ${average === 1 ? 'moving average' : `mean of ${average} checkpoints`}, length penalty ${lengthPenalty}: BLEU ${validationBleu.toFixed(2)}`)
  }
}
const chosen = choices.reduce((best, choice) => choice.validationBleu > best.validationBleu ? choice : best)
await useAverage(chosen.average)

const test = {} as SeedResult['test']
for (const set of Object.keys(testSets) as TestSet[]) {
  const texts = readPairs(directory, testSets[set]), translated = await hypotheses(texts, chosen.lengthPenalty)
  const tokenised = multiBleu(translated, [texts.map(pair => pair.target)])
  const detokenised = bleu(translated.map(detokenized), [readRaw(directory, set)], { lowercase: true })
  test[set] = { bleu: tokenised.score, line: formatMultiBleu(tokenised), sacreBleu: detokenised.score, signature: detokenised.signature }
  console.log(`${set}: ${formatMultiBleu(tokenised)}; detokenised ${formatBleu(detokenised)}`)
}
await writeJsonAtomic(join(output, 'result.json'), {
  seed, parameters: model.parameterCount, steps: result.step, trainingSeconds: result.seconds, validationLoss: result.metrics!.loss, chosen, choices, test,
} satisfies SeedResult)
