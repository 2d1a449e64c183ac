import { TokenizerError } from '../errors.js'
import { characterBytes } from './byteLevel.js'
import { SequenceDecoder } from './huggingFaceLibrary.js'
import { Fields } from './jsonFields.js'

/** Turns tokens into the parts of a text. */
export type Decoder = (tokens: string[]) => string[]

/**
 * The `decoder` of a tokenizer.json as a function; without one, tokens are joined by spaces. The library decodes; where its answer differs
 * from that of the reference (Rust) implementation, the decoder is ours.
 * @throws TokenizerError for an unknown type or a field that is not what it must be
 */
export function decoder(config: unknown): Decoder {
  if (config === null || config === undefined) return tokens => [tokens.join(' ')]
  const fields = new Fields(config, 'decoder')
  switch (fields.type) {
    case 'Sequence': {
      const steps = fields.list('decoders').map(decoder)
      return tokens => steps.reduce((parts, step) => step(parts), tokens)
    }
    case 'ByteLevel': return byteLevel
    case 'WordPiece': return wordPiece(fields.string('prefix', '##'), fields.boolean('cleanup', true))
    case 'Metaspace': return metaspace(fields)
    case 'ByteFallback': return byteFallback
    case 'CTC': return ctc(fields.string('pad_token', '<pad>'), fields.string('word_delimiter_token', '|'), fields.boolean('cleanup', true))
    default: return ofLibrary(config, fields)
  }
}

function ofLibrary(config: unknown, fields: Fields): Decoder {
  if (fields.type === 'Replace') {
    const pattern = fields.object('pattern')
    if (typeof pattern['String'] !== 'string' && typeof pattern['Regex'] !== 'string') {
      throw fields.error('pattern has neither "String" nor "Regex".')
    }
  }
  try {
    const sequence = new SequenceDecoder({ type: 'Sequence', decoders: [config] })
    return tokens => sequence.decode_chain(tokens)
  } catch (cause) {
    throw new TokenizerError(`tokenizer.json: the decoder ${JSON.stringify(fields.type)} cannot be used `
      + `(${(cause as Error).message}). Known are Sequence, `
      + 'ByteLevel, WordPiece, Metaspace, BPEDecoder, CTC, Replace, Fuse, Strip, ByteFallback.', { cause })
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
const encoder = new TextEncoder()

/** Tokens that are not made of byte characters, such as added ones, stand for their own text. */
function byteLevel(tokens: string[]): string[] {
  const bytes: number[] = []
  for (const token of tokens) {
    const own: number[] = []
    for (const character of token) {
      const byte = characterBytes.get(character)
      if (byte === undefined) break
      own.push(byte)
    }
    for (const byte of own.length === [...token].length ? own : encoder.encode(token)) bytes.push(byte)
  }
  return [utf8.decode(Uint8Array.from(bytes))]
}

/** The space that was put before the text is taken away again, unless none was. */
function metaspace(fields: Fields): Decoder {
  const replacement = fields.string('replacement', '▁')
  const prefixed = fields.string('prepend_scheme', fields.boolean('add_prefix_space', true) ? 'always' : 'never') !== 'never'
  return tokens => tokens.map((token, i) => {
    const text = token.replaceAll(replacement, ' ')
    return i === 0 && prefixed && text.startsWith(' ') ? text.slice(1) : text
  })
}

function wordPiece(prefix: string, cleanup: boolean): Decoder {
  return tokens => tokens.map((token, i) => {
    const text = i === 0 ? token : prefix !== '' && token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
    return cleanup ? cleaned(text) : text
  })
}

/** Takes back the spaces that word tokenizers put around English punctuation. */
function cleaned(text: string): string {
  return text.replaceAll(' .', '.').replaceAll(' ?', '?').replaceAll(' !', '!').replaceAll(' ,', ',').replaceAll(' \' ', '\'')
    .replaceAll(' n\'t', 'n\'t').replaceAll(' \'m', '\'m').replaceAll(' do not', ' don\'t').replaceAll(' \'s', '\'s').replaceAll(' \'ve', '\'ve')
    .replaceAll(' \'re', '\'re')
}

/** `<0xE2>` and the like become bytes; each byte that is no part of valid UTF-8 becomes one U+FFFD. */
function byteFallback(tokens: string[]): string[] {
  const parts: string[] = []
  let bytes: number[] = []
  const flush = (): void => {
    if (bytes.length === 0) return
    try {
      parts.push(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes)))
    } catch {
      for (let i = 0; i < bytes.length; i++) parts.push('\ufffd')
    }
    bytes = []
  }
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1]
    if (byte !== undefined) bytes.push(parseInt(byte, 16))
    else {
      flush()
      parts.push(token)
    }
  }
  flush()
  return parts
}

/** Connectionist temporal classification (Graves et al. 2006): repeated tokens count once, blanks not at all. */
function ctc(pad: string, delimiter: string, cleanup: boolean): Decoder {
  return tokens => tokens.filter((token, i) => token !== tokens[i - 1]).flatMap(token => {
    let text = pad === '' ? token : token.replaceAll(pad, '')
    if (cleanup) text = cleaned(text).replaceAll(delimiter, ' ')
    return text === '' ? [] : [text]
  })
}
