import { TokenizerError } from '../errors.js'

export interface WordTraining { vocabSize: number, minFrequency: number, specialTokens: readonly string[] }

/**
 * A vocabulary of whole words: the most frequent ones, among equals in the order of their UTF-16 units.
 * @throws TokenizerError if the special tokens alone do not fit
 */
export function trainWords(wordCounts: ReadonlyMap<string, number>, { vocabSize, minFrequency, specialTokens }: WordTraining): string[] {
  const room = vocabSize - specialTokens.length
  if (room < 1) {
    throw new TokenizerError(`vocabSize is ${vocabSize}, but the special tokens alone take ${specialTokens.length}. `
      + `Raise vocabSize to at least ${specialTokens.length + 1}.`)
  }
  const words = [...wordCounts].filter(([word, count]) => count >= minFrequency && !specialTokens.includes(word))
  words.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  return [...specialTokens, ...words.slice(0, room).map(([word]) => word)]
}
