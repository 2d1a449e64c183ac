import { DataError } from '../errors.js'
import { checkPairs, checkTexts } from './segments.js'
import { collapseRuns, trim } from './whitespace.js'

export interface ErrorRate {
  /** Edits over the references' length: 0 is equal, and it may be above 1. */
  readonly rate: number
  readonly substitutions: number
  /** Of what the reference has and the hypothesis lacks. */
  readonly deletions: number
  readonly insertions: number
  /** Words or characters that are right. */
  readonly hits: number
  /** Words or characters of all references. */
  readonly referenceLength: number
}

/**
 * Word error rate of a corpus: all edits over all reference words, equal to jiwer's. Words are what spaces separate; case and punctuation
 * count. A pair with an empty reference adds its insertions; where no reference has a word, the rate is the number of insertions.
 * @param hypotheses texts   @param references one for each
 * @throws DataError if the lengths differ or there is nothing to compare
 */
export function wordErrorRate(hypotheses: readonly string[], references: readonly string[]): ErrorRate {
  return errorRate('wordErrorRate', hypotheses, references, (text) => trim(collapseRuns(text)).split(' ').filter((word) => word !== ''))
}

/**
 * Character error rate of a corpus: as {@link wordErrorRate}, over code points. Spaces within the text are characters, those around it
 * are not.
 * @param hypotheses texts   @param references one for each
 * @throws DataError if the lengths differ or there is nothing to compare
 */
export function characterErrorRate(hypotheses: readonly string[], references: readonly string[]): ErrorRate {
  return errorRate('characterErrorRate', hypotheses, references, (text) => Array.from(trim(text)))
}

function errorRate(
  metric: string, hypotheses: readonly string[], references: readonly string[], unitsOf: (text: string) => string[],
): ErrorRate {
  checkTexts(metric, 'hypotheses', hypotheses)
  if (Array.isArray(references[0])) {
    throw new DataError(`${metric}: references[0] is a list, expected a string; this metric takes one reference for each hypothesis`)
  }
  checkTexts(metric, 'references', references)
  checkPairs(metric, 'hypotheses', hypotheses, 'references', references)
  let substitutions = 0, deletions = 0, insertions = 0, referenceLength = 0
  hypotheses.forEach((hypothesis, i) => {
    const wanted = unitsOf(references[i]!)
    const edits = leastEdits(unitsOf(hypothesis), wanted)
    substitutions += edits.substitutions
    deletions += edits.deletions
    insertions += edits.insertions
    referenceLength += wanted.length
  })
  const edits = substitutions + deletions + insertions
  return {
    rate: referenceLength > 0 ? edits / referenceLength : edits,
    substitutions, deletions, insertions, hits: referenceLength - substitutions - deletions, referenceLength,
  }
}

/**
 * Levenshtein distance, row by row: memory is linear in the reference. Among alignments with the fewest edits it counts the one that
 * jiwer's library takes: read from the end, what both begin and end with matches, a deletion goes before an insertion, that before a
 * substitution where it leaves fewer edits.
 */
function leastEdits(hypothesis: readonly string[], reference: readonly string[]) {
  let start = 0, end = 0
  const shorter = Math.min(hypothesis.length, reference.length)
  while (start < shorter && hypothesis[start] === reference[start]) start++
  while (end < shorter - start && hypothesis.at(-1 - end) === reference.at(-1 - end)) end++
  const rows = hypothesis.length - start - end, columns = reference.length - start - end
  let costs = Int32Array.from({ length: columns + 1 }, (_, j) => j), above = new Int32Array(columns + 1)
  let substitutions = new Int32Array(columns + 1), substitutionsAbove = new Int32Array(columns + 1)
  for (let i = 1; i <= rows; i++) {
    [costs, above, substitutions, substitutionsAbove] = [above, costs, substitutionsAbove, substitutions]
    costs[0] = i
    substitutions[0] = 0
    const word = hypothesis[start + i - 1]
    for (let j = 1; j <= columns; j++) {
      const wrong = word === reference[start + j - 1] ? 0 : 1
      const deletion = costs[j - 1]! + 1, insertion = above[j]! + 1, substitution = above[j - 1]! + wrong
      const cost = Math.min(deletion, insertion, substitution)
      costs[j] = cost
      substitutions[j] = cost === deletion ? substitutions[j - 1]!
        : insertion === above[j - 1] ? substitutionsAbove[j]!
        : substitutionsAbove[j - 1]! + wrong
    }
  }
  const others = costs[columns]! - substitutions[columns]!
  return { substitutions: substitutions[columns]!, insertions: (others + rows - columns) / 2, deletions: (others - rows + columns) / 2 }
}
