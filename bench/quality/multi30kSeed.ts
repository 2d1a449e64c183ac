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
import { detokenized, joined, pieceTokenizer, readPairs, readRaw, testSets, type TestSet } from './multi30kData.js'

/**
 * The model of the published figure (Wu et al. 2021, `transformer_tiny`) with its dropout, which fairseq puts on embeddings and sublayers alone; a quarter of
 * its batch and a rate that falls to zero, so that it is trained in fewer epochs.
 */
export const recipe = {
  model: { dModel: 128, heads: 4, layers: 4, feedForward: 256, dropout: 0.3, attentionDropout: 0, activationDropout: 0 },
  training: { numTrainEpochs: 58, learningRate: 2.5e-3, warmupSteps: 2000, adamBeta2: 0.98, labelSmoothingFactor: 0.1, maxGradNorm: 5, emaDecay: 0.998 },
  maxTokens: 2048,
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
  /** Of all of the process's threads, translations included: what it takes on a machine that does other work beside it. */
  processorMinutes: number
  validationLoss: number
  chosen: { average: number, lengthPenalty: number, validationBleu: number }
  choices: { average: number, lengthPenalty: number, validationBleu: number }[]
  test: Record<TestSet, { bleu: number, line: string, sacreBleu: number, signature: string }>
}

const [directory, seedText, output] = process.argv.slice(2) as [string, string, string]
const seed = Number(seedText)
mkdirSync(output, { recursive: true })
manualSeed(seed)

const pairs = readPairs(directory, 'train'), validation = readPairs(directory, 'valid')
const tokenizer = pieceTokenizer(pairs.flatMap(pair => [pair.source, pair.target]))
const data = await translationData(pairs, { tokenizer, validation, maxTokens: recipe.maxTokens })
console.log(data.summary)
const model = new Transformer({ ...recipe.model, vocabSize: data.vocabSize, padId: data.ids.pad, bosId: data.ids.bos, eosId: data.ids.eos })
const result = await new Trainer(model, data, {
  ...recipe.training, seed, outputDir: output, resumeFromCheckpoint: true, evalStrategy: 'epoch', saveStrategy: 'epoch', saveTotalLimit: Math.max(...recipe.averages),
  loggingSteps: 200,
}).train()
if (result.interrupted) process.exit(1)

function processorMinutes(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 60e6
}
const hypotheses = async (sources: readonly { source: string }[], lengthPenalty: number): Promise<string[]> =>
  (await translate(model, tokenizer, sources.map(pair => pair.source), { numBeams: recipe.numBeams, lengthPenalty, maxLength: 200 })).map(joined)

const choices: SeedResult['choices'] = [], checkpoints = await listCheckpoints(output)
const reference = [validation.map(pair => joined(pair.target))]
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
  const texts = readPairs(directory, testSets[set][0]), translated = await hypotheses(texts, chosen.lengthPenalty)
  const tokenised = multiBleu(translated, [texts.map(pair => joined(pair.target))])
  const detokenised = bleu(translated.map(detokenized), [readRaw(directory, set)], { lowercase: true })
  test[set] = { bleu: tokenised.score, line: formatMultiBleu(tokenised), sacreBleu: detokenised.score, signature: detokenised.signature }
  console.log(`${set}: ${formatMultiBleu(tokenised)}; detokenised ${formatBleu(detokenised)}`)
}
await writeJsonAtomic(join(output, 'result.json'), {
  seed, parameters: model.parameterCount, steps: result.step, trainingSeconds: result.seconds, processorMinutes: processorMinutes(), validationLoss: result.metrics!.loss, chosen, choices, test,
} satisfies SeedResult)
