import { ConfigError } from '../errors.js'
import { matches, total, wordNgrams } from './ngrams.js'
import { porterStem } from './porterStemmer.js'
import { segmentsOf, type ReferenceStreams } from './segments.js'

/** `rouge1` to `rouge9` count n-grams; `rougeL` the longest common subsequence; `rougeLsum` the same by lines, each a sentence. */
export type RougeType = `rouge${1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9}` | 'rougeL' | 'rougeLsum'

export interface RougeOptions<T extends RougeType = RougeType> {
  /** Default ROUGE-1, 2, L and Lsum. */
  types?: readonly T[]
  /** Compare stems of words of more than three letters (Porter). Default false. */
  useStemmer?: boolean
}

/** 0 to 1. */
export interface RougeScore { readonly precision: number; readonly recall: number; readonly f1: number }

export interface RougeResult<T extends RougeType = RougeType> {
  /** For each prediction. */
  readonly pairs: readonly Readonly<Record<T, RougeScore>>[]
  /** Means over the predictions. */
  readonly mean: Readonly<Record<T, RougeScore>>
}

const defaultTypes = ['rouge1', 'rouge2', 'rougeL', 'rougeLsum'] as const

/**
 * ROUGE for each prediction and on average, equal to Google's rouge_score. Of several references the one with the best F1 counts, for
 * each type. Words are runs of a-z and 0-9 after lower-casing, as in ROUGE-1.5.5: other scripts give 0.
 * @param predictions texts; for `rougeLsum` with a line for each sentence
 * @param references reference streams, each as long as `predictions`: one reference for each is `[references]`
 * @throws DataError if the lengths differ or there is nothing to compare
 * @throws ConfigError for an unknown type
 * @see Lin 2004, https://aclanthology.org/W04-1013
 */
export function rouge<T extends RougeType = typeof defaultTypes[number]>(
  predictions: readonly string[], references: ReferenceStreams, options: RougeOptions<T> = {},
): RougeResult<T> {
  const { types = defaultTypes as readonly RougeType[] as readonly T[], useStemmer = false } = options
  const unknown = types.find((type) => !/^rouge([1-9]|L|Lsum)$/.test(type))
  if (unknown !== undefined || types.length === 0) {
    throw new ConfigError(`rouge: types are ${JSON.stringify(types)}, expected some of rouge1 to rouge9, rougeL, rougeLsum`)
  }
  const pairs = segmentsOf('rouge', predictions, references).map((segment) => {
    const prediction = wordsByLine(segment.hypothesis, useStemmer)
    const own = segment.references.map((reference) => wordsByLine(reference, useStemmer))
    return recordOf(types, (type) => own.map((reference) => scoreOf(type, prediction, reference)).reduce((a, b) => b.f1 > a.f1 ? b : a))
  })
  const meanOf = (type: T, part: keyof RougeScore) => pairs.reduce((sum, pair) => sum + pair[type][part], 0) / pairs.length
  const mean = recordOf(types, (type) => ({ precision: meanOf(type, 'precision'), recall: meanOf(type, 'recall'), f1: meanOf(type, 'f1') }))
  return { pairs, mean }
}

function recordOf<T extends RougeType>(types: readonly T[], value: (type: T) => RougeScore): Record<T, RougeScore> {
  return Object.fromEntries(types.map((type) => [type, value(type)])) as Record<T, RougeScore>
}

/** A line's words; a line end ends a word anyway, so the lines in a row are the text's words. */
function wordsByLine(text: string, useStemmer: boolean): string[][] {
  return text.split('\n').map((line) => {
    const words = line.toLowerCase().split(/[^a-z0-9]+/).filter((word) => word !== '')
    return useStemmer ? words.map((word) => word.length > 3 ? porterStem(word) : word) : words
  })
}

function scoreOf(type: RougeType, prediction: string[][], reference: string[][]): RougeScore {
  if (type === 'rougeLsum') return score(unionMatches(prediction, reference), prediction.flat().length, reference.flat().length)
  if (type === 'rougeL') {
    const a = prediction.flat(), b = reference.flat()
    return score(commonSubsequence(b, a).length, a.length, b.length)
  }
  const n = Number(type.slice(5))
  const a = wordNgrams(prediction.flat(), n), b = wordNgrams(reference.flat(), n)
  return score(matches(a, b), total(a), total(b))
}

function score(matched: number, predicted: number, wanted: number): RougeScore {
  const precision = matched / Math.max(predicted, 1), recall = matched / Math.max(wanted, 1)
  return { precision, recall, f1: precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0 }
}

/**
 * Lin 2004, section 3.2: of each reference sentence the words that are in its longest common subsequence with any predicted sentence; as
 * in ROUGE-1.5.5 no word counts more often than it occurs in both texts.
 */
function unionMatches(prediction: readonly string[][], reference: readonly string[][]): number {
  const left = wordNgrams(prediction.flat(), 1)
  let hits = 0
  for (const sentence of reference) {
    const union = new Set(prediction.flatMap((candidate) => commonSubsequence(sentence, candidate)))
    // A reference word stands for itself once, so only the prediction's supply can run out.
    for (const position of union) {
      const word = sentence[position]!, supply = left.get(word) ?? 0
      if (supply === 0) continue
      hits++
      left.set(word, supply - 1)
    }
  }
  return hits
}

/**
 * Positions in `a` of a longest common subsequence with `b`, last first. Where there is a choice, a word of `a` is given up before one of
 * `b`.
 */
function commonSubsequence(a: readonly string[], b: readonly string[]): number[] {
  const width = b.length + 1
  const lengths = new Int32Array((a.length + 1) * width)
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j < width; j++) {
      lengths[i * width + j] = a[i - 1] === b[j - 1]
        ? lengths[(i - 1) * width + j - 1]! + 1
        : Math.max(lengths[(i - 1) * width + j]!, lengths[i * width + j - 1]!)
    }
  }
  const positions: number[] = []
  let i = a.length, j = b.length
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      positions.push(--i)
      j--
    } else if (lengths[i * width + j - 1]! > lengths[(i - 1) * width + j]!) j--
    else i--
  }
  return positions
}
