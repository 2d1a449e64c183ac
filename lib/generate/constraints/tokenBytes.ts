import { characterBytes } from '../../text/byteLevel.js'
import type { TextDecoder } from '../stoppingCriteria.js'

/** What a constraint needs of a tokenizer. */
export interface ConstraintTokenizer extends TextDecoder {
  readonly vocabSize: number
  /** As tokenizer.json has it. */
  toJSON(): unknown
}

interface TokenizerJson {
  decoder?: DecoderJson | null
  model: { vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[] }
  added_tokens?: readonly { id: number, content: string, special: boolean }[]
}
interface DecoderJson { type?: string, decoders?: readonly DecoderJson[] }

const encoder = new TextEncoder()

/**
 * The bytes that each token adds to a text; undefined for special tokens, for tokens without text, and for ids without a token. Those of bytes (byte-level
 * tokenizers, `<0x0A>`) are bytes, which need not be whole characters.
 */
export function tokenBytes(tokenizer: ConstraintTokenizer): (Uint8Array | undefined)[] {
  const json = tokenizer.toJSON() as TokenizerJson, decoders = flattened(json.decoder ?? {}).map(({ type }) => type)
  const tokens = new Array<string | undefined>(tokenizer.vocabSize).fill(undefined)
  const { vocab } = json.model
  if (Array.isArray(vocab)) (vocab as readonly (readonly [string, number])[]).forEach(([token], id) => { tokens[id] = token })
  else for (const [token, id] of Object.entries(vocab as Readonly<Record<string, number>>)) tokens[id] = token
  const added = new Map((json.added_tokens ?? []).map(token => [token.id, token])), after = textAfterAnother(tokenizer, tokens)
  return Array.from(tokens, (token, id) => {
    const own = added.get(id)
    if (own) return own.special || own.content === '' ? undefined : encoder.encode(own.content)
    if (token === undefined) return undefined
    const bytes = decoders.includes('ByteLevel') ? byteLevel(token) : decoders.includes('ByteFallback') ? byteFallback(token) ?? after(id) : after(id)
    return bytes && bytes.length > 0 ? bytes : undefined
  })
}

const flattened = (decoder: DecoderJson): DecoderJson[] => [decoder, ...(decoder.decoders ?? []).flatMap(flattened)]

function byteLevel(token: string): Uint8Array {
  const bytes = Array.from(token, c => characterBytes.get(c))
  return bytes.includes(undefined) ? encoder.encode(token) : Uint8Array.from(bytes as number[])
}

function byteFallback(token: string): Uint8Array | undefined {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)
  return byte ? Uint8Array.of(parseInt(byte[1]!, 16)) : undefined
}

/** Spaces depend on what stands before: tokens are decoded behind another one, a plain word. */
function textAfterAnother(tokenizer: ConstraintTokenizer, tokens: readonly (string | undefined)[]): (id: number) => Uint8Array | undefined {
  const anchor = tokens.findIndex((token, id) => token !== undefined && /^[\p{L}▁]+$/u.test(token) && /^\s?\p{L}+$/u.test(tokenizer.decode([id])))
  const before = anchor < 0 ? '' : tokenizer.decode([anchor])
  return id => {
    const text = tokenizer.decode(anchor < 0 ? [id] : [anchor, id])
    return text.startsWith(before) && !text.includes('\ufffd') ? encoder.encode(text.slice(before.length)) : undefined
  }
}
