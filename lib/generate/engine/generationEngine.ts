import { AbortedError, ConfigError } from '../../errors.js'
import { EventLoopTurns } from '../../eventLoop.js'
import type { CacheKind } from '../../nn/keyValueCache.js'
import type { GenerativeModel } from '../../nn/decoding.js'
import { topK } from '../../ops/topK.js'
import { context, withContext } from '../../tensor/scope.js'
import { DecodingRun } from '../decodingRun.js'
import { prepareGeneration } from '../generate.js'
import type { GenerationOptions } from '../options.js'
import { isCount, requireOption } from '../processors/logitsProcessor.js'
import type { StreamedToken } from '../streamedTokens.js'
import { ActiveRequest, TokenStream } from './request.js'

export interface EngineOptions {
  /** Most requests that run at once. Default 16. */
  maxRows?: number
  /** Most positions of all requests that run at once, as if each were as long as the longest may become: bounds the memory of the caches. Default: no bound. */
  maxTokens?: number
  /** Most prompt tokens that are read between two steps of the others; a longer prompt is read alone. Default 512. */
  prefillTokens?: number
  /** Default 'dynamic'. */
  cacheImplementation?: Exclude<CacheKind, 'static'>
}

/** Options of `generate` for one request. */
export type RequestOptions = Omit<GenerationOptions, 'numBeams' | 'numBeamGroups' | 'numReturnSequences' | 'promptCache' | 'assistantModel' | 'promptLookupNumTokens' | 'cacheImplementation' | 'maxCacheLen'>

interface Waiting { readonly stream: TokenStream, readonly ready: Promise<ActiveRequest | undefined>, readonly signal: AbortSignal | undefined }

/**
 * Serves independent requests with one model, in one batch that they join and leave at any time (continuous batching). The tokens of a request are those that
 * `generate` gives it alone: greedy, or with its seed. Requests begin in the order in which they came, and all that run get one token in each step, so none waits
 * for another's end but for room. Models whose rotary frequencies depend on the length ('dynamic', 'longrope') see that of the longest request.
 * @see Yu et al. 2022, "Orca"
 */
export class GenerationEngine {
  private readonly waiting: Waiting[] = []
  private running: ActiveRequest[] = []
  private run: DecodingRun | undefined
  private isWorking = false
  private isClosed = false
  private readonly precision = context().precision
  private readonly options: Required<EngineOptions>

  constructor(private readonly model: GenerativeModel, { maxRows = 16, maxTokens = Infinity, prefillTokens = 512, cacheImplementation = 'dynamic' }: EngineOptions = {}) {
    requireOption(isCount(maxRows) && maxRows > 0, 'maxRows', 'a whole number > 0', maxRows)
    requireOption(maxTokens > 0, 'maxTokens', 'a number > 0', maxTokens)
    requireOption(prefillTokens > 0, 'prefillTokens', 'a number > 0', prefillTokens)
    if (model.isEncoderDecoder) throw new ConfigError('GenerationEngine is for models without an encoder. Use generate with batches.')
    this.options = { maxRows, maxTokens, prefillTokens, cacheImplementation }
  }

  /** Requests that run, and that wait for room. */
  get load(): { running: number, waiting: number } { return { running: this.running.length, waiting: this.waiting.length } }
  /** Memory of the caches. */
  get bytes(): number { return this.run?.bytes ?? 0 }

  /**
   * Adds a request, which begins as soon as there is room, whether its tokens are taken or not. Giving up the iterator (`break`, `return()`) or the option `signal`
   * ends it. @param prompt ids @returns its tokens as they come; it throws what `generate` would throw
   */
  submit(prompt: readonly number[], options: RequestOptions = {}): AsyncIterableIterator<StreamedToken, undefined> {
    if (this.isClosed) throw new ConfigError('the engine is closed: make another one.')
    const stream = new TokenStream(() => { this.work() })
    const ready = this.prepared(prompt, options, stream).catch((error: unknown) => { stream.fail(error); return undefined })
    this.waiting.push({ stream, ready, signal: options.signal })
    this.work()
    return stream
  }

  /** Ends all requests with AbortedError and frees the caches. */
  close(): void {
    this.isClosed = true
    for (const { stream } of [...this.waiting, ...this.running]) stream.fail(new AbortedError('the engine was closed'))
    this.work()
  }

  [Symbol.dispose](): void { this.close() }

