import { DataError } from '../../errors.js'
import type { Encoding } from '../../text/encoding.js'
import { ignoreIndex } from '../ignoreIndex.js'
import type { ExampleEncoder } from './causal.js'
import { type Collator, counted, maskOf, padded, present } from './collation.js'

/** A text whose tokens have classes; -100 does not count. */
export interface LabelledTokens extends Pick<Encoding, 'ids'> { readonly typeIds?: readonly number[], readonly labels: readonly number[] }

/** What the tokens of a word get behind the first: nothing that counts, the word's label, or what a function makes of it (B-PER to I-PER). */
export type Continuation = 'ignore' | 'same' | ((label: number) => number)

/** Words with labels as tokens with labels: the words are joined by spaces, and each token is of the word that it stands in. @throws DataError if there are not as many labels as words */
export function labelledWords(tokenizer: ExampleEncoder, { words, labels }: { words: readonly string[], labels: readonly number[] }, { continuation = 'ignore' }: { continuation?: Continuation } = {}): LabelledTokens {
  if (words.length !== labels.length) throw new DataError(`there are ${words.length} words and ${labels.length} labels`)
  let at = 0
  const spans = words.map((word, i) => {
    const span = { start: at, end: at + word.length, label: labels[i]! }
    at += word.length + 1
    return span
  })
  const { ids, typeIds, offsets, specialTokensMask } = tokenizer.encode(words.join(' '))
  return { ids, typeIds, labels: alignedLabels({ offsets, specialTokensMask }, spans, { continuation }) }
}

/**
 * Labels of tokens by those of places in the text.
 * @param spans in the order of the text, without overlaps @param outside of tokens in none of them; default: they do not count
 */
export function alignedLabels({ offsets, specialTokensMask }: Pick<Encoding, 'offsets' | 'specialTokensMask'>, spans: readonly { start: number, end: number, label: number }[],
  { continuation = 'ignore', outside = ignoreIndex }: { continuation?: Continuation, outside?: number } = {}): number[] {
  let last = -1
  return offsets.map(([from, to], i) => {
    if (specialTokensMask[i] === 1) return ignoreIndex
    // A token may begin with the space before its word.
    const span = spans.findIndex(({ start, end }) => from < end && to > start)
    if (span < 0) return to > from ? outside : ignoreIndex
    const first = span !== last, { label } = spans[span]!
    last = span
    return first || continuation === 'same' ? label : continuation === 'ignore' ? ignoreIndex : continuation(label)
  })
}

/** Batches `{ ids, labels, attentionMask, tokenTypeIds }`. */
export function tokenLabelCollator({ padId, maxLength = Infinity }: { padId: number, maxLength?: number }): Collator<LabelledTokens> {
  return examples => {
    const rows = examples.map(({ ids }) => ids.slice(0, maxLength)), ids = padded(rows, padId), labels = padded(examples.map(example => example.labels.slice(0, maxLength)), ignoreIndex)
    const typed = examples.every(({ typeIds }) => typeIds)
    return {
      inputs: present({ ids, labels, attentionMask: maskOf(rows, ids.shape[1]!), tokenTypeIds: typed ? padded(examples.map(({ typeIds }) => typeIds!.slice(0, maxLength)), 0) : undefined }),
      tokens: counted(labels.data, ignoreIndex),
    }
  }
}
