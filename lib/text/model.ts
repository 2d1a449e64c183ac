import { TokenizerError } from '../errors.js'
import { bpeModel } from './bpeModel.js'
import { Fields, isObject } from './jsonFields.js'
import { unigramModel } from './unigramModel.js'
import { wordLevelModel } from './wordLevelModel.js'
import { wordPieceModel } from './wordPieceModel.js'

/** The tokens of one word: parallel lists, spans as interleaved [start, end) in UTF-16 units of the word. */
export interface WordTokens { ids: number[], tokens: string[], spans: number[] }

/** Turns one word (what a pre-tokenizer left whole) into tokens. */
export interface Model {
  tokenize(word: string): WordTokens
  /** Token to id, without the added tokens. */
  readonly vocabulary: ReadonlyMap<string, number>
  readonly unknownToken: string | undefined
}

/**
 * The `model` of a tokenizer.json.
 * @throws TokenizerError for an unknown type or a field that is not what it must be
 */
export function model(config: unknown): Model {
  const fields = new Fields(config, 'model')
  const type = fields.has('type') ? fields.type : guessType(config)
  switch (type) {
    case 'BPE': return bpeModel(fields)
    case 'WordPiece': return wordPieceModel(fields)
    case 'Unigram': return unigramModel(fields)
    case 'WordLevel': return wordLevelModel(fields)
    default: throw new TokenizerError(`tokenizer.json: unknown model ${JSON.stringify(type)}. Known are BPE, WordPiece, Unigram, `
      + 'WordLevel.')
  }
}

/** Files of early versions do not name the type. */
function guessType(config: unknown): string {
  if (!isObject(config)) return ''
  if ('merges' in config) return 'BPE'
  if (Array.isArray(config['vocab'])) return 'Unigram'
  return 'max_input_chars_per_word' in config ? 'WordPiece' : 'WordLevel'
}
