import { ConfigError } from '../errors.js'
import { characterNgrams, matches, total, wordNgrams, type Counts } from './ngrams.js'
import { checkCount, segmentsOf, signatureOf, type ReferenceStreams } from './segments.js'
import { splitWords } from './whitespace.js'

export interface ChrfOptions {
  /** Longest n-gram of characters. Default 6. */
  charOrder?: number
  /** Longest n-gram of words: 0 (default) is chrF, 2 is chrF++. */
  wordOrder?: number
  /** How many times more recall counts than precision. Default 2. */
  beta?: number
  /** Default false. */
  lowercase?: boolean
  /** Keep white space among the characters. Default false. */
  whitespace?: boolean
  /**
   * Average F over all orders with a tiny value for those without n-grams, as chrF++.py, Moses and NLTK do. Default false: orders without
   * n-grams do not count.
   */
  epsSmoothing?: boolean
}

export interface ChrfScore {
  /** 0 to 100. */
  readonly score: number
  /** `chrF2`, or `chrF2++`: the digit is beta, a plus for each order of words. */
  readonly name: string
  /** sacreBLEU's signature, to be given with the score. */
  readonly signature: string
}

/**
 * chrF of a corpus, equal to sacreBLEU's; chrF++ with `wordOrder: 2`. Of several references the one with the best F for the sentence
 * counts.
 * @param hypotheses detokenised text, one per segment
 * @param references reference streams, each as long as `hypotheses`: one reference for each is `[references]`
 * @throws DataError if the lengths differ or there is nothing to compare
 * @throws ConfigError for orders below 0, no order at all, or a beta that is not positive
 * @see Popović 2015, https://aclanthology.org/W15-3049; Popović 2017, https://aclanthology.org/W17-4770
 */
export function chrf(hypotheses: readonly string[], references: ReferenceStreams, options: ChrfOptions = {}): ChrfScore {
  const { charOrder = 6, wordOrder = 0, beta = 2, lowercase = false, whitespace = false, epsSmoothing = false } = options
  const settings: Settings = { charOrder, wordOrder, beta, lowercase, whitespace, epsSmoothing }
  checkCount('chrf', 'charOrder', charOrder, 0)
  checkCount('chrf', 'wordOrder', wordOrder, 0)
  if (charOrder + wordOrder === 0) throw new ConfigError('chrf: charOrder and wordOrder are both 0, expected one above 0')
  if (!(beta > 0 && beta < Infinity)) throw new ConfigError(`chrf: beta is ${beta}, expected a positive number`)
  const segments = segmentsOf('chrf', hypotheses, references)
  const sums: OrderStatistics[] = Array.from({ length: charOrder + wordOrder }, () => ({ hypothesis: 0, reference: 0, match: 0 }))
  for (const segment of segments) {
    const hypothesis = ngramsOf(segment.hypothesis, settings)
    let best: OrderStatistics[] = [], bestF = -1
    for (const reference of segment.references) {
      const statistics = compare(hypothesis, ngramsOf(reference, settings))
      const f = fScore(statistics, settings)
      if (f > bestF) [best, bestF] = [statistics, f]
    }
    best.forEach((own, n) => {
      sums[n]!.hypothesis += own.hypothesis
      sums[n]!.reference += own.reference
      sums[n]!.match += own.match
    })
  }
  const signature = signatureOf(segments, {
    case: lowercase ? 'lc' : 'mixed', eff: epsSmoothing ? 'no' : 'yes',
    nc: charOrder, nw: wordOrder, space: whitespace ? 'yes' : 'no',
  })
  return { score: fScore(sums, settings), name: `chrF${beta}${'+'.repeat(wordOrder)}`, signature }
}

/**
 * chrF of one sentence.
 * @param references the references of this sentence
 * @throws DataError, ConfigError as {@link chrf}
 */
export function sentenceChrf(hypothesis: string, references: readonly string[], options: ChrfOptions = {}): ChrfScore {
  return chrf([hypothesis], references.map((reference) => [reference]), options)
}

type Settings = Required<ChrfOptions>

/** Numbers of n-grams of one order: of the hypothesis, of the reference, and of both. */
interface OrderStatistics { hypothesis: number; reference: number; match: number }

/** n-gram counts for each order, characters first. */
function ngramsOf(text: string, settings: Settings): Counts[] {
  const cased = settings.lowercase ? text.toLowerCase() : text
  const characters = characterNgrams(settings.whitespace ? cased : splitWords(cased).join(''), settings.charOrder)
  if (settings.wordOrder === 0) return characters
  const words = splitWords(cased).flatMap(separatePunctuation)
  return [...characters, ...Array.from({ length: settings.wordOrder }, (_, n) => wordNgrams(words, n + 1))]
}

const punctuation = new Set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~')

/** Splits one ASCII punctuation mark off a word, the last before the first: `(hi)` gives `(hi` and `)`. */
function separatePunctuation(word: string): string[] {
  if (word.length === 1) return [word]
  if (punctuation.has(word.at(-1)!)) return [word.slice(0, -1), word.at(-1)!]
  if (punctuation.has(word[0]!)) return [word[0]!, word.slice(1)]
  return [word]
}

function compare(hypothesis: readonly Counts[], reference: readonly Counts[]): OrderStatistics[] {
  return hypothesis.map((own, n) => ({
    // Where the reference has no n-gram of an order, those of the hypothesis do not count against it.
    hypothesis: reference[n]!.size > 0 ? total(own) : 0,
    reference: total(reference[n]!),
    match: matches(own, reference[n]!),
  }))
}

function fScore(statistics: readonly OrderStatistics[], settings: Settings): number {
  const eps = 1e-16, factor = settings.beta ** 2
  if (settings.epsSmoothing) {
    const sum = statistics.reduce((partial, { hypothesis, reference, match }) => {
      const precision = hypothesis > 0 ? match / hypothesis : eps
      const recall = reference > 0 ? match / reference : eps
      const denominator = factor * precision + recall
      return partial + (denominator > 0 ? (1 + factor) * precision * recall / denominator : eps)
    }, 0)
    return 100 * sum / statistics.length
  }
  const effective = statistics.filter(({ hypothesis, reference }) => hypothesis > 0 && reference > 0)
  if (effective.length === 0) return 0
  const precision = effective.reduce((sum, { hypothesis, match }) => sum + match / hypothesis, 0) / effective.length
  const recall = effective.reduce((sum, { reference, match }) => sum + match / reference, 0) / effective.length
  return precision + recall > 0 ? 100 * (1 + factor) * precision * recall / (factor * precision + recall) : 0
}
