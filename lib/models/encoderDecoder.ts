import type { DecodingInputs, DecodingState, GenerativeModel } from '../nn/decoding.js'
import { type DecoderLayerCache, EncoderDecoderState } from '../nn/encoderDecoderState.js'
import { Module } from '../nn/module.js'
import type { Checkpointing } from '../nn/recompute.js'
import { eq, ne } from '../ops/compare.js'
import { concat } from '../ops/concat.js'
import { cast } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { add } from '../ops/add.js'
import { gather } from '../ops/gather.js'
import { sum } from '../ops/reduce.js'
import { select, slice } from '../ops/view.js'
import { where } from '../ops/where.js'
import { ConfigError } from '../errors.js'
import { full } from '../tensor/create.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { PretrainedConfig } from './configuration.js'
import { logitsOf, lossOfOutput, type OutputLayer } from './outputLayer.js'

/** What a decoder is given besides its ids, `[B, T]`. */
export interface TargetContext {
  /** Position of the first column; default 0. */
  start?: number
  /** Not 0 where there is a token, `[B, start + T]`; default: everywhere. */
  keyPadding?: Tensor | undefined
  /** Output of the encoder, `[B, S, C]`; not needed where `layers` hold its keys and values. */
  memory?: Tensor | undefined
  /** Not 0 where the source has a token, `[B, S]`. */
  memoryKeyPadding?: Tensor | undefined
  /** Caches of the layers, when tokens come a few at a time. */
  layers?: readonly Partial<DecoderLayerCache>[] | undefined
}

/** Masks of a source `[B, S]` and of a target `[B, T]`, not 0 where there is a token. */
export interface Seq2SeqMasks { sourceMask?: Tensor | undefined, targetMask?: Tensor | undefined }

/** How a text `[B, S]` is read by encoder and decoder. */
export interface ReadingOptions {
  /** Not 0 where the text has a token, `[B, S]`. */
  attentionMask?: Tensor | undefined
  /** What the decoder is given, `[B, T]`; default: the text, shifted right. */
  decoderInput?: Tensor | undefined
  /** Not 0 where `decoderInput` has a token, `[B, T]`. */
  decoderAttentionMask?: Tensor | undefined
}

/** The layers on the encoder's side. */
export interface SourceEncoder extends Module {
  activationCheckpointing: Checkpointing
  /** @param ids `[B, S]` @param keyPadding not 0 where there is a token, `[B, S]` @returns `[B, S, C]` */
  forward(ids: Tensor, keyPadding?: Tensor): Tensor
}

/** The layers on the decoder's side. */
export interface TargetDecoder extends Module {
  activationCheckpointing: Checkpointing
  /** @returns hidden states `[B, T, C]` of `ids` `[B, T]` */
  states(ids: Tensor, context: TargetContext): Tensor
  /** Keys and values of a memory `[B, S, C]` for each layer. */
  memories(memory: Tensor): { keys: Tensor, values: Tensor }[]
}

/** An encoder and a decoder that sees what the encoder made of the source; what models do alike, whatever their layers and head. */
export abstract class EncoderDecoder extends Module {
  abstract readonly config: PretrainedConfig
  abstract readonly encoder: SourceEncoder
  abstract readonly decoder: TargetDecoder
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  get activationCheckpointing(): Checkpointing { return this.encoder.activationCheckpointing }
  set activationCheckpointing(on: Checkpointing) { this.encoder.activationCheckpointing = this.decoder.activationCheckpointing = on }

  /** The decoder's input for labels `[B, T]`: the start token, then the labels without their last; -100 becomes padding. @throws ConfigError without those tokens */
  shiftRight(labels: Tensor): Tensor {
    const { decoder_start_token_id: start } = this.config
    if (typeof start !== 'number') throw new ConfigError(`${this.constructor.name}: decoder_start_token_id is ${JSON.stringify(start)}, expected the token that targets begin with`)
    return scope(() => shifted(withoutIgnored(labels, this.paddingId()), full([labels.shape[0]!, 1], start, { dtype: 'int32', device: labels.device })))
  }

  /** @param source ids `[B, S]` @param sourceMask not 0 where there is a token, `[B, S]` @returns memory `[B, S, C]` */
  encode(source: Tensor, sourceMask?: Tensor): Tensor { return this.encoder.forward(source, sourceMask) }

