import { ConfigError } from '../errors.js'
import type { DecodingState, GenerativeModel } from '../nn/decoding.js'
import type { CacheOptions } from '../nn/keyValueCache.js'
import { Module } from '../nn/module.js'
import { tensor } from '../tensor/create.js'
import type { Device } from '../tensor/device.js'
import type { DType } from '../tensor/dtype.js'
import { noGrad, scope, withContext } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { GenerationPrompt } from './inputs.js'
import type { GenerationPlan } from './plan.js'
import type { PromptCache } from './promptCache.js'

/**
 * A model at work on one generation. Everything it queues runs without a tape and without dropout, and leaves nothing behind but the
 * model's caches and what is kept on purpose. It does not rely on the asynchronous context, which in a generator is that of whoever takes
 * the next token.
 */
export class DecodingRun {
  /** Sequences or beams of the model's batch. */
  rows: number
  private readonly device: string | Device
  /** Those with dropout to be switched off while the model runs; another part of the program may be training it meanwhile. */
  private readonly training: readonly Module[]
  private readonly state: DecodingState
  private readonly cache: CacheOptions
  private readonly promptCache: PromptCache | undefined
  /** Tokens of the prompt that the state holds already. */
  private readonly held: number

  private readonly precision: DType
  /** Most tokens that a row is fed at once. */
  private readonly chunk: number

  constructor(private readonly model: GenerativeModel, prompt: GenerationPrompt, plan: GenerationPlan) {
    this.precision = plan.precision
    this.chunk = plan.options.prefillChunkSize ?? Infinity
    const modules = model instanceof Module ? Array.from(model.namedModules(), ([, module]) => module) : []
    this.device = model instanceof Module ? model.parameters()[0]?.device ?? 'auto' : 'auto'
    this.training = modules.filter(module => module.training)
    this.rows = prompt.texts.length
    this.cache = plan.cache
    this.promptCache = plan.options.promptCache
    const { source } = prompt, known = this.promptCache?.take(model, prompt.texts[0]!, this.precision, this.cache)
    this.held = known?.count ?? 0
    this.state = known?.state ?? this.run(() => {
      const on = (values: Int32Array, width: number) => tensor(values, [this.rows, width], { device: this.device })
      const { mask, width } = source ?? prompt
      return this.model.prepare({ ...(source ? { source: on(source.ids, width) } : {}), ...(mask ? { attentionMask: on(mask, width) } : {}), ...(Object.keys(this.cache).length > 0 ? { cache: this.cache } : {}) })
    })
    if (this.cache.kind && this.state.cache?.kind !== this.cache.kind) {
      this.state.dispose()
      throw new ConfigError(`cacheImplementation: '${this.cache.kind}' is not there for ${model.constructor.name}. Leave it out.`)
    }
  }

  /**
   * Feeds the next tokens of all rows.
   * @param ids `[R * T]`, or a tensor `[R, T]`
   * @param select makes of the logits `[R, V]` what the caller reads; tensors to be used later have to be kept
   */
  step<T>(ids: Int32Array | Tensor, select: (logits: Tensor) => T): T {
    if (!(ids instanceof Int32Array)) return this.run(() => select(this.model.decode(ids, this.state)))
    const width = ids.length / this.rows
    let from = this.fed ? 0 : this.held   // the prompt comes first
    this.fed = true
    for (; width - from > this.chunk; from += this.chunk) this.feed(ids, from, from + this.chunk, () => undefined)
    return this.feed(ids, from, width, select)
  }

  private fed = false

  /** Feeds the prompt of the only row but for its last token, which `verify` begins with. */
  prefill(ids: Int32Array): void {
    if (this.held < ids.length - 1) this.step(ids.subarray(0, -1), () => undefined)
    this.fed = true
  }

  /** Feeds tokens of the only row. @returns the logits behind each, `[T * V]` */
  async verify(tokens: readonly number[]): Promise<Float32Array> {
    const { all } = this.run(() => ({ all: this.model.decodeAll!(this.upload(Int32Array.from(tokens), [1, tokens.length]), this.state).data() as Promise<Float32Array> }))
    return all
  }

  /** Feeds tokens of the only row. @returns the logits behind the last, `[V]` */
  async read(tokens: ArrayLike<number>): Promise<Float32Array> {
    const { last } = this.step(Int32Array.from(tokens), logits => ({ last: logits.data() as Promise<Float32Array> }))
    return last
  }

  /** Memory of the caches. */
  get bytes(): number { return this.state.bytes ?? 0 }

  /** Takes the rows of another run of the same model behind its own; both were given a mask. @throws ConfigError for models that cannot */
  join(other: DecodingRun): void {
    if (!this.state.join) {
      other.dispose()
      throw new ConfigError(`${this.model.constructor.name} cannot take rows into a batch that runs. Use generate.`)
    }
    this.run(() => { this.state.join!(other.state) })
    this.rows += other.rows
    other.dispose()
  }

  /** Drops columns that are padding in all rows. @param kept columns that hold tokens in some */
  trim(kept: number): void {
    const columns = (this.state.length ?? kept) - kept
    if (columns > 0) this.run(() => { this.state.trim?.(columns) })
  }

  /** Takes back the newest positions. */
  forget(count: number): void { if (count > 0) this.state.forget!(count) }

  /** Takes back guesses that were fed behind the first `count` tokens. */
  settle(count: number): void { this.forget(Math.max(0, (this.state.length ?? 0) - count)) }

  /** Whether positions can be taken back, and logits be had for several at once. */
  get canVerify(): boolean { return this.model.decodeAll !== undefined && this.state.forget !== undefined }

  private feed<T>(ids: Int32Array, from: number, to: number, select: (logits: Tensor) => T): T {
    const width = ids.length / this.rows, piece = from === 0 && to === width ? ids : columns(ids, this.rows, from, to)
    return this.run(() => select(this.model.decode(this.upload(piece, [this.rows, to - from]), this.state)))
  }

  /** Row i goes on from what row `rows[i]` was. @param sameSource each stays with its own source sentence */
  reorder(rows: Int32Array, sameSource: boolean): void {
    if (rows.length === this.rows && rows.every((row, i) => row === i)) return
    this.run(() => { this.state.reorder(this.upload(rows, [rows.length]), sameSource) })
    this.rows = rows.length
  }

  upload(values: Int32Array, shape: readonly number[]): Tensor { return tensor(values, shape, { device: this.device }) }

  run<T>(fn: () => T): T {
    for (const module of this.training) module.training = false
    try {
      return withContext({ precision: this.precision }, () => noGrad(() => scope(fn)))
    } finally {
      for (const module of this.training) module.training = true
    }
  }

  /** Ends the run: the caches go to the prompt cache, if there is one. @param tokens prompt and new tokens; the last of them may not have been fed */
  finish(tokens: readonly number[]): void {
    const { state, promptCache, model, precision, cache } = this, ahead = (state.length ?? 0) - tokens.length
    if (!promptCache || !this.fed || ahead > (state.forgettable ?? 0)) {
      this.dispose()
      return
    }
    if (ahead > 0) state.forget!(ahead)
    promptCache.keep({ model, state, tokens: tokens.slice(0, state.length), precision, cache })
  }

  dispose(): void { this.state.dispose() }
}

function columns(values: Int32Array, rows: number, from: number, to: number): Int32Array {
  const width = values.length / rows, out = new Int32Array(rows * (to - from))
  for (let row = 0; row < rows; row++) out.set(values.subarray(row * width + from, row * width + to), row * (to - from))
  return out
}
