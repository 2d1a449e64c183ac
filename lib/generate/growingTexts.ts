import type { GenerationPrompt } from './inputs.js'
import type { GenerationPlan } from './plan.js'

export interface TokenLogprob { readonly token: number, readonly logprob: number }

/** A token that was just chosen. */
export interface GeneratedToken {
  /** Number of the sequence: that of the input times `numReturnSequences`, plus that of the sample. */
  readonly sequence: number
  readonly token: number
  /** With `logprobs`: natural logarithm of its probability, after the logits processors. */
  readonly logprob?: number
  /** With `logprobs` as a number: the likeliest in its place, the best first. */
  readonly topLogprobs?: TokenLogprob[]
  /** With `outputScores`: `[V]`, after the logits processors. */
  readonly scores?: Float32Array
  /** With `outputLogits`: `[V]`, as the model gave them. */
  readonly logits?: Float32Array
  /** Whether the sequence ends with it. */
  readonly last: boolean
}

/** The sequences of a generation without beams, as they grow token by token, and which row of the model's batch each is. */
export class GrowingTexts {
  /** Prompt and new tokens of each sequence. */
  readonly tokens: number[][]
  readonly promptLengths: readonly number[]
  /** The sequence of each row; finished ones stay until enough are. */
  rows: Int32Array
  private readonly finished: boolean[]
  private step = 0

  constructor(prompt: GenerationPrompt, private readonly plan: GenerationPlan) {
    const begin = prompt.texts.flatMap(text => Array.from({ length: plan.numReturnSequences }, () => text))
    this.tokens = begin.map(text => [...text])
    this.promptLengths = begin.map(text => text.length)
    this.rows = Int32Array.from(begin.keys())
    this.finished = begin.map(() => false)
  }

  get unfinished(): number { return this.finished.reduce((n, done) => n + (done ? 0 : 1), 0) }
  isFinished(sequence: number): boolean { return this.finished[sequence]! }

  /** Adds the next token of each sequence of `rows` that is not finished yet. @param about what else is said of the token of a row */
  add(rows: Int32Array, tokens: ArrayLike<number>, about: (row: number) => Omit<GeneratedToken, 'sequence' | 'token' | 'last'> = () => ({})): GeneratedToken[] {
    this.step++
    const added: GeneratedToken[] = []
    rows.forEach((sequence, row) => {
      if (this.finished[sequence]!) return
      const token = tokens[row]!, text = this.tokens[sequence]!
      text.push(token)
      const last = this.step >= this.plan.maxNewTokens || this.plan.isFinished(text, sequence, this.promptLengths[sequence]!)
      if (last) this.finished[sequence] = true
      added.push({ sequence, token, ...about(row), last })
    })
    this.plan.options.onStep?.({ step: this.step, unfinished: this.unfinished })
    return added
  }

  /** Drops the rows of finished sequences once they are a quarter of the batch: moving caches has its price. @returns which rows stay, if some go */
  shrink(): Int32Array | undefined {
    const stay = Int32Array.from(this.rows.keys()).filter(row => !this.finished[this.rows[row]!]!)
    if (stay.length === 0 || 4 * (this.rows.length - stay.length) < this.rows.length) return undefined
    this.rows = stay.map(row => this.rows[row]!)
    return stay
  }
}
