import { describe, type Fields } from './jsonFields.js'
import type { Model, WordTokens } from './model.js'
import { PrefixTree } from './prefixTree.js'
import { byteTokens } from './vocabulary.js'

/** How much worse than the worst piece an unknown character is, in log probability. */
export const unknownPenalty = 10

/**
 * Unigram language model (Kudo 2018): the segmentation of greatest probability, by Viterbi. Neighbouring unknown characters become one token,
 * which carries their text; the id is that of the unknown token.
 */
export function unigramModel(fields: Fields): Model {
  const pieces: string[] = [], scores: number[] = []
  fields.list('vocab').forEach((entry, id) => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || typeof entry[1] !== 'number') {
      throw fields.error(`entry ${id} of vocab is ${describe(entry)} ${JSON.stringify(entry)?.slice(0, 80)}, expected [piece, log `
        + 'probability]. Is the file damaged?')
    }
    pieces.push(entry[0])
    scores.push(entry[1])
  })
  if (pieces.length === 0) throw fields.error('vocab is empty. Train the tokenizer again.')
  const unknownId = fields.has('unk_id') ? fields.number('unk_id') : undefined
  if (unknownId !== undefined && pieces[unknownId] === undefined) {
    throw fields.error(`unk_id is ${unknownId}, expected an id below ${pieces.length}, the size of vocab.`)
  }
  const byteFallback = fields.boolean('byte_fallback', false)
  const vocabulary = new Map(pieces.map((piece, id) => [piece, id]))
  const tree = new PrefixTree()
  for (const [piece, id] of vocabulary) if (piece !== '') tree.insert(piece, id)
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - unknownPenalty
  const path = bestPath(tree, scores, unknownScore)

  return {
    vocabulary,
    unknownToken: unknownId === undefined ? undefined : pieces[unknownId],
    tokenize(word: string): WordTokens {
      const ids: number[] = [], tokens: string[] = [], spans: number[] = []
      const { ends, ids: found } = path(word)
      let start = 0
      ends.forEach((end, i) => {
        if (found[i] === -1 && found[i + 1] === -1) return   // the next unknown character takes this one along
        const token = word.slice(start, end)
        // An unknown stretch may spell a piece of the vocabulary; the reference then takes that.
        const id = found[i] === -1 ? vocabulary.get(token) ?? -1 : found[i] as number
        const bytes = id < 0 && byteFallback ? byteTokens(token) : []
        if (id >= 0) add(id, token, start, end)
        else if (bytes.length > 0 && bytes.every(byte => vocabulary.has(byte))) {
          for (const byte of bytes) add(vocabulary.get(byte) as number, byte, start, end)
        } else if (unknownId === undefined) {
          throw fields.error(`${JSON.stringify(token)} is not covered by the vocabulary, and unk_id is null. Train with an unknown `
            + 'token among specialTokens.')
        } else add(unknownId, token, start, end)
        start = end
      })
      return { ids, tokens, spans }

      function add(id: number, token: string, from: number, to: number): void {
        ids.push(id)
        tokens.push(token)
        spans.push(from, to)
      }
    },
  }
}

/** A segmentation: where each piece ends, and its id (-1 for an unknown character). */
export interface Path { ends: number[], ids: number[], score: number }

/**
 * Viterbi over the pieces of a tree. A character that is no piece by itself may be passed as unknown.
 * @param scores log probability by id   @param unknownScore log probability of an unknown character
 */
export function bestPath(tree: PrefixTree, scores: ArrayLike<number>, unknownScore: number): (word: string, exceptWhole?: boolean) => Path {
  return (word, exceptWhole = false) => {
    const length = word.length
    const best = new Float64Array(length + 1), from = new Int32Array(length + 1).fill(-1), piece = new Int32Array(length + 1)
    let start = 0
    while (start < length) {
      const here = best[start] as number
      const step = (word.codePointAt(start) as number) > 0xffff ? 2 : 1
      let single = false
      const offer = (id: number, end: number, score: number): void => {
        if ((from[end] as number) >= 0 && score <= (best[end] as number)) return
        best[end] = score
        from[end] = start
        piece[end] = id
      }
      tree.prefixes(word, start, (id, end) => {
        if (end - start === step) single = true
        if (!exceptWhole || end - start < length) offer(id, end, here + (scores[id] as number))
      })
      if (!single) offer(-1, start + step, here + unknownScore)
      start += step
    }
    const ends: number[] = [], ids: number[] = []
    for (let end = length; end > 0; end = from[end] as number) {
      ends.push(end)
      ids.push(piece[end] as number)
    }
    return { ends: ends.reverse(), ids: ids.reverse(), score: best[length] as number }
  }
}