  private async prepared(ids: readonly number[], options: RequestOptions, stream: TokenStream): Promise<ActiveRequest> {
    const { cacheImplementation, maxTokens } = this.options
    const { prompt, plan } = await withContext({ precision: this.precision }, () => prepareGeneration(this.model, [[...ids]], { ...options, ...(cacheImplementation === 'dynamic' ? {} : { cacheImplementation }) }))
    if (plan.numBeams > 1 || plan.numReturnSequences > 1 || plan.speculates || plan.options.promptCache || (plan.options.guidanceScale ?? 1) !== 1)
      throw new ConfigError('GenerationEngine: beams, several sequences, drafts, guidance and prompt caches are for generate; submit a request for each sequence.')
    // Rows of different lengths share a batch: each says where its tokens are.
    const request = new ActiveRequest(this.model, { ...prompt, mask: new Int32Array(prompt.width).fill(1) }, plan, stream)
    if (request.planned > maxTokens) throw new ConfigError(`a prompt of ${prompt.width} tokens and ${plan.maxNewTokens} new ones are more than the engine's maxTokens, ${maxTokens}.`)
    return request
  }

  /** Works while there is something to do. */
  private work(): void {
    if (this.isWorking) return
    this.isWorking = true
    void this.rounds().finally(() => {
      this.isWorking = false
      if (this.waiting.length > 0) this.work()   // came in the last moment
    })
  }

  private async rounds(): Promise<void> {
    const turns = new EventLoopTurns()
    await Promise.resolve()   // requests that are submitted together begin together
    while (this.waiting.length > 0 || this.running.length > 0) {
      try {
        this.leave()
        await this.admit()
        await this.step()
        await turns.giveIfDue()
      } catch (error) {   // of the batch as a whole: memory, the device
        for (const { stream } of this.running) stream.fail(error)
        this.running = []
        this.run?.dispose()
        this.run = undefined
      }
    }
    this.leave()
  }

  /** Takes those that are over out of the batch. */
  private leave(): void {
    for (const request of this.running) attempt(request, () => { request.plan.checkAborted() })
    const stay = [...this.running.keys()].filter(row => !this.running[row]!.isOver)
    if (stay.length === this.running.length) return
    this.running = stay.map(row => this.running[row]!)
    if (stay.length === 0) {
      this.run!.dispose()
      this.run = undefined
      return
    }
    this.run!.reorder(Int32Array.from(stay), false)
    this.run!.trim(Math.max(...this.running.map(({ length }) => length)) - 1)   // the last token of each is not fed yet
  }

  /** Reads the prompts of those that come next, as far as there is room. */
  private async admit(): Promise<void> {
    let budget = this.options.prefillTokens
    while (this.waiting.length > 0) {
      for (const { signal, stream } of this.waiting) if (signal?.aborted) stream.fail(new AbortedError('the generation was aborted by its signal', { cause: signal.reason }))
      const request = await this.waiting[0]!.ready
      if (!request || request.stream.isClosed) {
        this.waiting.shift()
        continue
      }
      const { maxRows, maxTokens, prefillTokens } = this.options, rows = this.running.length + 1
      const longest = Math.max(request.planned, ...this.running.map(({ planned }) => planned))
      if (rows > maxRows || rows * longest > maxTokens || (request.prompt.width > budget && budget < prefillTokens)) return
      this.waiting.shift()
      budget -= request.prompt.width
      await this.begin(request)
    }
  }

  private async begin(request: ActiveRequest): Promise<void> {
    let own: DecodingRun | undefined
    try {
      request.plan.checkAborted()
      own = new DecodingRun(this.model, request.prompt, request.plan)
      request.choose(await own.read(request.prompt.ids))
    } catch (error) {
      request.stream.fail(error)
    }
    if (request.isOver || !own) {
      own?.dispose()
      return
    }
    if (this.run) this.run.join(own)
    else this.run = own
    this.running.push(request)
  }

  /** One token for each request that runs. */
  private async step(): Promise<void> {
    if (!this.run) return
    const { running } = this, plain = running.every(({ isPlain }) => isPlain)
    const { values, tokens } = this.run.step(Int32Array.from(running, ({ lastToken }) => lastToken), logits => {
      if (!plain) return { values: logits.data() as Promise<Float32Array>, tokens: undefined }
      const best = topK(logits, 1)
      return { values: best.values.data() as Promise<Float32Array>, tokens: best.indices.data() as Promise<Int32Array> }
    })
    const [logits, best] = await Promise.all([values, tokens]), columns = logits.length / running.length
    running.forEach((request, row) => {
      if (request.isOver) return
      attempt(request, () => {
        if (best) request.take(best[row]!, logits[row]!)
        else request.choose(logits.subarray(row * columns, (row + 1) * columns))
      })
    })
  }
}

/** What goes wrong with one request is no other's business. */
function attempt({ stream }: ActiveRequest, work: () => void): void {
  try {
    work()
  } catch (error) {
    stream.fail(error)
  }
}
