import { Random } from '../../data/random.js'
import { AbortedError, NumericsError } from '../../errors.js'
import type { GenerativeModel } from '../../nn/decoding.js'
import { GrowingTexts } from '../growingTexts.js'
import { aboutToken } from '../hostSelection.js'
import type { GenerationPrompt } from '../inputs.js'
import type { GenerationPlan } from '../plan.js'
import { sampleToken, topK } from '../sampling.js'
import { processedRow } from '../speculative/processedRow.js'
import { TextDeltas, type StreamedToken } from '../streamedTokens.js'

/** A request at work: its text, how it chooses, and how far it has come. */
export class ActiveRequest {
  private readonly texts: GrowingTexts
  private readonly deltas: TextDeltas | undefined
  private readonly random: Random | undefined

  constructor(model: GenerativeModel, readonly prompt: GenerationPrompt, readonly plan: GenerationPlan, readonly stream: TokenStream) {
    this.texts = new GrowingTexts(prompt, plan)
    const { tokenizer } = plan.options
    this.deltas = tokenizer && new TextDeltas(this.texts, tokenizer, !model.isEncoderDecoder)
    this.random = plan.doSample ? new Random(plan.seed, 'token sampling', 0) : undefined
  }

  /** Prompt and new tokens. */
  get length(): number { return this.texts.tokens[0]!.length }
  get lastToken(): number { return this.texts.tokens[0]!.at(-1)! }
  /** Positions that it may come to need. */
  get planned(): number { return this.prompt.width + this.plan.maxNewTokens }
  /** Whether nobody waits for it any more, or all is said. */
  get isOver(): boolean { return this.stream.isClosed || this.texts.unfinished === 0 }
  /** Whether the likeliest token is all that it needs to know of the logits. */
  get isPlain(): boolean { return !this.plan.onHost && !this.plan.logprobs }

  /** Chooses the next token from the logits `[V]`, which it may change. */
  choose(row: Float32Array): void {
    const raw = this.plan.outputLogits ? row.slice() : undefined
    processedRow(row, this.texts.tokens[0]!, this.prompt, this.plan)
    const token = this.random ? sampleToken(row, this.random.uniform()) : topK(row, 1)[0]!
    if (row[token] === -Infinity) throw new NumericsError('no token can follow: the logits processors exclude every one. Relax what they exclude.')
    this.say(token, row, raw)
  }

  /** Takes the likeliest token. @param logit not NaN, which counts as the largest */
  take(token: number, logit: number): void {
    if (Number.isNaN(logit)) throw new NumericsError(`the logits are NaN at new token ${this.length - this.prompt.width + 1}. The cause is in the weights or in their precision.`)
    this.say(token)
  }

  private say(chosen: number, row?: Float32Array, raw?: Float32Array): void {
    for (const token of this.texts.add(this.texts.rows, [chosen], () => row ? aboutToken(this.plan, row, chosen, raw) : {})) {
      const streamed = this.deltas?.of(token) ?? token
      this.plan.options.onToken?.(streamed)
      this.stream.push(streamed)
    }
    if (this.texts.unfinished === 0) this.stream.end()
  }
}

/** What a consumer iterates over: tokens wait in it until they are taken. `return()` (or `break`) gives the rest up. */
export class TokenStream implements AsyncIterableIterator<StreamedToken, undefined> {
  isClosed = false
  private readonly tokens: StreamedToken[] = []
  private error: unknown
  private wake: (() => void) | undefined

  /** @param closed is called when the consumer gives up */
  constructor(private readonly closed: () => void) {}

  push(token: StreamedToken): void {
    if (this.isClosed) return
    this.tokens.push(token)
    this.wake?.()
  }

  end(): void {
    this.isClosed = true
    this.wake?.()
  }

  /** Ends with an error, behind the tokens that came before. */
  fail(error: unknown): void {
    if (this.isClosed) return
    this.error = error ?? new AbortedError('the request failed')
    this.end()
  }

  async next(): Promise<IteratorResult<StreamedToken, undefined>> {
    for (;;) {
      const token = this.tokens.shift()
      if (token) return { done: false, value: token }
      if (this.error !== undefined) {
        const { error } = this
        this.error = undefined
        throw error as Error
      }
      if (this.isClosed) return { done: true, value: undefined }
      await new Promise<void>(resolve => { this.wake = resolve })
    }
  }

  return(): Promise<IteratorResult<StreamedToken, undefined>> {
    this.tokens.length = 0
    this.error = undefined
    if (!this.isClosed) {
      this.end()
      this.closed()
    }
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this { return this }
}
