import { ignoreIndex } from '../ignoreIndex.js'
import { type Collator, counted, maskOf, padded, present } from './collation.js'

/** A text and what is to be written of it, with all special tokens. */
export interface Seq2SeqExample { readonly source: readonly number[], readonly target: readonly number[] }

/** Batches `{ source, sourceMask, decoderInput, labels }`: the decoder reads the target behind its start token. Longer texts are cut, the last token stays. */
export function seq2seqCollator({ padId, decoderStartId, maxSourceLength = Infinity, maxTargetLength = Infinity }: {
  padId: number, decoderStartId: number, maxSourceLength?: number, maxTargetLength?: number,
}): Collator<Seq2SeqExample> {
  const cut = (ids: readonly number[], most: number): readonly number[] => ids.length <= most ? ids : [...ids.slice(0, most - 1), ids.at(-1)!]
  return examples => {
    const sources = examples.map(({ source }) => cut(source, maxSourceLength)), targets = examples.map(({ target }) => cut(target, maxTargetLength))
    const source = padded(sources, padId), labels = padded(targets, ignoreIndex)
    return {
      inputs: present({
        source, sourceMask: maskOf(sources, source.shape[1]!), decoderInput: padded(targets.map(target => [decoderStartId, ...target.slice(0, -1)]), padId), labels,
      }),
      tokens: counted(labels.data, ignoreIndex),
    }
  }
}
