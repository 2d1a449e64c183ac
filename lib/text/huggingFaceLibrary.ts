import { createRequire } from 'node:module'

/** What is used of @huggingface/tokenizers. */
interface Library {
  /** Translates an Oniguruma expression, @throws SyntaxError */
  SplitPreTokenizer: new (config: { type: 'Split', pattern: { Regex: string }, behavior: 'Isolated', invert: boolean }) => { pattern: RegExp }
  /** @throws Error for an unknown type */
  SequenceDecoder: new (config: { type: 'Sequence', decoders: unknown[] }) => { decode_chain(tokens: string[]): string[] }
}

// The declarations of version 0.2.0 do not resolve in ES modules (their imports lack extensions), so an import would be a compile error.
export const { SplitPreTokenizer, SequenceDecoder } = createRequire(import.meta.url)('@huggingface/tokenizers') as Library
