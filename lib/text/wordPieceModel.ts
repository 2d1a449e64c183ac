import type { Fields } from './jsonFields.js'
import type { Model, WordTokens } from './model.js'
import { readVocabulary } from './vocabulary.js'

/** WordPiece (Schuster and Nakajima 2012; Devlin et al. 2018): the longest token that fits, from left to right; a word with a rest is unknown. */
export function wordPieceModel(fields: Fields): Model {
  const vocabulary = readVocabulary(fields)
  const unknownToken = fields.string('unk_token', '[UNK]')
  const unknownId = vocabulary.get(unknownToken)
  if (unknownId === undefined) {
    throw fields.error(`unk_token ${JSON.stringify(unknownToken)} is not in vocab. Add it: words that cannot be cut need it.`)
  }
  const prefix = fields.string('continuing_subword_prefix', '##')
  const longestWord = fields.number('max_input_chars_per_word', 100)
  let longestToken = 0
  for (const token of vocabulary.keys()) longestToken = Math.max(longestToken, token.length)

  return {
    vocabulary,
    unknownToken,
    tokenize(word: string): WordTokens {
      const unknown = { ids: [unknownId], tokens: [unknownToken], spans: [0, word.length] }
      if (word.length > longestWord && [...word].length > longestWord) return unknown
      const ids: number[] = [], tokens: string[] = [], spans: number[] = []
      let start = 0
      while (start < word.length) {
        const lead = start > 0 ? prefix : ''
        let end = Math.min(word.length, start + longestToken)
        let id: number | undefined
        let token = ''
        for (; end > start; end--) {
          token = lead + word.slice(start, end)
          id = vocabulary.get(token)
          if (id !== undefined) break
        }
        if (id === undefined) return unknown
        ids.push(id)
        tokens.push(token)
        spans.push(start, end)
        start = end
      }
      return { ids, tokens, spans }
    },
  }
}
