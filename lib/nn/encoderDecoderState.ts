import { cast, clone } from '../ops/copy.js'
import { indexSelect } from '../ops/indexSelect.js'
import type { Tensor } from '../tensor/tensor.js'
import type { DecodingState } from './decoding.js'
import { type CacheOptions, KeyValueCache } from './keyValueCache.js'

/** Caches of one decoder layer: its own positions, and the memory's keys and values. */
export interface DecoderLayerCache { self: KeyValueCache, memory: KeyValueCache }

/** What a decoder with an encoder keeps between the tokens of a generation. */
export class EncoderDecoderState implements DecodingState {
  /** Tokens so far. */
  length = 0

  /** @param sourceMask `[R, S]`, true where the source has a token */
  constructor(readonly layers: readonly DecoderLayerCache[], public sourceMask: Tensor | undefined, readonly cache: CacheOptions | undefined) {}

  /** @param memories keys and values of the source for each layer, `[R, S, H, D]`: computed once @param sourceMask not 0 where the source has a token, `[R, S]` */
  static of(memories: readonly { keys: Tensor, values: Tensor }[], sourceMask?: Tensor, cache?: CacheOptions): EncoderDecoderState {
    const layers = memories.map(({ keys, values }) => ({ self: new KeyValueCache(cache), memory: KeyValueCache.of(keys, values) }))
    const mask = sourceMask?.dtype === 'bool' ? clone(sourceMask) : sourceMask && cast(sourceMask, 'bool')   // one of its own in any case
    return new EncoderDecoderState(layers, mask?.keep(), cache)
  }

  get bytes(): number { return this.layers.reduce((sum, { self, memory }) => sum + self.bytes + memory.bytes, 0) }

  get forgettable(): number { return this.length }

  forget(count: number): void {
    for (const { self } of this.layers) self.forget(count)
    this.length -= count
  }

  reorder(rows: Tensor, sameSource = false): void {
    for (const { self, memory } of this.layers) {
      self.reorder(rows)
      if (!sameSource) memory.reorder(rows)
    }
    if (this.sourceMask && !sameSource) {
      const old = this.sourceMask
      this.sourceMask = indexSelect(old, rows, 0).keep()
      old.dispose()
    }
  }

  dispose(): void {
    for (const { self, memory } of this.layers) { self.dispose(); memory.dispose() }
    this.sourceMask?.dispose()
  }
}
