import { ConfigError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { defaultBatchSize, eachText, labelOf, ranked, rowsOf, softmax, type TextModel, type Texts } from './encoderInputs.js'

export interface Label { label: string, score: number }

export interface TextClassificationOptions {
  /** How many labels of each text, the likeliest first; null: all. Default 1. */
  topK?: number | null
  /** What makes scores of logits. Default: 'none' for regression, 'sigmoid' where labels exclude nothing or there is one, else 'softmax'. */
  functionToApply?: 'softmax' | 'sigmoid' | 'none'
  batchSize?: number
}

const functions = ['softmax', 'sigmoid', 'none']

/** Sorts texts, or pairs of texts. @returns for each the likeliest labels with their scores */
export async function classifyTexts(model: TextModel, tokenizer: Tokenizer, texts: Texts, { topK = 1, functionToApply, batchSize = defaultBatchSize }: TextClassificationOptions = {}): Promise<Label[][]> {
  if (functionToApply !== undefined && !functions.includes(functionToApply)) throw new ConfigError(`functionToApply is ${JSON.stringify(functionToApply)}, expected one of: ${functions.join(', ')}`)
  if (topK !== null && (!Number.isInteger(topK) || topK < 1)) throw new ConfigError(`topK is ${String(topK)}, expected a whole number above 0, or null for all`)
  const found: Label[][] = []
  await eachText(model, tokenizer, texts, batchSize, async output => {
    for (const logits of await rowsOf(output)) {
      const problem = model.config['problem_type'] as string | null | undefined
      const usual = problem === 'regression' ? 'none' : problem === 'multi_label_classification' || logits.length === 1 ? 'sigmoid' : 'softmax'
      const scores = scoresOf(logits, functionToApply ?? usual)
      found.push(ranked(scores).slice(0, topK ?? undefined).map(id => ({ label: labelOf(model.config, id), score: scores[id]! })))
    }
  })
  return found
}

const scoresOf = (logits: Float64Array, how: string): Float64Array => how === 'softmax' ? softmax(logits) : how === 'sigmoid' ? logits.map(x => 1 / (1 + Math.exp(-x))) : logits

export interface ZeroShotOptions {
  /** `{}` stands for a label. Default 'This example is {}.' */
  hypothesisTemplate?: string
  /** Whether each label is judged by itself, because several may apply. Default false: their scores sum to 1. */
  multiLabel?: boolean
  batchSize?: number
}

export interface ZeroShotResult { sequence: string, labels: string[], scores: number[] }

/**
 * Sorts texts by labels that the model was not trained for, by asking whether each text entails 'This example is <label>.'
 * @param model of natural language inference, one of whose labels is 'entailment'
 * @throws ConfigError if no label begins with 'entail', or there are no labels to choose from
 * @see Yin et al. 2019, https://arxiv.org/abs/1909.00161
 */
export async function classifyZeroShot(
  model: TextModel, tokenizer: Tokenizer, texts: readonly string[], candidateLabels: readonly string[],
  { hypothesisTemplate = 'This example is {}.', multiLabel = false, batchSize = defaultBatchSize }: ZeroShotOptions = {},
): Promise<ZeroShotResult[]> {
  if (candidateLabels.length === 0) throw new ConfigError('zero-shot-classification: there are no candidate labels. Give a list of texts')
  if (!hypothesisTemplate.includes('{}')) throw new ConfigError(`hypothesisTemplate is ${JSON.stringify(hypothesisTemplate)}, in which {} should stand for the label`)
  const count = Number(model.config['num_labels'] ?? Object.keys(model.config['id2label'] ?? { 0: '', 1: '' }).length), names = Array.from({ length: count }, (_, id) => labelOf(model.config, id).toLowerCase())
  const entailment = names.findIndex(name => name.startsWith('entail'))
  if (entailment < 0) throw new ConfigError(`zero-shot-classification: none of the model's labels is 'entailment'; they are ${names.join(', ')}. Use a model of natural language inference`)
  const contradiction = entailment === 0 ? count - 1 : 0
  const pairs = texts.flatMap(text => candidateLabels.map(label => [text, hypothesisTemplate.replaceAll('{}', label)] as const)), logits: Float64Array[] = []
  await eachText(model, tokenizer, pairs, batchSize, async output => { logits.push(...await rowsOf(output)) }, { truncation: 'only_first' })   // hypotheses are read whole
  return texts.map((sequence, i) => {
    const own = logits.slice(i * candidateLabels.length, (i + 1) * candidateLabels.length)
    // A single label has nothing to be compared with but its contradiction.
    const scores = multiLabel || own.length === 1 ? Float64Array.from(own, row => softmax(Float64Array.of(row[contradiction]!, row[entailment]!))[1]!)
      : softmax(Float64Array.from(own, row => row[entailment]!))
    const order = ranked(scores)
    return { sequence, labels: order.map(k => candidateLabels[k]!), scores: order.map(k => scores[k]!) }
  })
}
