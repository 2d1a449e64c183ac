import { ConfigError, ShapeError } from '../errors.js'
import type { DecodingState } from '../nn/decoding.js'
import { type CacheOptions, KeyValueCache } from '../nn/keyValueCache.js'
import { Module } from '../nn/module.js'
import { PromptMask } from '../nn/promptMask.js'
import { type Checkpointing, throughLayer } from '../nn/recompute.js'
import { sub } from '../ops/add.js'
import { ge } from '../ops/compare.js'
import { cast, contiguous } from '../ops/copy.js'
import { indexSelect } from '../ops/indexSelect.js'
import { sum } from '../ops/reduce.js'
import { reshape, slice } from '../ops/view.js'
import { arange } from '../tensor/create.js'
import { noGrad, scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { PretrainedConfig } from './configuration.js'

/** Where the tokens of a pass through a decoder stand. */
export interface DecoderStep {
  /** Position of the first column, or those of all, `[B, T]` int32. */
  start: number | Tensor
  /** Length of the sequence so far; no position is as great. */
  end: number
  /** 1 where there is a token, `[B, end]`. */
  keyPadding?: Tensor | undefined
  /** Where the texts of a packed row begin, and where the last ends, `[N + 1]` int32. */
  offsets?: Tensor | undefined
  /** Of each layer, when tokens come a few at a time. */
  caches?: readonly KeyValueCache[]
}

/** What a decoder is given besides ids `[B, T]`. */
export interface DecoderInputs {
  /** 1 where there is a token, `[B, T]`: padding is seen by no position. */
  attentionMask?: Tensor | undefined
  /** Several texts in one row, `[1, T]`, one behind the other: where each begins, and where the last ends, `[N + 1]` int32. None sees another, and each has positions from 0 on. */
  documentOffsets?: Tensor | undefined
}

/** For each column of a packed row how far it is from the beginning of its text, `[1, T]` int32. */
function packedPositions(offsets: Tensor, T: number): Tensor {
  return noGrad(() => scope(() => {
    const columns = arange(T, { dtype: 'int32', device: offsets.device }), inner = reshape(slice(offsets, 0, 1, offsets.shape[0]! - 1), [-1, 1])
    const text = cast(sum(cast(ge(reshape(columns, [1, T]), inner), 'int32'), 0), 'int32')
    return reshape(sub(columns, indexSelect(offsets, text)), [1, T])
  }))
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

  /** As before the first column. */
  restart(): void {
    this.length = 0
    for (const cache of this.caches) cache.dispose()
    this.prompt?.restart()
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

/** The layers of a decoder, between the ids and a head: `GPT2Model`, `LlamaModel`. A model adds the head that its task needs. */
export abstract class Decoder extends Module {
  /** What of each layer is computed again in the backward pass instead of being kept. */
  activationCheckpointing: Checkpointing = false

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
   * @throws ConfigError, ShapeError for packed texts where there is no place for them
   */
  forward(ids: Tensor, { attentionMask, documentOffsets }: DecoderInputs = {}): Tensor {
    return this.hidden(ids, this.whole(ids, { attentionMask, documentOffsets }))
  }

  /** Whether several texts may lie in one row: not where positions follow from the length of a text, or are distances (ALiBi). */
  protected get packs(): boolean { return false }

  /** The step of a whole pass. */
  protected whole(ids: Tensor, { attentionMask, documentOffsets: offsets }: DecoderInputs): DecoderStep {
    const end = ids.shape[1]!
    if (!offsets) return { start: 0, end, keyPadding: attentionMask }
    if (!this.packs) throw new ConfigError(`${this.constructor.name}: documentOffsets are not supported where positions follow from the length of the text or are distances. Give a row for each text`)
    if (ids.shape[0] !== 1 || attentionMask || offsets.rank !== 1 || offsets.dtype !== 'int32')
      throw new ShapeError(`${this.constructor.name}: documentOffsets are [${offsets.shape.join(', ')}] ${offsets.dtype}, for ids [${ids.shape.join(', ')}]${attentionMask ? ' with a mask' : ''}; expected [N + 1] int32 for N texts in one row, [1, T], without a mask`)
    return { start: packedPositions(offsets, end), end, offsets }
  }

  /** How many positions the queries of a layer see; 0: all. Caches of layers with a window hold little more than that. */
  windowOf(_layer: number): number { return 0 }

  /** Begins a sequence whose tokens come a few at a time. @param promptMask 1 where a prompt has a token, `[B, P]`; padding is on the left */
  begin(promptMask?: Tensor, cache?: CacheOptions): DecoderState {
    return new DecoderState(Array.from({ length: this.layerCount }, (_, layer) => this.windowOf(layer)), promptMask, cache)
  }

  /** Hidden states of the next tokens of a sequence, whose earlier ones are in the caches of `state`. */
  advance(ids: Tensor, state: DecoderState): Tensor { return this.hidden(ids, state.next(ids.shape[1]!)) }

  /**
   * x through all layers; with `activationCheckpointing` each, or its attention, is computed again in the backward pass. What a layer is given then outlives this pass:
   * `forward` gets the bias and the positions from here.
   * @param bias of the attention scores in every layer
   */
  protected through<L>(layers: readonly L[], x: Tensor, { caches, start: given }: DecoderStep,
    forward: (layer: L, x: Tensor, cache: KeyValueCache | undefined, bias: Tensor | undefined, start: number | Tensor) => Tensor, bias?: Tensor): Tensor {
    const start = typeof given === 'number' ? given : contiguous(given), kept = [bias, start].filter(t => t instanceof Tensor)
    for (const [i, layer] of layers.entries())
      x = throughLayer(caches ? 'none' : this.activationCheckpointing,
        (y, ...tensors) => forward(layer, y!, caches?.[i], bias && tensors[0], typeof start === 'number' ? start : tensors.at(-1)!), x, ...kept)
    return x
  }
}
