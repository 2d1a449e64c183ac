import { TokenizerError } from '../errors.js'
import { EventLoopTurns } from '../eventLoop.js'
import { PrefixTree } from './prefixTree.js'
import { seedPieces } from './seedPieces.js'
import { bestPath, unknownPenalty } from './unigramModel.js'

export interface UnigramTraining {
  vocabSize: number
  /** First entries of the vocabulary, in this order, with score 0. */
  specialTokens: readonly string[]
  /** Characters that are in the vocabulary whether the texts have them or not. */
  initialAlphabet: readonly string[]
  /** In characters. */
  maxPieceLength: number
  /** Share of the pieces that a round of pruning keeps. */
  shrinkingFactor: number
  /** Rounds of expectation maximisation between two prunings. */
  subIterations: number
  /** Greatest number of candidates to start from. */
  seedSize: number
}

interface Pieces { names: string[], scores: number[] }

/** The expected count below which expectation maximisation drops a piece. */
const leastExpectedCount = 0.5
/** So few that they take less than a turn of the event loop, so many that asking costs nothing. */
const wordsBetweenTurns = 64
/** Pruning stops this much above the vocabulary size, the unknown token counted; the last cut is by order of pruning. */
const slack = 1.1

/**
 * Unigram language model (Kudo 2018, section 3.2) from word counts: expectation maximisation over all segmentations, then pruning of the
 * pieces whose loss costs the least likelihood, until the size is reached. Steps and constants are those of SentencePiece and of Hugging
 * Face's `UnigramTrainer`; before pruning the pieces and scores are the same, after it a few percent of the pieces differ, at a likelihood
 * of the corpus that is as good or better.
 * @returns pieces with log probabilities, best first, the special tokens before them
 * @throws TokenizerError if the vocabulary cannot hold the special tokens and the alphabet
 */
export async function trainUnigram(wordCounts: ReadonlyMap<string, number>, options: UnigramTraining): Promise<[string, number][]> {
  const { vocabSize, specialTokens, subIterations } = options
  const alphabet = new Set(options.initialAlphabet)
  for (const word of wordCounts.keys()) for (const character of word) alphabet.add(character)
  const size = vocabSize - specialTokens.length
  if (alphabet.size > size) {
    throw new TokenizerError(`vocabSize is ${vocabSize}, but the special tokens (${specialTokens.length}) and the alphabet `
      + `(${alphabet.size} characters) do not fit. Raise vocabSize to at least ${specialTokens.length + alphabet.size}.`)
  }
  const words = [...wordCounts.keys()], counts = Float64Array.from(wordCounts.values())
  const seeds = (await seedPieces(wordCounts, options.maxPieceLength, options.seedSize)).filter(([piece]) => !specialTokens.includes(piece))
  const total = Math.log(seeds.reduce((sum, [, score]) => sum + score, 0))
  let pieces: Pieces = { names: seeds.map(([piece]) => piece), scores: seeds.map(([, score]) => Math.log(score) - total) }
  const target = Math.floor(vocabSize * slack) - 1
  for (;;) {
    for (let i = 0; i < subIterations; i++) pieces = maximized(pieces, await expectedCounts(pieces, words, counts))
    if (pieces.names.length <= target) break
    pieces = await pruned(pieces, words, counts, target, options.shrinkingFactor)
  }
  return [...specialTokens.map((token): [string, number] => [token, 0]), ...finalized(pieces, alphabet, size)]
}

function treeOf(names: string[]): PrefixTree {
  const tree = new PrefixTree()
  names.forEach((name, id) => tree.insert(name, id))
  return tree
}

const unknownScoreOf = (scores: number[]): number => scores.reduce((least, score) => Math.min(least, score), Infinity) - unknownPenalty

/** Expectation: how often each piece occurs, all segmentations of all words weighed by probability (forward-backward). */
async function expectedCounts({ names, scores }: Pieces, words: string[], counts: Float64Array): Promise<Float64Array> {
  const tree = treeOf(names)
  const unknownScore = unknownScoreOf(scores)
  const expected = new Float64Array(names.length)
  // The pieces at each place of the current word, reused from word to word.
  const starts: number[] = [], ends: number[] = [], ids: number[] = []
  let forward = new Float64Array(64), backward = new Float64Array(64)
  const turns = new EventLoopTurns()
  for (const [w, word] of words.entries()) {
    if (w % wordsBetweenTurns === 0) await turns.giveIfDue()
    const length = word.length
    if (forward.length <= length) [forward, backward] = [new Float64Array(2 * length), new Float64Array(2 * length)]
    forward.fill(impossible, 0, length + 1)
    backward.fill(impossible, 0, length + 1)
    forward[0] = backward[length] = 0
    let edges = 0
    for (let start = 0; start < length;) {
      const step = (word.codePointAt(start) as number) > 0xffff ? 2 : 1
      const here = forward[start] as number
      let single = false
      const edge = (id: number, end: number): void => {
        starts[edges] = start
        ends[edges] = end
        ids[edges++] = id
        forward[end] = logAddExp(forward[end] as number, here + (id < 0 ? unknownScore : scores[id] as number))
      }
      tree.prefixes(word, start, (id, end) => {
        if (end - start === step) single = true
        edge(id, end)
      })
      if (!single) edge(-1, start + step)
      start += step
    }
    const likelihood = forward[length] as number
    for (let i = edges - 1; i >= 0; i--) {
      const start = starts[i] as number, id = ids[i] as number
      const rest = (backward[ends[i] as number] as number) + (id < 0 ? unknownScore : scores[id] as number)
      backward[start] = logAddExp(backward[start] as number, rest)
      if (id >= 0) expected[id] = (expected[id] as number) + (counts[w] as number) * exp((forward[start] as number) + rest - likelihood)
    }
  }
  return expected
}

