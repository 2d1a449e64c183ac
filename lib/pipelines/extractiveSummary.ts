import { ConfigError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'
import type { TextModel } from './encoderInputs.js'
import { extractFeatures } from './featureExtraction.js'

export interface ExtractiveSummaryOptions {
  /** How many sentences are kept. Default 3. */
  sentences?: number
  batchSize?: number
  /** Of the text, for where sentences end. Default 'en'. */
  language?: string
}

/** Sentences of the summary in the order of the text, with their scores. */
export interface ExtractiveSummary { summaryText: string, sentences: { text: string, score: number, start: number, end: number }[] }

/**
 * Chooses the sentences that are most like the rest of the text: the score of a sentence is its share of a random walk over the likeness of sentences, as LexRank has it,
 * here the cosine of mean hidden states.
 * @param model an encoder's layers @throws ConfigError if no sentence is to be kept
 * @see Erkan, Radev 2004, https://arxiv.org/abs/1109.2128
 */
export async function summarizeBySentences(
  model: TextModel, tokenizer: Tokenizer, text: string, { sentences: count = 3, language = 'en', ...options }: ExtractiveSummaryOptions = {},
): Promise<ExtractiveSummary> {
  if (!Number.isInteger(count) || count < 1) throw new ConfigError(`sentences is ${count}, expected a whole number above 0`)
  const found = [...new Intl.Segmenter(language, { granularity: 'sentence' }).segment(text)].filter(({ segment }) => segment.trim() !== '')
    .map(({ segment, index }) => { const start = index + segment.search(/\S/), trimmed = segment.trim(); return { text: trimmed, start, end: start + trimmed.length } })
  const vectors = (await extractFeatures(model, tokenizer, found.map(sentence => sentence.text), { ...options, pooling: 'mean', normalize: true })).map(([vector]) => vector!)
  const scores = centrality(vectors.map(a => vectors.map(b => Math.max(0, a.reduce((sum, value, i) => sum + value * b[i]!, 0)))))
  const kept = new Set([...found.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, count))
  const sentences = found.flatMap((sentence, i) => kept.has(i) ? [{ ...sentence, score: scores[i]! }] : [])
  return { summaryText: sentences.map(sentence => sentence.text).join(' '), sentences }
}

/** Where a walk ends up that goes from sentence to sentence by their likeness, and to any of them in 15 % of its steps; the scores sum to 1. */
function centrality(likeness: readonly (readonly number[])[], damping = 0.85): number[] {
  const n = likeness.length, totals = likeness.map(row => row.reduce((a, b) => a + b, 0) || 1)
  let scores = new Array<number>(n).fill(1 / n)
  for (let step = 0; step < 200; step++) {
    const next = scores.map((_, k) => (1 - damping) / n + damping * scores.reduce((sum, score, i) => sum + score * likeness[i]![k]! / totals[i]!, 0))
    const change = next.reduce((sum, value, i) => sum + Math.abs(value - scores[i]!), 0)
    scores = next
    if (change < 1e-9) break
  }
  return scores
}
