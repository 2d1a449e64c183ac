import type { AlignedText } from './alignedText.js'
import { isAscii } from './unicodeNormalization.js'

/**
 * The reversible map of bytes to printable characters of GPT-2 (Radford et al. 2019): printable Latin-1 stands for itself, the other 68 bytes
 * for U+0100 and following.
 */
export const byteCharacters: readonly string[] = buildByteCharacters()

function buildByteCharacters(): string[] {
  const printable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++))
}

export const characterBytes: ReadonlyMap<string, number> = new Map(byteCharacters.map((character, byte) => [character, byte]))

const encoder = new TextEncoder()

/** UTF-8 bytes as the characters above. Each byte stands where its character stood. */
export function toByteLevel(aligned: AlignedText): AlignedText {
  const { text } = aligned
  // eslint-disable-next-line no-control-regex
  if (isAscii(text)) return aligned.relabelled(text.replace(/[\x00-\x20\x7f]/g, unit => byteCharacters[unit.charCodeAt(0)] as string))
  const characters: string[] = [], changes: number[] = []
  for (const character of text) {
    let change = 0
    for (const byte of encoder.encode(character)) {
      characters.push(byteCharacters[byte] as string)
      changes.push(change)
      change = 1
    }
  }
  return aligned.rewritten(characters, changes)
}
