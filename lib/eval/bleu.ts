import { ConfigError } from '../errors.js'
import { bleuTokenizers, type BleuTokenizer } from './bleuTokenizers.js'
import { fixed } from './fixed.js'
import { matches, total, wordNgrams, type Counts } from './ngrams.js'
import { checkCount, segmentsOf, signatureOf, type ReferenceStreams, type Segment } from './segments.js'
import { splitWords, trimEnd } from './whitespace.js'

/**
 * What becomes of a precision without matches (Chen and Cherry 2014, https://aclanthology.org/W14-3346): `exp` halves it from order to
 * order (NIST), `floor` puts a value in the place of zero matches, `add-k` adds a value to matches and totals of every order above the
 * first, `none` leaves zero.
 */
export type BleuSmoothing = 'exp' | 'floor' | 'add-k' | 'none'

export interface BleuOptions {
  /** Default `13a`. Use `none` only on text that is tokenised already, and say so where the score is reported. */
  tokenize?: BleuTokenizer
  /** Default false. */
  lowercase?: boolean
  /** Default `exp`. */
  smoothMethod?: BleuSmoothing
  /** For `floor` (default 0.1) and `add-k` (default 1). */
  smoothValue?: number
  /** Default 4. */
  maxNgramOrder?: number
  /** Only the orders that the hypothesis is long enough for. Default false for a corpus, true for a sentence. */
  effectiveOrder?: boolean
}

export interface BleuScore {
  /** 0 to 100. */
  readonly score: number
  /** Matches for each order; with `add-k` smoothing the added value is in it, as in sacreBLEU. */
  readonly counts: readonly number[]
  /** n-grams of the hypotheses for each order, with the same remark. */
  readonly totals: readonly number[]
  /** Smoothed precisions for each order, 0 to 100. */
  readonly precisions: readonly number[]
  readonly brevityPenalty: number
  /** Tokens in the hypotheses. */
  readonly hypothesisLength: number
  /** Tokens in the references: for each hypothesis the reference that is closest in length, the shorter of two. */
  readonly referenceLength: number
  /** sacreBLEU's signature, to be given with the score. */
  readonly signature: string
}

const smoothingDefaults: Readonly<Record<BleuSmoothing, number | undefined>> = { exp: undefined, floor: 0.1, 'add-k': 1, none: undefined }

/**
 * BLEU of a corpus, equal to sacreBLEU's.
 * @param hypotheses detokenised text, one per segment
 * @param references reference streams, each as long as `hypotheses`: one reference for each is `[references]`
 * @throws DataError if the lengths differ or there is nothing to compare
 * @throws ConfigError for a tokenizer, smoothing method or value that does not exist
 * @see Papineni et al. 2002, https://aclanthology.org/P02-1040; Post 2018, https://arxiv.org/abs/1804.08771
 */
export function bleu(hypotheses: readonly string[], references: ReferenceStreams, options: BleuOptions = {}): BleuScore {
  const settings = settingsOf(options)
  const segments = segmentsOf('bleu', hypotheses, references)
  const order = settings.maxNgramOrder
  const counts = new Array<number>(order).fill(0), totals = new Array<number>(order).fill(0)
  let hypothesisLength = 0, referenceLength = 0
  for (const segment of segments) {
    const hypothesis = wordsOf(segment.hypothesis, settings)
    const own = segment.references.map((reference) => wordsOf(reference, settings))
    hypothesisLength += hypothesis.length
    referenceLength += closestLength(hypothesis.length, own.map((words) => words.length))
    for (let n = 1; n <= order; n++) {
      const ngrams = wordNgrams(hypothesis, n)
      counts[n - 1]! += matches(ngrams, largestCounts(own.map((words) => wordNgrams(words, n))))
      totals[n - 1]! += total(ngrams)
    }
  }
  return score(counts, totals, hypothesisLength, referenceLength, settings, bleuSignature(segments, settings))
}

/**
 * BLEU of one sentence. Sums nothing over sentences: the mean of these is not the BLEU of a corpus.
 * @param references the references of this sentence
 * @throws DataError, ConfigError as {@link bleu}
 */
export function sentenceBleu(hypothesis: string, references: readonly string[], options: BleuOptions = {}): BleuScore {
  return bleu([hypothesis], references.map((reference) => [reference]), { ...options, effectiveOrder: options.effectiveOrder ?? true })
}

/** The line that sacreBLEU prints: score, precisions, brevity penalty and lengths, with the signature. */
export function formatBleu(result: BleuScore): string {
  const ratio = result.referenceLength > 0 ? result.hypothesisLength / result.referenceLength : 0
  return `BLEU|${result.signature} = ${fixed(result.score, 2)} ${result.precisions.map((p) => fixed(p, 1)).join('/')} ` +
    `(BP = ${fixed(result.brevityPenalty, 3)} ratio = ${fixed(ratio, 3)} ` +
    `hyp_len = ${result.hypothesisLength} ref_len = ${result.referenceLength})`
}

