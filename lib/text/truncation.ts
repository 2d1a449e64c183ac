import { TokenizerError } from '../errors.js'
import { sliceEncoding, type TextEncoding } from './encoding.js'

export type TruncationStrategy = 'longest_first' | 'only_first' | 'only_second'

export interface TruncationOptions {
  /** Greatest number of tokens, those of the template included. Default: no limit. */
  maxLength?: number
  /** Which text of a pair gives way; true is 'longest_first', the default. False with a `maxLength`: longer texts are an error. */
  truncation?: boolean | TruncationStrategy
  /** The side from which tokens are dropped. Default 'right'. */
  truncationSide?: 'left' | 'right'
}

/**
 * Shortens one text or a pair to `maxLength - reserved` tokens, by the rules of Hugging Face.
 * @param reserved tokens that the template will add
 * @throws TokenizerError if that is impossible, or not wanted
 */
export function truncated(encodings: TextEncoding[], reserved: number, options: TruncationOptions): TextEncoding[] {
  const { maxLength, truncation = true, truncationSide = 'right' } = options
  if (maxLength === undefined) {
    if (typeof options.truncation === 'string' || options.truncation === true) {
      throw new TokenizerError('truncation needs a maxLength. Give the number of tokens to keep.')
    }
    return encodings
  }
  const room = maxLength - reserved
  if (!Number.isInteger(maxLength) || room < 0) {
    throw new TokenizerError(`maxLength is ${maxLength}, expected a whole number of at least ${reserved}, the number of special `
      + 'tokens that are added. Raise it, or pass addSpecialTokens: false.')
  }
  const lengths = encodings.map(encoding => encoding.ids.length)
  const total = lengths.reduce((sum, length) => sum + length, 0)
  if (total <= room) return encodings
  if (truncation === false) {
    throw new TokenizerError(`the text has ${total + reserved} tokens, more than the maxLength of ${maxLength}, and truncation is `
      + 'off. Shorten the text or allow truncation.')
  }
  const kept = room === 0 ? lengths.map(() => 0) : keptLengths(lengths, room, truncation === true ? 'longest_first' : truncation)
  return encodings.map((encoding, i) => {
    const length = lengths[i] as number, keep = kept[i] as number
    if (keep === length) return encoding
    return truncationSide === 'left' ? sliceEncoding(encoding, length - keep, length) : sliceEncoding(encoding, 0, keep)
  })
}

function keptLengths(lengths: number[], room: number, strategy: TruncationStrategy): number[] {
  const [first, second] = lengths as [number, number?]
  if (strategy === 'only_first' || strategy === 'only_second') {
    const target = strategy === 'only_first' ? first : second
    if (target === undefined) {
      throw new TokenizerError('truncation is "only_second", but there is no second text. Pass a pair, or use "longest_first".')
    }
    const keep = room - (first + (second ?? 0) - target)
    if (keep <= 0 && second !== undefined) {
      throw new TokenizerError(`truncation "${strategy}" would have to drop all of that text, since the other alone takes the room of `
        + `${room} tokens. Raise maxLength, or use "longest_first".`)
    }
    return strategy === 'only_first' ? [keep, second ?? 0] : [first, keep]
  }
  if (strategy !== 'longest_first') {
    throw new TokenizerError(`truncation is ${JSON.stringify(strategy)}, expected true, false, "longest_first", "only_first" or `
      + '"only_second".')
  }
  if (second === undefined) return [room]
  const shorter = Math.min(first, second)
  // Only the longer one gives way as long as that suffices; then both have half of the room, the odd token goes to the longer.
  const [forShorter, forLonger] = 2 * shorter <= room ? [shorter, room - shorter] : [Math.floor(room / 2), Math.ceil(room / 2)]
  return first <= second ? [forShorter, forLonger] : [forLonger, forShorter]
}
