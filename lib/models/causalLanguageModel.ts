import { checkpoint } from '../autograd/checkpoint.js'
import type { DecodingInputs, DecodingState, GenerativeModel } from '../nn/decoding.js'
import { type CacheOptions, KeyValueCache } from '../nn/keyValueCache.js'
import { Module } from '../nn/module.js'
import { PromptMask } from '../nn/promptMask.js'
import { cast } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { select } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'

/** Where the tokens of a pass through a decoder stand. */
export interface DecoderStep {
  /** Position of the first column, or those of all, `[B, T]` int32. */
  start: number | Tensor
  /** Length of the sequence so far; no position is as great. */
  end: number
  /** 1 where there is a token, `[B, end]`. */
  keyPadding?: Tensor | undefined
  /** Of each layer, when tokens come a few at a time. */
  caches?: readonly KeyValueCache[]
}

/** Caches of a decoder's layers, and which columns of the prompts hold tokens. */
export class DecoderState implements DecodingState {
  length = 0
  readonly caches: readonly KeyValueCache[]
  readonly prompt: PromptMask | undefined

  /**
   * @param windows of each layer: how many positions its queries see; 0: all
   * @param promptMask 1 where a prompt has a token, `[B, P]`; padding is on the left
   */
  constructor(windows: readonly number[], promptMask?: Tensor, readonly cache: CacheOptions = {}) {
    this.caches = windows.map(window => new KeyValueCache({ ...cache, window }))
    this.prompt = promptMask && new PromptMask(promptMask)
  }

  get bytes(): number { return this.caches.reduce((sum, { bytes }) => sum + bytes, 0) }
  get forgettable(): number { return Math.min(this.length, ...this.caches.map(({ forgettable }) => forgettable)) }

  /** Goes on by `count` columns. */
  next(count: number): DecoderStep {
    const { positions = this.length, keyPadding } = this.prompt?.next(count) ?? {}
    this.length += count
    return { start: positions, end: this.length, keyPadding, caches: this.caches }
  }

  forget(count: number): void {
    for (const cache of this.caches) cache.forget(count)
    this.prompt?.forget(count)
    this.length -= count
  }

  trim(columns: number): void {
    // What a window holds is the newest part of the sequence, from which nothing is to be dropped before the rest.
    for (const cache of this.caches) cache.trim(Math.max(0, columns - (this.length - cache.length)))
    this.prompt?.trim(columns)
    this.length -= columns
  }

  join(other: DecoderState): void {
    for (const [i, cache] of this.caches.entries()) cache.join(other.caches[i]!)
    if (this.prompt && other.prompt) this.prompt.join(other.prompt)
    this.length = Math.max(this.length, other.length)
  }

  reorder(rows: Tensor): void {
    for (const cache of this.caches) cache.reorder(rows)
    this.prompt?.reorder(rows)
  }

  dispose(): void {
    for (const cache of this.caches) cache.dispose()
    this.prompt?.dispose()
  }
}

/** A decoder that predicts the next token: what all of them do alike, around the two functions that a model writes. */
export abstract class CausalLanguageModel extends Module implements GenerativeModel {
  readonly isEncoderDecoder = false
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  activationCheckpointing = false

  abstract readonly vocabSize: number
  abstract readonly maxPositions: number
  protected abstract readonly layerCount: number
  /** Output of the last norm, `[B, T, C]`, for ids `[B, T]`. */
  protected abstract hidden(ids: Tensor, step: DecoderStep): Tensor
  /** Logits `[…, V]` of hidden states `[…, C]`. */
  protected abstract project(x: Tensor): Tensor

  /**
   * Logits `[B, T, V]` for the token after each of `ids` `[B, T]`, which stand at the positions 0 to T - 1.
   * @param attentionMask 1 where there is a token, `[B, T]`: padding is seen by no position
   */
  forward(ids: Tensor, { attentionMask }: { attentionMask?: Tensor | undefined } = {}): Tensor {
    return this.project(this.hidden(ids, { start: 0, end: ids.shape[1]!, keyPadding: attentionMask }))
  }

  /** Mean (or sum) cross-entropy of `labels` `[B, T]`, -100 not counted. Labels are the next tokens themselves: they are not shifted here. */
  loss({ ids, labels, attentionMask }: { ids: Tensor, labels: Tensor, attentionMask?: Tensor | undefined },
    { reduction = 'mean', labelSmoothing = 0 }: { reduction?: 'mean' | 'sum', labelSmoothing?: number } = {}): Tensor {
    return scope(() => crossEntropy(this.forward(ids, { attentionMask }), labels, { reduction, labelSmoothing }))
  }

  /** How many positions the queries of a layer see; 0: all. Caches of layers with a window hold little more than that. */
  protected windowOf(_layer: number): number { return 0 }

  prepare({ attentionMask, cache }: DecodingInputs = {}): DecodingState {
    return new DecoderState(Array.from({ length: this.layerCount }, (_, layer) => this.windowOf(layer)), attentionMask, cache)
  }

  decode(ids: Tensor, state: DecodingState): Tensor {
    return scope(() => cast(this.project(select(this.hidden(ids, (state as DecoderState).next(ids.shape[1]!)), 1, -1)), 'float32'))
  }

  decodeAll(ids: Tensor, state: DecodingState): Tensor {
    return scope(() => cast(this.project(this.hidden(ids, (state as DecoderState).next(ids.shape[1]!))), 'float32'))
  }

  /** x through all layers; with `activationCheckpointing` each is computed again in the backward pass. */
  protected through<L>(layers: readonly L[], x: Tensor, { caches }: DecoderStep, forward: (layer: L, x: Tensor, cache: KeyValueCache | undefined) => Tensor): Tensor {
    for (const [i, layer] of layers.entries())
      x = this.activationCheckpointing && x.requiresGrad && !caches ? checkpoint(y => forward(layer, y, undefined), x) : forward(layer, x, caches?.[i])
    return x
  }
}
