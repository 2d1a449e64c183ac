import { Random } from '../../data/random.js'
import { NumericsError } from '../../errors.js'
import type { DecodingRun } from '../decodingRun.js'
import type { GeneratedToken, GrowingTexts } from '../growingTexts.js'
import { aboutToken } from '../hostSelection.js'
import type { GenerationPrompt } from '../inputs.js'
import type { GenerationPlan } from '../plan.js'
import { sampleToken, topK } from '../sampling.js'
import { LookupDrafter, ModelDrafter, probabilitiesOf, type Draft, type Drafter } from './drafter.js'
import { processedRow } from './processedRow.js'

/** How speculation went. */
export interface SpeculationStatistics {
  /** Passes of the model, that through the prompt not counted. */
  steps: number
  /** Tokens that were guessed, and those of them that the model took. */
  drafted: number
  accepted: number
}

/**
 * One sequence, several tokens a pass where the draft is right: the model reads the guesses at once and takes them up to the first that it would not have said,
 * in whose place it puts its own. The tokens are those of ordinary generation; sampled, they have its distribution, whatever the draft is.
 * @see Leviathan, Kalman, Matias 2023, https://arxiv.org/abs/2211.17192, algorithm 1
 */
export async function* speculativeTokens(
  run: DecodingRun, prompt: GenerationPrompt, plan: GenerationPlan, texts: GrowingTexts, statistics: SpeculationStatistics,
): AsyncGenerator<GeneratedToken[]> {
  const { assistantModel, assistantConfidenceThreshold = 0.4, maxMatchingNgramSize = 2 } = plan.options
  const random = new Random(plan.seed, 'speculative sampling', 0), count = new DraftLength(plan)
  const drafter: Drafter = assistantModel ? new ModelDrafter(assistantModel, prompt, plan, assistantConfidenceThreshold) : new LookupDrafter(maxMatchingNgramSize)
  const text = texts.tokens[0]!
  try {
    run.prefill(prompt.ids)
    while (texts.unfinished > 0) {
      plan.checkAborted()
      const left = plan.maxNewTokens - (text.length - prompt.texts[0]!.length)
      const draft = await drafter.propose(text, Math.min(count.now, left - 1))
      plan.checkAborted()
      const logits = await run.verify([text.at(-1)!, ...draft.tokens]), columns = logits.length / (draft.tokens.length + 1)
      let accepted = 0
      statistics.steps++
      statistics.drafted += draft.tokens.length
      for (let place = 0; place <= draft.tokens.length && texts.unfinished > 0; place++) {
        const row = logits.subarray(place * columns, (place + 1) * columns), raw = plan.outputLogits ? row.slice() : undefined
        processedRow(row, text, prompt, plan)
        const token = plan.doSample ? sampled(row, draft, place, random) : likeliest(row), taken = token === draft.tokens[place]
        if (taken) {
          accepted++
          statistics.accepted++
        }
        yield texts.add(texts.rows, [token], () => aboutToken(plan, row, token, raw))
        if (!taken) break
      }
      count.went(accepted, draft.tokens.length)
      run.settle(text.length - 1)
    }
  } finally {
    drafter.dispose()
    run.settle(text.length - 1)   // also where the consumer had enough in the middle of a draft
  }
}

function likeliest(row: Float32Array): number {
  const token = topK(row, 1)[0]!
  if (row[token] === -Infinity) throw new NumericsError('no token can follow: the logits processors exclude every one. Relax what they exclude.')
  return token
}

/** The guess with probability min(1, p / q), else one from what p has more than q; behind the last guess from p. */
function sampled(row: Float32Array, { tokens, probabilities }: Draft, place: number, random: Random): number {
  const guess = tokens[place]
  if (guess === undefined) return sampleToken(row, random.uniform())
  const p = probabilitiesOf(row), q = probabilities[place]
  if (random.uniform() * (q ? q[guess]! : 1) < p[guess]!) return guess
  const rest = p.map((value, token) => Math.max(0, value - (q ? q[token]! : token === guess ? 1 : 0))), total = rest.reduce((sum, value) => sum + value, 0)
  if (!(total > 0)) return sampleToken(row, random.uniform())   // p and q are equal but for rounding
  const target = random.uniform() * total
  let reached = 0, last = guess
  for (let token = 0; token < rest.length; token++) {
    if (rest[token] === 0) continue
    reached += rest[token]!
    last = token
    if (reached > target) break
  }
  return last
}

/** How long drafts may grow. */
export const mostDrafted = 64

/** How many tokens are guessed at a time: as many as said, or more after a whole draft was right and fewer after it was not. */
class DraftLength {
  now: number
  private readonly changes: boolean

  constructor({ options: { promptLookupNumTokens, numAssistantTokens = 20, numAssistantTokensSchedule = 'constant' } }: GenerationPlan) {
    this.now = promptLookupNumTokens ?? numAssistantTokens
    this.changes = promptLookupNumTokens === undefined && numAssistantTokensSchedule !== 'constant'
  }

  went(accepted: number, drafted: number): void {
    if (this.changes && drafted > 0) this.now = accepted === drafted ? Math.max(this.now, Math.min(this.now + 2, mostDrafted)) : Math.max(1, this.now - 1)
  }
}