/** Maximisation, with a sparse prior on the pieces (digamma instead of logarithm), which drives rare ones out. */
function maximized({ names }: Pieces, expected: Float64Array): Pieces {
  const kept: Pieces = { names: [], scores: [] }
  let sum = 0
  names.forEach((name, id) => {
    const count = expected[id] as number
    if (count < leastExpectedCount) return
    kept.names.push(name)
    kept.scores.push(digamma(count))
    sum += count
  })
  const total = digamma(sum)
  kept.scores = kept.scores.map(score => score - total)
  return kept
}

/** Keeps the pieces whose removal, with the next best segmentation in their place, would cost the most likelihood. */
async function pruned(pieces: Pieces, words: string[], counts: Float64Array, target: number, shrinkingFactor: number): Promise<Pieces> {
  const { names, scores } = pieces
  const path = bestPath(treeOf(names), scores, unknownScoreOf(scores))
  const frequencies = new Float64Array(names.length)
  let sum = 0, allWords = 0
  const turns = new EventLoopTurns()
  for (const [w, word] of words.entries()) {
    if (w % wordsBetweenTurns === 0) await turns.giveIfDue()
    const count = counts[w] as number
    allWords += count
    for (const id of path(word).ids) {
      sum += count
      if (id >= 0) frequencies[id] = (frequencies[id] as number) + count
    }
  }
  const kept: number[] = [], candidates: { id: number, loss: number }[] = []
  for (const [id, name] of names.entries()) {
    if (id % wordsBetweenTurns === 0) await turns.giveIfDue()
    const frequency = frequencies[id] as number
    const single = name.length === ((name.codePointAt(0) as number) > 0xffff ? 2 : 1)
    if (single) kept.push(id)
    else {
      const instead = path(name, true)
      // A piece that its own parts beat is on no best path; nor is one of frequency 0.
      if (frequency === 0 || instead.score > (scores[id] as number)) continue
      const sumAfter = Math.log(sum + frequency * (instead.ids.length - 1))
      const after = instead.ids.reduce((score, part) => {
        return score + Math.log((part < 0 ? 0 : frequencies[part] as number) + frequency) - sumAfter
      }, 0)
      candidates.push({ id, loss: frequency / allWords * (Math.log(frequency) - Math.log(sum) - after) })
    }
  }
  const size = Math.max(target, Math.floor((names.length + 1) * shrinkingFactor) - 1)
  candidates.sort((a, b) => b.loss - a.loss)
  for (const { id } of candidates.slice(0, Math.max(0, size - kept.length))) kept.push(id)
  return { names: kept.map(id => names[id] as string), scores: kept.map(id => scores[id] as number) }
}

/** Exactly `size` pieces: the whole alphabet, then pieces in the order of pruning; a character that was dropped ranks with the worst piece. */
function finalized({ names, scores }: Pieces, alphabet: ReadonlySet<string>, size: number): [string, number][] {
  const scoreOf = new Map(names.map((name, id) => [name, scores[id] as number]))
  const worst = scores.reduce((least, score) => Math.min(least, score), 0)
  let dropped = 0
  const final = new Map<string, number>()
  for (const character of alphabet) final.set(character, scoreOf.get(character) ?? worst + dropped++ * 0.0001)
  for (const [name, score] of scoreOf) {
    if (final.size >= size) break
    final.set(name, score)
  }
  return [...final].sort(([, a], [, b]) => b - a)
}

// Names of the module: looking up a global is slow where the module runs in a context of its own, as under jest.
const { exp, log1p } = Math
const impossible = -Infinity

function logAddExp(a: number, b: number): number {
  if (a === impossible) return b
  return a > b ? a + log1p(exp(b - a)) : b + log1p(exp(a - b))
}

/** Derivative of log Γ: recurrence up to 7, then the asymptotic series (Abramowitz and Stegun 6.3.5, 6.3.18). */
function digamma(x: number): number {
  let shift = 0
  for (; x < 7; x++) shift -= 1 / x
  const inverse = 1 / (x * x)
  return shift + Math.log(x) - 0.5 / x - inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132))))
}
