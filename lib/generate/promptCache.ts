import type { CacheOptions } from '../nn/keyValueCache.js'
import type { DecodingState, GenerativeModel } from '../nn/decoding.js'
import type { DType } from '../tensor/dtype.js'

interface Held { readonly model: GenerativeModel, readonly state: DecodingState, readonly tokens: readonly number[], readonly precision: DType, readonly cache: CacheOptions }

/**
 * Keys and values of a text, kept from one generation to the next: what a prompt has in common with the text before is not computed again. Give the same one to
 * each turn of a conversation (`promptCache`), and dispose of it at the end.
 */
export class PromptCache {
  private held: Held | undefined

  /** The tokens whose keys and values are held. */
  get tokens(): readonly number[] { return this.held?.tokens ?? [] }
  /** Memory of the caches. */
  get bytes(): number { return this.held?.state.bytes ?? 0 }

  /**
   * @internal The state behind the longest beginning that `prompt` shares with the text before, without its last token at least: that one gives the logits.
   * It belongs to the caller then.
   */
  take(model: GenerativeModel, prompt: readonly number[], precision: DType, cache: CacheOptions): { state: DecodingState, count: number } | undefined {
    const held = this.held
    this.held = undefined
    if (!held) return undefined
    let count = 0
    while (count < held.tokens.length && count < prompt.length - 1 && held.tokens[count] === prompt[count]) count++
    const { state } = held, back = held.tokens.length - count
    if (held.model !== model || held.precision !== precision || JSON.stringify(held.cache) !== JSON.stringify(cache) || count === 0 || back > (state.forgettable ?? 0)) {
      state.dispose()
      return undefined
    }
    state.forget!(back)
    return { state, count }
  }

  /** @internal Keeps the state of a text; it belongs to the cache from now on. */
  keep(held: Held): void {
    this.dispose()
    this.held = held
  }

  dispose(): void {
    this.held?.state.dispose()
    this.held = undefined
  }

  [Symbol.dispose](): void { this.dispose() }
}
