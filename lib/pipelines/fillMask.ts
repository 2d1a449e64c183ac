import { ConfigError, DataError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { defaultBatchSize, eachText, ranked, rowsOf, softmax, type TextModel } from './encoderInputs.js'

export interface FillMaskOptions {
  /** How many fillings of each mask. Default 5. */
  topK?: number
  /** Choose among these words alone; each has to be one token. */
  targets?: readonly string[]
  batchSize?: number
}

/** `sequence` is the text with this filling; where it has several masks, with the special tokens, of which the other masks are some. */
export interface Filling { score: number, token: number, tokenStr: string, sequence: string }

/**
 * Fills the masks of texts (`tokenizer.maskToken`), each as if the others stayed.
 * @returns for each text and each of its masks the likeliest fillings
 * @throws DataError for a text without mask; ConfigError for a tokenizer without one, or a target that is not one token
 */
export async function fillMasks(model: TextModel, tokenizer: Tokenizer, texts: readonly string[], { topK = 5, targets, batchSize = defaultBatchSize }: FillMaskOptions = {}): Promise<Filling[][][]> {
  const { maskId, maskToken } = tokenizer
  if (maskId === undefined || maskToken === undefined) throw new ConfigError('fill-mask: the tokenizer has no mask token. Use a masked language model, such as BERT')
  const wanted = targets && [...new Set(targets.map(target => {
    const id = tokenizer.tokenToId(target) ?? tokenizer.tokenToId(`Ġ${target}`) ?? tokenizer.tokenToId(`▁${target}`)
    if (id === undefined) throw new ConfigError(`fill-mask: the target ${JSON.stringify(target)} is not a token of the vocabulary. Give whole tokens`)
    return id
  }))]
  const found: Filling[][][] = []
  await eachText(model, tokenizer, texts, batchSize, async (output, encodings, first) => {
    const rows = await rowsOf(output), T = encodings[0]!.ids.length
    encodings.forEach(({ ids, attentionMask }, row) => {
      const places = ids.flatMap((id, i) => id === maskId ? [i] : [])
      if (places.length === 0) throw new DataError(`fill-mask: there is no ${maskToken} in ${JSON.stringify(texts[first + row])}`)
      const held = ids.filter((_, i) => attentionMask[i] === 1)
      found.push(places.map(place => {
        const scores = softmax(rows[row * T + place]!), candidates = wanted ? [...wanted].sort((a, b) => scores[b]! - scores[a]!) : ranked(scores)
        const position = held.length === ids.length || attentionMask[0] === 1 ? place : place - (ids.length - held.length)
        return candidates.slice(0, topK).map(token => ({
          score: scores[token]!, token, tokenStr: tokenizer.decode([token], { skipSpecialTokens: false }),
          sequence: tokenizer.decode(held.map((id, i) => i === position ? token : id), { skipSpecialTokens: places.length === 1 }),
        }))
      }))
    })
  })
  return found
}
