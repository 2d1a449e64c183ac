import type { Random } from '../data/random.js'
import { NumericsError } from '../errors.js'
import type { Beam, Candidate } from './beamHypotheses.js'
import { topK } from './sampling.js'

/** Log-probabilities of what may follow one beam: of the likeliest tokens, or of all of them. */
export interface Continuations {
  /** `[columns]`; minus infinity: excluded */
  readonly logprobs: Float32Array
  /** `[columns]`; undefined where the columns are the vocabulary. */
  readonly tokens: Int32Array | undefined
}

/** Chooses at most `count` ways to go on with one of the beams. @throws NumericsError for NaN */
export type ChooseCandidates = (beams: readonly Beam[], of: (beam: Beam) => Continuations, count: number) => Candidate[]

/** Those of the greatest sums, the best first. The best of all beams are among the best of each: only so many need to be known. */
export const likeliestCandidates: ChooseCandidates = (beams, of, count) => {
  const candidates: Candidate[] = []
  beams.forEach((beam, number) => {
    const { logprobs, tokens } = of(beam)
    const columns = tokens ? logprobs.keys() : topK(logprobs, count)
    for (const column of columns) add(candidates, number, beam, logprobs[column]!, tokens ? tokens[column]! : column)
  })
  return candidates.sort((a, b) => b.score - a.score).slice(0, count)
}

/**
 * Drawn without replacement, with the probability of the whole text, in the order of drawing: the greatest sums of a score and Gumbel noise.
 * @see Kool, van Hoof, Welling 2019, "Stochastic Beams and Where to Find Them", section 2.3
 */
export const sampledCandidates = (random: Random): ChooseCandidates => (beams, of, count) => {
  const candidates: Candidate[] = []
  beams.forEach((beam, number) => {
    const { logprobs, tokens } = of(beam)
    for (const [column, logprob] of logprobs.entries()) add(candidates, number, beam, logprob, tokens ? tokens[column]! : column)
  })
  const keys = Float64Array.from(candidates, ({ score }) => score - Math.log(-Math.log(1 - random.uniform())))
  return Array.from(topK(keys, count), i => candidates[i]!)
}

function add(candidates: Candidate[], beam: number, { score }: Beam, logprob: number, token: number): void {
  if (Number.isNaN(logprob)) throw new NumericsError('beam search: a log-probability is NaN. The cause is in the weights or in their precision.')
  if (logprob !== -Infinity) candidates.push({ beam, token, logprob, score: score + logprob })
}