  /** Hidden states `[B, T, C]` of `target` `[B, T]` given `source` `[B, S]`. */
  protected states(source: Tensor, target: Tensor, { sourceMask, targetMask }: Seq2SeqMasks = {}): Tensor {
    return this.decoder.states(target, { memory: this.encode(source, sourceMask), memoryKeyPadding: sourceMask, keyPadding: targetMask })
  }

  /** Hidden states of the decoder, `[B, T, C]`, for a text `[B, S]`. */
  protected read(ids: Tensor, { attentionMask, decoderInput, decoderAttentionMask }: ReadingOptions): Tensor {
    return this.states(ids, decoderInput ?? this.shiftRight(ids), { sourceMask: attentionMask, targetMask: decoderAttentionMask })
  }

  protected paddingId(): number {
    const { pad_token_id: pad } = this.config
    if (typeof pad !== 'number') throw new ConfigError(`${this.constructor.name}: pad_token_id is ${JSON.stringify(pad)}, expected the token that fills up targets`)
    return pad
  }
}

/** Labels with padding where they do not count, as int32. */
const withoutIgnored = (labels: Tensor, pad: number): Tensor => {
  const ids = cast(labels, 'int32')
  return where(eq(ids, -100), pad, ids)
}

const shifted = (ids: Tensor, first: Tensor): Tensor => concat([first, slice(ids, 1, 0, ids.shape[1]! - 1)], 1)

/** As mBART shifts: what comes first is the last token of each row that is no padding, its language. */
export function shiftedAround(labels: Tensor, pad: number): Tensor {
  return scope(() => {
    const ids = withoutIgnored(labels, pad), last = add(cast(sum(ne(ids, pad), 1, { keepDim: true }), 'int32'), -1)
    return shifted(ids, gather(ids, last, 1))
  })
}

/** What such a model is trained on. */
export interface LabelledTargets extends Seq2SeqMasks {
  /** `[B, S]` */
  source: Tensor
  /** `[B, T]`; default: the labels, shifted right. */
  decoderInput?: Tensor | undefined
  /** `[B, T]`; -100 does not count. */
  labels: Tensor
}

/** An encoder-decoder that predicts the next token of the target: translation, summaries, answers. */
export abstract class Seq2SeqLanguageModel extends EncoderDecoder implements GenerativeModel {
  readonly isEncoderDecoder = true
  abstract readonly vocabSize: number
  abstract readonly maxPositions: number
  /** What makes logits; undefined where `project` does more than that. */
  protected get output(): OutputLayer | undefined { return undefined }
  /** Logits `[…, V]` of hidden states `[…, C]`. */
  protected project(x: Tensor): Tensor { return logitsOf(x, this.output!) }

  /** Logits `[B, T, V]` for the token after each of `target` `[B, T]`, given `source` `[B, S]`. */
  forward(source: Tensor, target: Tensor, masks: Seq2SeqMasks = {}): Tensor { return this.project(this.states(source, target, masks)) }

  /** Mean (or sum) cross-entropy of `labels` `[B, T]`, -100 not counted. Without `decoderInput` the labels are shifted right. */
  loss({ source, decoderInput, labels, ...masks }: LabelledTargets, { labelSmoothing = 0, reduction = 'mean' }: { labelSmoothing?: number, reduction?: 'mean' | 'sum' } = {}): Tensor {
    return scope(() => {
      const x = this.states(source, decoderInput ?? this.shiftRight(labels), masks), { output } = this, options = { labelSmoothing, reduction }
      return (output && lossOfOutput(x, labels, output, options)) ?? crossEntropy(this.project(x), labels, options)
    })
  }

  prepare({ source, attentionMask, cache }: DecodingInputs): EncoderDecoderState {
    if (!source) throw new ConfigError(`${this.constructor.name}: generation needs source ids`)
    return scope(() => EncoderDecoderState.of(this.decoder.memories(this.encode(source, attentionMask)), attentionMask, cache))
  }

  decode(ids: Tensor, state: DecodingState): Tensor { return scope(() => cast(this.project(select(this.advance(ids, state as EncoderDecoderState), 1, -1)), 'float32')) }

  decodeAll(ids: Tensor, state: DecodingState): Tensor { return scope(() => cast(this.project(this.advance(ids, state as EncoderDecoderState)), 'float32')) }

  private advance(ids: Tensor, state: EncoderDecoderState): Tensor {
    const start = state.length
    state.length += ids.shape[1]!
    return this.decoder.states(ids, { start, memoryKeyPadding: state.sourceMask, layers: state.layers })
  }
}
