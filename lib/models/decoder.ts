import { checkpoint } from '../autograd/checkpoint.js'
import type { DecodingState } from '../nn/decoding.js'
import { KeyValueCache } from '../nn/keyValueCache.js'
import { Module } from '../nn/module.js'
import { PromptMask } from '../nn/promptMask.js'
import type { Tensor } from '../tensor/tensor.js'
import type { PretrainedConfig } from './configuration.js'

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

/** The layers of a decoder, between the ids and a head: `GPT2Model`, `LlamaModel`. A model adds the head that its task needs. */
export abstract class Decoder extends Module {
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  activationCheckpointing = false

  abstract readonly config: PretrainedConfig
  abstract readonly vocabSize: number
  abstract readonly maxPositions: number
  abstract readonly layerCount: number
  /** C */
  abstract readonly width: number
  /** Output of the last norm, `[B, T, C]`, for ids `[B, T]`. */
  protected abstract hidden(ids: Tensor, step: DecoderStep): Tensor

  /**
   * Hidden states `[B, T, C]` of `ids` `[B, T]`, which stand at the positions 0 to T - 1.
   * @param attentionMask 1 where there is a token, `[B, T]`: padding is seen by no position
   */
  forward(ids: Tensor, { attentionMask }: { attentionMask?: Tensor | undefined } = {}): Tensor {
    return this.hidden(ids, { start: 0, end: ids.shape[1]!, keyPadding: attentionMask })
  }

  /** Hidden states of the next tokens of a sequence, whose earlier ones are in the caches of `state`. */
  advance(ids: Tensor, state: DecoderState): Tensor { return this.hidden(ids, state.next(ids.shape[1]!)) }

  /** x through all layers; with `activationCheckpointing` each is computed again in the backward pass. */
  protected through<L>(layers: readonly L[], x: Tensor, { caches }: DecoderStep, forward: (layer: L, x: Tensor, cache: KeyValueCache | undefined) => Tensor): Tensor {
    for (const [i, layer] of layers.entries())
      x = this.activationCheckpointing && x.requiresGrad && !caches ? checkpoint(y => forward(layer, y, undefined), x) : forward(layer, x, caches?.[i])
    return x
  }
}
