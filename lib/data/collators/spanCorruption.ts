import { DataError } from '../../errors.js'
import type { Random } from '../random.js'
import { checkShare, type Collator } from './collation.js'
import { seq2seqCollator } from './seq2seq.js'

export interface SpanCorruptionOptions {
  /** Id of the sentinel number i: in T5's vocabulary `vocabSize - 1 - i`. */
  sentinel: (i: number) => number
  eosId: number
  padId: number
  /** What the decoder begins with; T5: the padding token. */
  decoderStartId: number
  /** Share of tokens that are hidden. Default 0.15. */
  density?: number
  /** Mean length of a span of hidden tokens. Default 3. */
  meanLength?: number
}

/**
 * Spans of tokens are replaced by sentinels in the source; the target has each sentinel with what it hides. Both end with the end token.
 * @see Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.1.4
 */
export function spanCorruptionCollator({ sentinel, eosId, density = 0.15, meanLength = 3, ...rest }: SpanCorruptionOptions): Collator<{ readonly ids: readonly number[] }> {
  checkShare('span corruption', 'density', density)
  const collate = seq2seqCollator(rest)
  return (examples, random) => collate(examples.map(({ ids }) => {
    if (ids.length < 2) throw new DataError(`span corruption: an example has ${ids.length} tokens, expected at least 2`)
    const hidden = Math.min(Math.max(Math.round(ids.length * density), 1), ids.length - 1)
    const spans = Math.min(Math.max(Math.round(hidden / meanLength), 1), hidden, ids.length - hidden)
    const kept = parts(ids.length - hidden, spans, random), lost = parts(hidden, spans, random), source: number[] = [], target: number[] = []
    let at = 0
    for (let i = 0; i < spans; i++) {
      source.push(...ids.slice(at, at += kept[i]!), sentinel(i))
      target.push(sentinel(i), ...ids.slice(at, at += lost[i]!))
    }
    return { source: [...source, eosId], target: [...target, eosId] }
  }), random)
}

/** `total` cut into `count` parts of at least one, each way as likely as another. */
function parts(total: number, count: number, random: Random): number[] {
  const cuts = [...random.permutation(total - 1).subarray(0, count - 1)].map(cut => cut + 1).sort((a, b) => a - b)
  return [...cuts, total].map((cut, i) => cut - (cuts[i - 1] ?? 0))
}
