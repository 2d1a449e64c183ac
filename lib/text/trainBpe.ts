import { TokenizerError } from '../errors.js'
import { EventLoopTurns } from '../eventLoop.js'

export interface BpeTraining {
  vocabSize: number
  /** Least number of occurrences of a pair that is merged. */
  minFrequency: number
  /** First entries of the vocabulary, in this order. */
  specialTokens: readonly string[]
  /** Characters that are in the vocabulary whether the texts have them or not. */
  initialAlphabet: readonly string[]
  /** Greatest number of characters to keep, the most frequent ones; the others become unknown. */
  limitAlphabet: number
  /** Put before every symbol of a word but the first ('##'), or ''. */
  prefix: string
  /** Put behind the last symbol of a word ('</w>'), or ''. */
  suffix: string
}

export interface TrainedBpe { vocabulary: Map<string, number>, merges: [string, string][] }

/**
 * Learns merges from word counts (Sennrich, Haddow, Birch 2016, algorithm 1) with incremental pair counts and a queue: a merge touches only
 * the words that it changes. The order is that of Hugging Face's `BpeTrainer`: most frequent pair first, among equals the one of smaller ids.
 * Where that trainer takes characters with prefix or suffix in the order of a hash table, they come in the order of the texts here.
 * @throws TokenizerError if the vocabulary cannot hold the special tokens and the alphabet
 */
export async function trainBpe(wordCounts: ReadonlyMap<string, number>, options: BpeTraining): Promise<TrainedBpe> {
  const { vocabSize, minFrequency, prefix } = options
  const names: string[] = []
  const ids = new Map<string, number>()
  const idOf = (token: string): number => {
    let id = ids.get(token)
    if (id === undefined) {
      id = names.length
      ids.set(token, id)
      names.push(token)
    }
    return id
  }
  options.specialTokens.forEach(idOf)
  const allowed = alphabet(wordCounts, options)
  allowed.forEach(idOf)
  const words = spell(wordCounts, new Set(allowed), options, idOf)
  if (names.length > vocabSize) {
    throw new TokenizerError(`vocabSize is ${vocabSize}, but the special tokens (${options.specialTokens.length}) and the alphabet take `
      + `${names.length}. Raise vocabSize to at least ${names.length}, or keep fewer characters with limitAlphabet (others become unknown).`)
  }

  const counts = new Map<number, number>()
  const queue = new CandidateQueue()
  const touched = new Map<number, number[]>()
  const count = (pair: number, change: number, word: number): void => {
    counts.set(pair, (counts.get(pair) ?? 0) + change)
    if (change < 0) return
    const places = touched.get(pair)
    if (!places) touched.set(pair, [word])
    else if (places.at(-1) !== word) places.push(word)
  }
  const enqueueTouched = (): void => {
    for (const [pair, places] of touched) {
      const total = counts.get(pair) as number
      if (total > 0) queue.push({ pair, count: total, words: places })
    }
    touched.clear()
  }
  for (let word = 0; word < words.size; word++) {
    const start = words.starts[word] as number, end = start + (words.lengths[word] as number)
    for (let i = start; i + 1 < end; i++) {
      count(pairOf(words.symbols[i] as number, words.symbols[i + 1] as number), words.counts[word] as number, word)
    }
  }
  enqueueTouched()

  const merges: number[] = [], turns = new EventLoopTurns()
  while (names.length < vocabSize) {
    if (turns.isDue) await turns.giveIfDue()
    const top = queue.pop()
    if (!top) break
    const current = counts.get(top.pair) as number
    if (top.count !== current) {
      // Other merges took occurrences away since it was queued.
      queue.push({ ...top, count: current })
      continue
    }
    if (top.count < 1 || top.count < minFrequency) break
    const left = Math.floor(top.pair / idRange), right = top.pair % idRange
    const tail = names[right] as string
    const merged = idOf((names[left] as string) + (prefix !== '' && tail.startsWith(prefix) ? tail.slice(prefix.length) : tail))
    merges.push(top.pair)
    for (const word of top.words) words.merge(word, left, right, merged, count)
    enqueueTouched()
  }
  // A pair can come up again when two ways led to one token; the last rank is the one that a reader of the file would keep.
  const lastRank = new Map(merges.map((pair, rank) => [pair, rank]))
  const kept = merges.filter((pair, rank) => lastRank.get(pair) === rank)
  return { vocabulary: ids, merges: kept.map(pair => [names[Math.floor(pair / idRange)] as string, names[pair % idRange] as string]) }
}

