import type { Random } from '../random.js'
import { checkShare, type Collator } from './collation.js'
import { seq2seqCollator } from './seq2seq.js'

export interface DenoisingOptions {
  maskId: number
  bosId: number
  eosId: number
  padId: number
  decoderStartId: number
  /** Share of tokens that are hidden. Default 0.3. */
  maskShare?: number
  /** Mean length of what one mask hides; 0 happens too, a mask that hides nothing. Default 3. */
  meanLength?: number
  /** Whether a token ends a sentence; sentences are put into another order. Default: none does. */
  endsSentence?: (id: number) => boolean
}

/**
 * Sentences in another order, and spans of tokens each behind one mask: the source of a model that writes the text as it was. Examples are tokens without special ones.
 * @see Lewis et al. 2019, https://arxiv.org/abs/1910.13461, section 2.2 (text infilling, sentence permutation)
 */
export function denoisingCollator({ maskId, bosId, eosId, maskShare = 0.3, meanLength = 3, endsSentence, ...rest }: DenoisingOptions): Collator<{ readonly ids: readonly number[] }> {
  checkShare('denoising', 'maskShare', maskShare)
  const collate = seq2seqCollator(rest)
  return (examples, random) => collate(examples.map(({ ids }) => {
    const sentences = endsSentence ? random.shuffle(sentencesOf(ids, endsSentence)).flat() : [...ids]
    return { source: [bosId, ...infilled(sentences, { maskId, maskShare, meanLength }, random), eosId], target: [bosId, ...ids, eosId] }
  }), random)
}

function sentencesOf(ids: readonly number[], ends: (id: number) => boolean): number[][] {
  const sentences: number[][] = [[]]
  for (const id of ids) {
    sentences.at(-1)!.push(id)
    if (ends(id)) sentences.push([])
  }
  return sentences.filter(sentence => sentence.length > 0)
}

/** Spans with lengths of a Poisson distribution, until so many tokens are hidden, at places that are all as likely. */
function infilled(ids: readonly number[], { maskId, maskShare, meanLength }: { maskId: number, maskShare: number, meanLength: number }, random: Random): number[] {
  const budget = Math.round(ids.length * maskShare), spans: number[] = []
  for (let hidden = 0; hidden < budget;) {
    const length = Math.min(poisson(meanLength, random), budget - hidden)
    spans.push(length)
    hidden += length
  }
  const slots = ids.length - budget + spans.length, places = new Set([...random.permutation(slots).subarray(0, spans.length)]), out: number[] = []
  let at = 0, next = 0
  for (let slot = 0; slot < slots; slot++) {
    if (places.has(slot)) {
      out.push(maskId)
      at += spans[next++]!
    } else {
      out.push(ids[at++]!)
    }
  }
  return out
}

/** Knuth's: products of uniform numbers until they fall below exp(-mean). */
function poisson(mean: number, random: Random): number {
  const floor = Math.exp(-mean)
  let count = 0
  for (let product = random.uniform(); product > floor; product *= random.uniform()) count++
  return count
}
