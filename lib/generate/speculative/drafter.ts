import { Random } from '../../data/random.js'
import type { GenerativeModel } from '../../nn/decoding.js'
import { DecodingRun } from '../decodingRun.js'
import type { GenerationPrompt } from '../inputs.js'
import type { GenerationPlan } from '../plan.js'
import { distribution, sampleToken, topK } from '../sampling.js'
import { processedRow } from './processedRow.js'

/** Tokens that may follow, and what each was drawn from: `[V]` probabilities; undefined where it was certain. */
export interface Draft { readonly tokens: readonly number[], readonly probabilities: readonly (Float64Array | undefined)[] }

/** Guesses how a text goes on. */
export interface Drafter {
  /** @param most tokens */
  propose(text: readonly number[], most: number): Promise<Draft>
  dispose(): void
}

/** A small model of the same vocabulary. Its tokens are drawn as those of the text are: the likeliest, or sampled after the same processors. */
export class ModelDrafter implements Drafter {
  private readonly run: DecodingRun
  private readonly random: Random
  private fed: number[] = []

  constructor(private readonly model: GenerativeModel, private readonly prompt: GenerationPrompt, private readonly plan: GenerationPlan, private readonly confidence: number) {
    this.run = new DecodingRun(model, prompt, { ...plan, options: { ...plan.options, promptCache: undefined }, cache: plan.cache.reserve === undefined ? {} : { reserve: plan.cache.reserve } })
    this.random = new Random(plan.seed, 'draft sampling', 0)
  }

  async propose(text: readonly number[], most: number): Promise<Draft> {
    let same = 0
    while (same < this.fed.length && same < text.length - 1 && this.fed[same] === text[same]) same++
    this.run.forget(this.fed.length - same)
    this.fed.length = same
    const tokens: number[] = [], probabilities: (Float64Array | undefined)[] = []
    let next = text.slice(same)
    while (tokens.length < most && this.fed.length + next.length <= this.model.maxPositions) {
      const row = await this.run.read(next)
      this.fed.push(...next)
      processedRow(row, [...text, ...tokens], this.prompt, this.plan)
      const normal = distribution(row)
      if (!normal) break   // nothing may follow: the model itself will say what is wrong
      const token = this.plan.doSample ? sampleToken(row, this.random.uniform()) : topK(row, 1)[0]!
      tokens.push(token)
      probabilities.push(this.plan.doSample ? probabilitiesOf(row) : undefined)
      if (this.plan.ends.includes(token) || Math.exp(row[token]! - normal.max) / normal.total < this.confidence) break
      next = [token]
    }
    return { tokens, probabilities }
  }

  dispose(): void { this.run.dispose() }
}

/** What followed the last few tokens where they stood before in the text. @see Saxena 2023, "Prompt Lookup Decoding" */
export class LookupDrafter implements Drafter {
  /** @param longest n-gram to look for */
  constructor(private readonly longest: number) {}

  propose(text: readonly number[], most: number): Promise<Draft> {
    const tokens = this.found(text, most)
    return Promise.resolve({ tokens, probabilities: tokens.map(() => undefined) })
  }

  dispose(): void { /* holds nothing */ }

  private found(text: readonly number[], most: number): readonly number[] {
    for (let size = Math.min(this.longest, text.length - 1); size > 0; size--) {
      const tail = text.length - size
      for (let at = tail - 1; at >= 0; at--) {   // the latest is the likeliest to go on alike
        let same = 0
        while (same < size && text[at + same] === text[tail + same]) same++
        if (same === size) return text.slice(at + size, at + size + most)
      }
    }
    return []
  }
}

/** The softmax of a row. */
export function probabilitiesOf(row: Float32Array): Float64Array {
  const normal = distribution(row)
  return Float64Array.from(row, logit => normal ? Math.exp(logit - normal.max) / normal.total : 0)
}
