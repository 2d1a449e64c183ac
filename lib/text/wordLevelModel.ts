import type { Fields } from './jsonFields.js'
import type { Model, WordTokens } from './model.js'
import { readVocabulary } from './vocabulary.js'

/** One token a word. */
export function wordLevelModel(fields: Fields): Model {
  const vocabulary = readVocabulary(fields)
  const unknownToken = fields.optionalString('unk_token')
  return {
    vocabulary,
    unknownToken,
    tokenize(word: string): WordTokens {
      const token = vocabulary.has(word) ? word : unknownToken
      const id = token === undefined ? undefined : vocabulary.get(token)
      if (token === undefined || id === undefined) {
        throw fields.error(`the word ${JSON.stringify(word)} is not in the vocabulary, and neither is an unknown token (unk_token is `
          + `${JSON.stringify(unknownToken ?? null)}). Train with an unknown token among specialTokens.`)
      }
      return { ids: [id], tokens: [token], spans: [0, word.length] }
    },
  }
}
