import { lineBlocks } from '../data/lineBlocks.js'
import { DataError, TokenizerError } from '../errors.js'

/** Texts to train on, or the path of a text file. */
export type TrainTexts = string | Iterable<string> | AsyncIterable<string>

/**
 * One sample after another. Of a file, plain or gzip: its lines without their ends; the fields of the lines of a .tsv.
 * @throws TokenizerError if a sample is not a string, or the file cannot be read as UTF-8 (with the line)
 */
export async function* samples(texts: TrainTexts): AsyncIterable<string> {
  if (typeof texts === 'string') {
    yield* linesOf(texts)
    return
  }
  if (typeof texts !== 'object' || texts === null || !(Symbol.asyncIterator in texts || Symbol.iterator in texts)) {
    throw new TokenizerError('the texts to train on are neither a path nor iterable. Pass the path of a text file, or an iterable of '
      + 'strings.')
  }
  let count = 0
  for await (const text of texts) {
    if (typeof text !== 'string') {
      throw new TokenizerError(`sample ${count} of the texts to train on is a ${typeof text}, expected a string. Map the samples to `
        + 'their text.')
    }
    count++
    yield text
  }
}

async function* linesOf(path: string): AsyncIterable<string> {
  const columns = /\.tsv(\.gz)?$/.test(path)
  try {
    // A text may be one long line.
    for await (const { lines } of lineBlocks(path, Infinity)) {
      for (const line of lines) {
        if (columns) yield* line!.split('\t')
        else yield line!
      }
    }
  } catch (cause) {
    if (!(cause instanceof DataError)) throw cause
    const isText = cause.message.includes('no such file') ? '; to train on texts themselves, pass them as an array' : ''
    throw new TokenizerError(`${cause.message}${isText}.`, { cause })
  }
}
