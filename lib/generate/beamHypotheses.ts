/** A text that is being searched, or was found. */
export interface Beam {
  /** Prompt and new tokens. */
  readonly tokens: readonly number[]
  /** Log-probabilities of the new tokens, after the logits processors. */
  readonly logprobs: readonly number[]
  /** With `outputScores`: the log-probabilities that each new token was chosen from, `[V]`. */
  readonly scores: readonly Float32Array[]
  /** Their sum; of finished ones divided by length ^ lengthPenalty. */
  readonly score: number
  /** Row of the model's batch that it goes on from. */
  readonly row: number
}

/** A way to go on with one of the running beams. */
export interface Candidate {
  /** Number of the running beam. */
  readonly beam: number
  readonly token: number
  readonly logprob: number
  /** Sum of the log-probabilities up to this token. */
  readonly score: number
}

export interface BeamOptions {
  readonly beams: number
  readonly lengthPenalty: number
  readonly earlyStopping: boolean | 'never'
  readonly maxNewTokens: number
  /** Of what may still come, the candidate counts that has just ended too: groups go on longer, as in the versions of transformers that had them (4.49). */
  readonly grouped: boolean
  isFinished(tokens: readonly number[]): boolean
}

/**
 * The beams of one sentence, or of one group of them: those that run and the best finished ones. What becomes of the candidates, and
 * when the search ends, equals transformers 5.23, where the sentences of a batch do not influence each other either.
 */
export class BeamHypotheses {
  running: readonly Beam[]
  /** Best first, at most as many as there are beams. */
  finished: readonly Beam[] = []
  done = false
  private generated = 0

  /** @param row where the sentence lies in the batch */
  constructor(prompt: readonly number[], row: number, private readonly options: BeamOptions) {
    this.running = [{ tokens: prompt, logprobs: [], scores: [], score: 0, row }]
  }

  /**
   * Goes on by one token.
   * @param candidates best first, or as sampled; at least twice as many as beams (and more with several end tokens), so that enough of them go on
   * @param scoresOf what the candidates of a beam were chosen from, to be kept
   * @returns the tokens that the beams go on with, or would if this were not the last
   */
  advance(candidates: readonly Candidate[], scoresOf?: (beam: Beam) => Float32Array): number[] {
    const { beams, lengthPenalty, earlyStopping, maxNewTokens, grouped } = this.options
    this.generated++
    const running: Beam[] = [], ended: Beam[] = [], chosen: number[] = [], scores = this.running.map(beam => scoresOf ? [...beam.scores, scoresOf(beam).slice()] : [])
    candidates.forEach(({ beam, token, logprob, score }, rank) => {
      const from = this.running[beam]!
      const next: Beam = { tokens: [...from.tokens, token], logprobs: [...from.logprobs, logprob], scores: scores[beam]!, score, row: from.row }
      const ends = this.options.isFinished(next.tokens)
      if (!ends && chosen.length < beams) chosen.push(token)
      if (ends || this.generated >= maxNewTokens) {
        // Those behind the best `beams` are there to go on, not to end.
        if (rank < beams) ended.push({ ...next, score: score / this.generated ** lengthPenalty })
      } else running.push(next)
    })
    this.running = running.sort((a, b) => b.score - a.score).slice(0, beams)   // sampled candidates come in the order of drawing
    if (ended.length > 0) this.finished = [...this.finished, ...ended].sort((a, b) => b.score - a.score).slice(0, beams)

    const full = this.finished.length === beams
    // The best score that may still come: sums only fall, but division by a greater length may raise them.
    const length = earlyStopping === 'never' && lengthPenalty > 0 ? maxNewTokens : this.generated
    const best = Math.max(running[0]?.score ?? -Infinity, grouped ? candidates[0]?.score ?? -Infinity : -Infinity)
    const improvable = running.length > 0 && (!full || best / length ** lengthPenalty > this.finished.at(-1)!.score)
    this.done = !improvable || (earlyStopping === true && full)
    return chosen
  }

  /** The running beams lie in the batch one after another, from row `first` on. */
  place(first: number): void { this.running = this.running.map((beam, i) => ({ ...beam, row: first + i })) }
}
