/**
 * Edits between two lists of words where moving a run of words costs one: the greedy search of Tercom (Snover et al. 2006) with its
 * limits. Finding the fewest is NP-complete, so the number is defined by the search; each limit and each order of preference below is
 * part of the definition.
 */
const longestShift = 10
const farthestShift = 50
const beamWidth = 25
const mostCandidates = 1000

/**
 * The number of insertions, deletions, substitutions and shifts that make the hypothesis the reference.
 * @param hypothesis words   @param reference words
 */
export function translationEdits(hypothesis: readonly string[], reference: readonly string[]): number {
  if (reference.length === 0) return hypothesis.length
  const ids = new Map<string, number>()
  const idsOf = (words: readonly string[]) => words.map((word) => {
    const id = ids.get(word) ?? ids.size
    ids.set(word, id)
    return id
  })
  const target = idsOf(reference)
  const distance = new BeamEditDistance(target, hypothesis.length)
  let words = idsOf(hypothesis), shifts = 0, candidates = 0
  for (;;) {
    const best = bestShift(words, target, distance, candidates)
    candidates = best.candidates
    if (candidates >= mostCandidates || best.gain <= 0) break
    shifts++
    words = best.words
  }
  return shifts + distance.of(words)
}

interface Shift { gain: number; words: number[]; candidates: number }

/** The shift that lowers the edit distance most; then the longest, the first in the hypothesis, the one with the first target. */
function bestShift(words: number[], target: readonly number[], distance: BeamEditDistance, candidatesBefore: number): Shift {
  const before = distance.of(words)
  const { aligned, wrongHere, wrongThere } = distance.alignment()
  let candidates = candidatesBefore
  let best: { gain: number, length: number, start: number, to: number, words: number[] } | undefined
  for (const { start, from, length } of commonRuns(words, target)) {
    // Only words that are wrong where they are, and are wanted where nothing right stands, and not a move within themselves.
    if (!anyWithin(wrongHere, start, length) || !anyWithin(wrongThere, from, length)) continue
    if (start <= aligned[from]! && aligned[from]! < start + length) continue
    let previous = -1
    for (let offset = -1; offset < length && from + offset < target.length; offset++) {
      const to = from + offset === -1 ? 0 : aligned[from + offset]! + 1
      if (to === previous) continue
      previous = to
      const shifted = shift(words, start, length, to)
      const gain = before - distance.of(shifted)
      candidates++
      const order = best === undefined ? 1 : gain - best.gain || length - best.length || best.start - start || best.to - to
      if (order > 0) best = { gain, length, start, to, words: shifted }
    }
    if (candidates >= mostCandidates) break
  }
  return best === undefined ? { gain: 0, words, candidates } : { gain: best.gain, words: best.words, candidates }
}

function anyWithin(flags: readonly boolean[], start: number, length: number): boolean {
  const at = flags.indexOf(true, start)
  return at !== -1 && at < start + length
}

/** Every run of words that both have: at `start` in one, `from` in the other. Shorter runs come before the longer ones that they begin. */
function* commonRuns(words: readonly number[], target: readonly number[]) {
  for (let start = 0; start < words.length; start++) {
    const last = Math.min(target.length - 1, start + farthestShift)
    for (let from = Math.max(0, start - farthestShift); from <= last; from++) {
      const most = Math.min(longestShift, words.length - start, target.length - from)
      for (let length = 1; length <= most && words[start + length - 1] === target[from + length - 1]; length++) {
        yield { start, from, length }
      }
    }
  }
}

/** Moves `length` words at `start` before the word at `to`; a target within them swaps them with as many that follow, as Tercom does. */
function shift(words: readonly number[], start: number, length: number, to: number): number[] {
  const run = words.slice(start, start + length)
  if (to < start) return [...words.slice(0, to), ...run, ...words.slice(to, start), ...words.slice(start + length)]
  const end = to > start + length ? to : length + to
  return [...words.slice(0, start), ...words.slice(start + length, end), ...run, ...words.slice(end)]
}

const enum Step { Match, Substitute, Delete, Insert }

/**
 * Levenshtein distance to a fixed reference from hypotheses of one length, along a band around the diagonal. Shifted hypotheses begin as
 * their originals do, so the rows of the words that two successive ones share are computed once.
 */
class BeamEditDistance {
  private readonly costs: Int32Array // [H + 1, R + 1]
  private readonly steps: Uint8Array // [H + 1, R + 1]
  private readonly width: number
  private readonly band: number
  private words: readonly number[] = []

  constructor(private readonly reference: readonly number[], private readonly length: number) {
    this.width = reference.length + 1
    this.costs = new Int32Array((length + 1) * this.width)
    this.steps = new Uint8Array((length + 1) * this.width)
    for (let j = 0; j < this.width; j++) {
      this.costs[j] = j
      this.steps[j] = Step.Insert
    }
    // Wide enough for the bands of successive rows to overlap where the lengths differ much.
    const ratio = length > 0 ? reference.length / length : 1
    this.band = beamWidth < ratio / 2 ? Math.ceil(ratio / 2 + beamWidth) : beamWidth
  }

  /** The distance from `words`; {@link alignment} then speaks of them. */
  of(words: readonly number[]): number {
    let same = 0
    while (same < this.words.length && this.words[same] === words[same]) same++
    for (let i = same + 1; i <= this.length; i++) this.fillRow(i, words[i - 1]!)
    this.words = words
    return this.costs[this.costs.length - 1]!
  }

  private fillRow(i: number, word: number): void {
    const { costs, steps, width, reference } = this
    const row = i * width, above = row - width
    const diagonal = Math.floor(i * (reference.length / this.length))
    const first = Math.max(0, diagonal - this.band)
    const end = i === this.length ? width : Math.min(width, diagonal + this.band)
    costs.fill(unreached, row, row + width)
    for (let j = first; j < end; j++) {
      if (j === 0) {
        costs[row] = costs[above]! + 1
        steps[row] = Step.Delete
        continue
      }
      const matches = word === reference[j - 1]
      let cost = costs[above + j - 1]! + (matches ? 0 : 1), step = matches ? Step.Match : Step.Substitute
      if (costs[above + j]! + 1 < cost) {
        cost = costs[above + j]! + 1
        step = Step.Delete
      }
      if (costs[row + j - 1]! + 1 < cost) {
        cost = costs[row + j - 1]! + 1
        step = Step.Insert
      }
      costs[row + j] = Math.min(cost, unreached)
      steps[row + j] = step
    }
  }

  /**
   * How the words last measured stand against the reference: for each reference word the position that it is aligned with (the word
   * before a missing one, -1 at the start), and which words of either are wrong.
   */
  alignment(): { aligned: number[], wrongHere: boolean[], wrongThere: boolean[] } {
    const { steps, width, reference } = this
    const aligned = new Array<number>(reference.length)
    const wrongHere = new Array<boolean>(this.length), wrongThere = new Array<boolean>(reference.length)
    let i = this.length, j = reference.length
    while (i > 0 || j > 0) {
      const step: Step = steps[i * width + j]!
      if (step !== Step.Insert) i--
      if (step !== Step.Delete) j--
      if (step !== Step.Delete) aligned[j] = step === Step.Insert ? i - 1 : i
      if (step !== Step.Insert) wrongHere[i] = step !== Step.Match
      if (step !== Step.Delete) wrongThere[j] = step !== Step.Match
    }
    return { aligned, wrongHere, wrongThere }
  }
}

/** The cost of a cell outside of the band: above every real one, and a sum with 1 still fits. */
const unreached = 0x3fffffff
