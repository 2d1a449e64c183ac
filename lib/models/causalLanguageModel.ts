import { checkpoint } from '../autograd/checkpoint.js'
import type { DecodingInputs, DecodingState, GenerativeModel } from '../nn/decoding.js'
import { KeyValueCache } from '../nn/keyValueCache.js'
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

  /** @param promptMask 1 where a prompt has a token, `[B, P]`; padding is on the left */
  constructor(layers: number, promptMask?: Tensor) {
    this.caches = Array.from({ length: layers }, () => new KeyValueCache())
    this.prompt = promptMask && new PromptMask(promptMask)
  }

  /** Goes on by `count` columns. */
  next(count: number): DecoderStep {
    const { positions = this.length, keyPadding } = this.prompt?.next(count) ?? {}
    this.length += count
    return { start: positions, end: this.length, keyPadding, caches: this.caches }
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

  prepare({ attentionMask }: DecodingInputs = {}): DecodingState { return new DecoderState(this.layerCount, attentionMask) }

  decode(ids: Tensor, state: DecodingState): Tensor {
    return scope(() => cast(this.project(select(this.hidden(ids, (state as DecoderState).next(ids.shape[1]!)), 1, -1)), 'float32'))
  }

  /** x through all layers; with `activationCheckpointing` each is computed again in the backward pass. */
  protected through<L>(layers: readonly L[], x: Tensor, { caches }: DecoderStep, forward: (layer: L, x: Tensor, cache: KeyValueCache | undefined) => Tensor): Tensor {
    for (const [i, layer] of layers.entries())
      x = this.activationCheckpointing && x.requiresGrad && !caches ? checkpoint(y => forward(layer, y, undefined), x) : forward(layer, x, caches?.[i])
    return x
  }
}
