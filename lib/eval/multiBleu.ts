import { bleu, type BleuScore } from './bleu.js'
import { fixed } from './fixed.js'
import type { ReferenceStreams } from './segments.js'

/**
 * BLEU-4 of text that is tokenised already: tokens are what lies between white space, nothing is smoothed, and a score without any 4-gram
 * match is zero. This is `multi-bleu.perl` of Moses and the `BLEU4` of fairseq-generate and fairseq-score. It is comparable only among
 * the same tokenisation.
 * @param hypotheses tokenised text, subwords joined
 * @param references reference streams, tokenised in the same way
 * @throws DataError if the lengths differ or there is nothing to compare
 */
export function multiBleu(hypotheses: readonly string[], references: ReferenceStreams, options: { lowercase?: boolean } = {}): BleuScore {
  return bleu(hypotheses, references, { ...options, tokenize: 'none', smoothMethod: 'none' })
}

/** The line that fairseq prints for a score of {@link multiBleu}. */
export function formatMultiBleu(result: BleuScore): string {
  const ratio = result.referenceLength > 0 ? result.hypothesisLength / result.referenceLength : 0
  return `BLEU${result.precisions.length} = ${fixed(result.score, 2)}, ${result.precisions.map((p) => fixed(p, 1)).join('/')} ` +
    `(BP=${fixed(result.brevityPenalty, 3)}, ratio=${fixed(ratio, 3)}, syslen=${result.hypothesisLength}, reflen=${result.referenceLength})`
}