/** Pairs of ids are one number, ordered as the pair is. */
const idRange = 2 ** 26
const pairOf = (left: number, right: number): number => left * idRange + right

function alphabet(wordCounts: ReadonlyMap<string, number>, { initialAlphabet, limitAlphabet }: BpeTraining): string[] {
  const occurrences = new Map<string, number>()
  for (const [word, count] of wordCounts) for (const character of word) occurrences.set(character, (occurrences.get(character) ?? 0) + count)
  for (const character of initialAlphabet) occurrences.set(character, Infinity)
  let kept = [...occurrences]
  if (kept.length > limitAlphabet) {
    kept.sort(([a, m], [b, n]) => m === n ? codePoint(a) - codePoint(b) : n - m)
    kept = kept.slice(0, limitAlphabet)
  }
  return kept.map(([character]) => character).sort((a, b) => codePoint(a) - codePoint(b))
}

const codePoint = (character: string): number => character.codePointAt(0) as number

/** The words as symbols, in one array; a merge shortens a word in place. */
class Words {
  readonly symbols: Int32Array
  readonly starts: Int32Array
  readonly lengths: Int32Array
  readonly counts: Float64Array

  constructor(symbols: number[], starts: number[], counts: number[]) {
    this.symbols = Int32Array.from(symbols)
    this.starts = Int32Array.from(starts)
    this.lengths = Int32Array.from(starts, (start, i) => (starts[i + 1] ?? symbols.length) - start)
    this.counts = Float64Array.from(counts)
  }

  get size(): number { return this.starts.length }

  /** Replaces each (left, right) of a word and reports the pairs that came and went. */
  merge(word: number, left: number, right: number, merged: number, changed: (pair: number, change: number, word: number) => void): void {
    const { symbols } = this
    const start = this.starts[word] as number, end = start + (this.lengths[word] as number), weight = this.counts[word] as number
    let write = start
    for (let read = start; read < end; write++) {
      if (symbols[read] !== left || read + 1 >= end || symbols[read + 1] !== right) {
        symbols[write] = symbols[read++] as number
        continue
      }
      if (write > start) {
        const before = symbols[write - 1] as number
        changed(pairOf(before, left), -weight, word)
        changed(pairOf(before, merged), weight, word)
      }
      read += 2
      if (read < end) {
        const after = symbols[read] as number
        changed(pairOf(right, after), -weight, word)
        changed(pairOf(merged, after), weight, word)
      }
      symbols[write] = merged
    }
    this.lengths[word] = write - start
  }
}

function spell(
  wordCounts: ReadonlyMap<string, number>, allowed: Set<string>, { prefix, suffix }: BpeTraining, idOf: (token: string) => number,
): Words {
  const symbols: number[] = [], starts: number[] = [], counts: number[] = []
  for (const [word, count] of wordCounts) {
    starts.push(symbols.length)
    counts.push(count)
    const characters = [...word]
    characters.forEach((character, i) => {
      if (allowed.has(character)) symbols.push(idOf((i > 0 ? prefix : '') + character + (i === characters.length - 1 ? suffix : '')))
    })
  }
  return new Words(symbols, starts, counts)
}

interface Candidate { pair: number, count: number, words: number[] }

/** A binary heap: greatest count first, among equals the smaller pair. */
class CandidateQueue {
  readonly #heap: Candidate[] = []

  push(candidate: Candidate): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(candidate)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!precedes(candidate, heap[parent] as Candidate)) break
      heap[at] = heap[parent] as Candidate
      at = parent
    }
    heap[at] = candidate
  }

  pop(): Candidate | undefined {
    const heap = this.#heap
    const top = heap[0]
    const moved = heap.pop()
    if (!moved || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && precedes(heap[child + 1] as Candidate, heap[child] as Candidate)) child++
      if (!precedes(heap[child] as Candidate, moved)) break
      heap[at] = heap[child] as Candidate
      at = child
    }
    heap[at] = moved
    return top
  }
}

const precedes = (a: Candidate, b: Candidate): boolean => a.count !== b.count ? a.count > b.count : a.pair < b.pair
