import { describe, type Fields } from './jsonFields.js'

/**
 * The `vocab` object of a model as a map.
 * @throws TokenizerError if an id is not a whole number from 0 or is given twice
 */
export function readVocabulary(fields: Fields): Map<string, number> {
  const vocabulary = new Map<string, number>()
  const owners = new Map<number, string>()
  for (const [token, id] of Object.entries(fields.object('vocab'))) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) {
      throw fields.error(`the id of ${JSON.stringify(token)} in vocab is ${describe(id)}, expected a whole number from 0. Is the file `
        + 'damaged?')
    }
    const owner = owners.get(id)
    if (owner !== undefined) {
      throw fields.error(`vocab gives id ${id} to both ${JSON.stringify(owner)} and ${JSON.stringify(token)}. Give each token its own id.`)
    }
    vocabulary.set(token, id)
    owners.set(id, token)
  }
  return vocabulary
}

/** The names of the tokens `<0x00>` to `<0xFF>` that stand for bytes where a character is not in the vocabulary. */
export function byteTokens(text: string): string[] {
  return [...Buffer.from(text)].map(byte => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
}
