import { segmentsOf, signatureOf, type ReferenceStreams } from './segments.js'
import { tercomWords, type TercomOptions } from './tercomTokenizer.js'
import { translationEdits } from './translationEdits.js'
import { trimEnd } from './whitespace.js'

export type TerOptions = TercomOptions

export interface TerScore {
  /** Edits in percent of the references' words: 0 is equal, and it may be above 100. */
  readonly score: number
  /** Insertions, deletions, substitutions and shifts. */
  readonly edits: number
  /** Words of the references; where there are several, their mean. */
  readonly referenceLength: number
  /** sacreBLEU's signature, to be given with the score. */
  readonly signature: string
}

/**
 * Translation edit rate of a corpus, equal to sacreBLEU's: the least edits to any reference over the mean length of the references.
 * @param hypotheses one text per segment
 * @param references reference streams, each as long as `hypotheses`: one reference for each is `[references]`
 * @throws DataError if the lengths differ or there is nothing to compare
 * @see Snover et al. 2006, https://aclanthology.org/2006.amta-papers.25
 */
export function ter(hypotheses: readonly string[], references: ReferenceStreams, options: TerOptions = {}): TerScore {
  const { normalized = false, noPunct = false, asianSupport = false, caseSensitive = false } = options
  const segments = segmentsOf('ter', hypotheses, references)
  let edits = 0, referenceLength = 0
  for (const segment of segments) {
    const hypothesis = tercomWords(trimEnd(segment.hypothesis), options)
    const own = segment.references.map((reference) => referenceWords(reference, options))
    edits += Math.min(...own.map((reference) => translationEdits(hypothesis, reference)))
    referenceLength += own.reduce((sum, reference) => sum + reference.length, 0) / own.length
  }
  const signature = signatureOf(segments, {
    case: caseSensitive ? 'mixed' : 'lc', tok: 'tercom', norm: yesNo(normalized), punct: yesNo(!noPunct), asian: yesNo(asianSupport),
  })
  // Words where no reference has any: all of the hypothesis is wrong.
  const rate = referenceLength > 0 ? edits / referenceLength : edits > 0 ? 1 : 0
  return { score: 100 * rate, edits, referenceLength, signature }
}

/**
 * Translation edit rate of one sentence.
 * @param references the references of this sentence
 * @throws DataError as {@link ter}
 */
export function sentenceTer(hypothesis: string, references: readonly string[], options: TerOptions = {}): TerScore {
  return ter([hypothesis], references.map((reference) => [reference]), options)
}

/**
 * sacreBLEU normalises references twice, hypotheses once (with `normalized`, the possessive in `John's.` is split only here); scores are
 * with that.
 */
function referenceWords(reference: string, options: TerOptions): string[] {
  return tercomWords(tercomWords(trimEnd(reference), options).join(' '), options)
}

function yesNo(value: boolean): 'yes' | 'no' {
  return value ? 'yes' : 'no'
}
