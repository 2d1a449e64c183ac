import { TokenizerError } from '../errors.js'
import { joined, type Encoding } from './encoding.js'

export interface PaddingOptions {
  /** true or 'longest': to the longest of the batch. 'max_length': to `maxLength`. Default: no padding. */
  padding?: boolean | 'longest' | 'max_length'
  /** Where the padding stands. Default 'right'. */
  paddingSide?: 'left' | 'right'
  /** Round the length up to a multiple, so that shapes repeat. */
  padToMultipleOf?: number
  /** The length of 'max_length'. */
  maxLength?: number
}

/**
 * Brings encodings to one length.
 * @param fill makes `count` padding tokens
 * @throws TokenizerError for an unknown option, or 'max_length' without `maxLength`
 */
export function padded(encodings: Encoding[], options: PaddingOptions, fill: (count: number) => Encoding): Encoding[] {
  const { padding = false, paddingSide = 'right', padToMultipleOf = 1, maxLength } = options
  if (padding === false || encodings.length === 0) return encodings
  if (padding !== true && padding !== 'longest' && padding !== 'max_length') {
    throw new TokenizerError(`padding is ${JSON.stringify(padding)}, expected true, false, "longest" or "max_length".`)
  }
  if (padding === 'max_length' && maxLength === undefined) {
    throw new TokenizerError('padding "max_length" needs a maxLength. Give the number of tokens to pad to.')
  }
  if (!Number.isInteger(padToMultipleOf) || padToMultipleOf < 1) {
    throw new TokenizerError(`padToMultipleOf is ${padToMultipleOf}, expected a whole number above 0.`)
  }
  const longest = encodings.reduce((most, { ids }) => Math.max(most, ids.length), padding === 'max_length' ? maxLength as number : 0)
  const length = Math.ceil(longest / padToMultipleOf) * padToMultipleOf
  return encodings.map(encoding => {
    const missing = length - encoding.ids.length
    if (missing === 0) return encoding
    const filling = fill(missing)
    return joined(paddingSide === 'left' ? [filling, encoding] : [encoding, filling])
  })
}
