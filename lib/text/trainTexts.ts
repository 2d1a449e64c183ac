import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { TokenizerError } from '../errors.js'

/** Texts to train on, or the path of a text file. */
export type TrainTexts = string | Iterable<string> | AsyncIterable<string>

/**
 * One sample after another. Of a file: its lines without their ends; the fields of the lines of a .tsv; .gz is unpacked.
 * @throws TokenizerError if a sample is not a string, or the file cannot be read as UTF-8
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
  let rest = '', line = 1
  const split = function* (text: string): Iterable<string> {
    if (columns) yield* text.split('\t')
    else yield text
  }
  try {
    const bytes = path.endsWith('.gz') ? unpacked(path) : createReadStream(path)
    const utf8 = new TextDecoder('utf-8', { fatal: true })
    for await (const chunk of bytes) {
      const lines = (rest + utf8.decode(chunk as Uint8Array, { stream: true })).split('\n')
      rest = lines.pop() as string
      for (const text of lines) {
        line++
        yield* split(text.endsWith('\r') ? text.slice(0, -1) : text)
      }
    }
    rest += utf8.decode()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') {
      throw new TokenizerError(`${path}: there is no such file. Give the path of a text file; to train on texts themselves, pass them `
        + 'as an array.', { cause })
    }
    const what = code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? `not UTF-8 at or after line ${line}. Convert it (iconv -t UTF-8)` : `${message}`
    throw new TokenizerError(`${path} cannot be read: ${what}.`, { cause })
  }
  if (rest !== '') yield* split(rest.endsWith('\r') ? rest.slice(0, -1) : rest)
}

function unpacked(path: string): AsyncIterable<unknown> {
  const gunzip = createGunzip()
  createReadStream(path).on('error', error => gunzip.destroy(error)).pipe(gunzip)
  return gunzip
}