interface Settings {
  tokenize: BleuTokenizer
  lowercase: boolean
  smoothMethod: BleuSmoothing
  smoothValue: number | undefined
  maxNgramOrder: number
  effectiveOrder: boolean
}

function settingsOf(options: BleuOptions): Settings {
  const { tokenize = '13a', lowercase = false, smoothMethod = 'exp', maxNgramOrder = 4, effectiveOrder = false } = options
  if (!Object.hasOwn(bleuTokenizers, tokenize)) {
    throw new ConfigError(`bleu: tokenize is '${String(tokenize)}', expected one of ${Object.keys(bleuTokenizers).join(', ')}; ` +
      'for any other, tokenise the texts first and pass none')
  }
  if (!Object.hasOwn(smoothingDefaults, smoothMethod)) {
    throw new ConfigError(`bleu: smoothMethod is '${String(smoothMethod)}', expected one of ${Object.keys(smoothingDefaults).join(', ')}`)
  }
  checkCount('bleu', 'maxNgramOrder', maxNgramOrder, 1)
  const ownDefault = smoothingDefaults[smoothMethod]
  const smoothValue = ownDefault === undefined ? undefined : options.smoothValue ?? ownDefault
  if (smoothValue !== undefined && !(smoothValue >= 0 && smoothValue < Infinity)) {
    throw new ConfigError(`bleu: smoothValue is ${smoothValue}, expected a finite number of at least 0`)
  }
  return { tokenize, lowercase, smoothMethod, smoothValue, maxNgramOrder, effectiveOrder }
}

function wordsOf(text: string, settings: Settings): string[] {
  const cased = settings.lowercase ? text.toLowerCase() : text
  return splitWords(bleuTokenizers[settings.tokenize](trimEnd(cased)))
}

function closestLength(length: number, references: readonly number[]): number {
  return references.reduce((best, candidate) => {
    const difference = Math.abs(candidate - length) - Math.abs(best - length)
    return difference < 0 || (difference === 0 && candidate < best) ? candidate : best
  })
}

/** For each n-gram the most that any one reference has of it: what a hypothesis gets credit for. */
function largestCounts(references: readonly Counts[]): Counts {
  const [largest, ...others] = references
  for (const counts of others) for (const [ngram, count] of counts) largest!.set(ngram, Math.max(largest!.get(ngram) ?? 0, count))
  return largest!
}

function score(
  counts: number[], totals: number[], hypothesisLength: number, referenceLength: number, settings: Settings, signature: string,
): BleuScore {
  const { smoothMethod, smoothValue = 0, maxNgramOrder, effectiveOrder } = settings
  const brevityPenalty = hypothesisLength >= referenceLength ? 1
    : hypothesisLength > 0 ? Math.exp(1 - referenceLength / hypothesisLength) : 0
  const precisions = new Array<number>(maxNgramOrder).fill(0)
  const result = { counts, totals, precisions, brevityPenalty, hypothesisLength, referenceLength, signature }
  // Without one match there is nothing to smooth: the score is zero with every method.
  if (counts.every((count) => count === 0)) return { score: 0, ...result }
  let halving = 1, orders = maxNgramOrder
  for (let n = 0; n < maxNgramOrder; n++) {
    if (smoothMethod === 'add-k' && n > 0) {
      counts[n]! += smoothValue
      totals[n]! += smoothValue
    }
    if (totals[n] === 0) break
    if (effectiveOrder) orders = n + 1
    if (counts[n]! > 0) precisions[n] = 100 * counts[n]! / totals[n]!
    else if (smoothMethod === 'exp') precisions[n] = 100 / ((halving *= 2) * totals[n]!)
    else if (smoothMethod === 'floor') precisions[n] = 100 * smoothValue / totals[n]!
  }
  // The logarithm of zero makes the mean minus infinity and the score zero.
  const meanLog = precisions.slice(0, orders).reduce((sum, precision) => sum + Math.log(precision), 0) / orders
  return { score: brevityPenalty * Math.exp(meanLog), ...result }
}

function bleuSignature(segments: readonly Segment[], settings: Settings): string {
  const value = settings.smoothValue === undefined ? '' : `[${fixed(settings.smoothValue, 2)}]`
  return signatureOf(segments, {
    case: settings.lowercase ? 'lc' : 'mixed', eff: settings.effectiveOrder ? 'yes' : 'no',
    tok: settings.tokenize, smooth: settings.smoothMethod + value,
  })
}
