import { EventLoopTurns } from '../eventLoop.js'

/** A candidate piece and how often it occurs. */
export type SeedPiece = [piece: string, score: number]

/**
 * Substrings to start unigram training from: all characters, by frequency, then the repeated substrings that more than one character can
 * follow (the inner nodes of the suffix tree of the distinct words), by frequency times length. Kudo 2018, section 3.2, as in SentencePiece.
 * @param maxPieceLength in characters   @param seedSize greatest number of pieces
 */
export async function seedPieces(wordCounts: ReadonlyMap<string, number>, maxPieceLength: number, seedSize: number): Promise<SeedPiece[]> {
  const characters = new Map<string, number>()
  for (const [word, count] of wordCounts) for (const character of word) characters.set(character, (characters.get(character) ?? 0) + count)
  const byCount = [...characters].sort(([a, m], [b, n]) => n - m || compare(b, a))
  const room = Math.max(0, seedSize - byCount.length)
  const substrings = (await repeatedSubstrings([...wordCounts.keys()], maxPieceLength)).sort(([a, m], [b, n]) => n - m || compare(b, a))
  return [...byCount, ...substrings.slice(0, room)]
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/**
 * Sorts the suffixes of all words by radix, one character at a time, and reports a prefix wherever a group of suffixes parts. The end of a word
 * counts as a character of its own.
 */
async function repeatedSubstrings(words: string[], maxLength: number): Promise<SeedPiece[]> {
  const text: number[] = []
  for (const word of words) {
    for (const character of word) text.push(character.codePointAt(0) as number)
    text.push(end)
  }
  const found: SeedPiece[] = []
  const places = Int32Array.from(text.keys()), scratch = new Int32Array(text.length)
  // Groups of suffixes that share their first `depth` characters: [from, to, depth].
  const groups: [number, number, number][] = [[0, places.length, 0]]
  const turns = new EventLoopTurns()
  for (let group = groups.pop(), round = 0; group; group = groups.pop(), round++) {
    if (round % groupsBetweenTurns === 0) await turns.giveIfDue()
    const [from, to, depth] = group
    const sizes = new Map<number, number>()
    for (let i = from; i < to; i++) {
      const character = text[(places[i] as number) + depth] as number
      sizes.set(character, (sizes.get(character) ?? 0) + 1)
    }
    if (depth > 1 && sizes.size > 1) {
      const start = places[from] as number
      found.push([String.fromCodePoint(...text.slice(start, start + depth)), (to - from) * depth])
    }
    if (depth === maxLength) continue
    const next = new Map<number, number>()
    let at = from
    for (const [character, size] of sizes) {
      next.set(character, at)
      if (size > 1 && character !== end) groups.push([at, at + size, depth + 1])
      at += size
    }
    if (sizes.size === 1) continue
    for (let i = from; i < to; i++) {
      const character = text[(places[i] as number) + depth] as number
      const target = next.get(character) as number
      scratch[target] = places[i] as number
      next.set(character, target + 1)
    }
    places.set(scratch.subarray(from, to), from)
  }
  return found
}

const end = -1
/** Asking for each of the many small groups would cost more than they do. */
const groupsBetweenTurns = 256
