import type { Encoding } from '../../text/encoding.js'
import { ignoreIndex } from '../ignoreIndex.js'
import { checkShare, type Collator, counted, maskOf, padded, present } from './collation.js'

/** A text whose tokens may be hidden. */
export interface MaskedExample extends Pick<Encoding, 'ids' | 'specialTokensMask'> {
  /** Number of each token's word, for `wholeWord`; see `wordsOf`. */
  readonly words?: readonly number[]
  readonly typeIds?: readonly number[]
}

export interface MaskingOptions {
  maskId: number
  /** Tokens that may stand in for one another: ids from 0 up to it. */
  vocabSize: number
  padId: number
  /** Share of tokens to predict. Default 0.15. */
  probability?: number
  /** Of these, shares that become the mask, and another token; the rest stays as it is. Default 0.8 and 0.1. */
  maskShare?: number
  randomShare?: number
  /** Words are chosen instead of tokens: all tokens of one, or none. */
  wholeWord?: boolean
}

/**
 * Hides tokens for a model that finds them again: of those chosen, 80 % become the mask, 10 % another token, 10 % stay. Batches `{ ids, labels, attentionMask, tokenTypeIds }`.
 * @see Devlin et al. 2018, https://arxiv.org/abs/1810.04805, section 3.1
 */
export function maskingCollator({ maskId, vocabSize, padId, probability = 0.15, maskShare = 0.8, randomShare = 0.1, wholeWord = false }: MaskingOptions): Collator<MaskedExample> {
  checkShare('masking', 'probability', probability)
  return (examples, random) => {
    const rows: number[][] = [], targets: number[][] = []
    for (const { ids, specialTokensMask, words } of examples) {
      const drawn = new Map<number, boolean>(), row = [...ids], target = row.map(() => ignoreIndex)
      ids.forEach((id, i) => {
        if (specialTokensMask[i] === 1) return
        const unit = wholeWord ? words?.[i] ?? i : i, chosen = drawn.get(unit) ?? random.uniform() < probability
        drawn.set(unit, chosen)
        if (!chosen) return
        target[i] = id
        const kind = random.uniform()
        if (kind < maskShare) row[i] = maskId
        else if (kind < maskShare + randomShare) row[i] = random.integer(vocabSize)
      })
      rows.push(row)
      targets.push(target)
    }
    const ids = padded(rows, padId), labels = padded(targets, ignoreIndex), typed = examples.every(({ typeIds }) => typeIds)
    return {
      inputs: present({ ids, labels, attentionMask: maskOf(rows, ids.shape[1]!), tokenTypeIds: typed ? padded(examples.map(({ typeIds }) => typeIds!), 0) : undefined }),
      tokens: counted(labels.data, ignoreIndex),
    }
  }
}

/** Which word each token belongs to: tokens that touch within letters and digits are of one, and what WordPiece marks with ##. */
export function wordsOf(text: string, { tokens, offsets, specialTokensMask }: Pick<Encoding, 'tokens' | 'offsets' | 'specialTokensMask'>): number[] {
  const isLetter = (at: number): boolean => /[\p{L}\p{N}\p{M}]/u.test(text.charAt(at))
  let word = -1
  return tokens.map((token, i) => {
    const start = offsets[i]![0], before = offsets[i - 1]
    const goesOn = i > 0 && specialTokensMask[i] === 0 && specialTokensMask[i - 1] === 0
      && (token.startsWith('##') || (before![1] === start && isLetter(start) && isLetter(start - 1)))
    return goesOn ? word : ++word
  })
}
