import type { DecodingInputs, DecodingState, GenerativeModel } from '../nn/decoding.js'
import { Module } from '../nn/module.js'
import type { Checkpointing } from '../nn/recompute.js'
import { cast } from '../ops/copy.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { select } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Decoder, DecoderInputs, DecoderState } from './decoder.js'
import { logitsOf, lossOfOutput, type OutputLayer } from './outputLayer.js'

/** A decoder that predicts the next token: what all of them do alike, around the layers and the output of a model. */
export abstract class CausalLanguageModel extends Module implements GenerativeModel {
  readonly isEncoderDecoder = false

  /** The layers. */
  abstract readonly decoder: Decoder
  /** What makes logits; undefined where `project` does more than that. */
  protected get output(): OutputLayer | undefined { return undefined }
  /** Logits `[…, V]` of hidden states `[…, C]`. */
  protected project(x: Tensor): Tensor { return logitsOf(x, this.output!) }

  get vocabSize(): number { return this.decoder.vocabSize }
  /** What it was built for, or Infinity. */
  get maxPositions(): number { return this.decoder.maxPositions }
  /** Recompute each layer in the backward pass instead of keeping its activations. */
  get activationCheckpointing(): Checkpointing { return this.decoder.activationCheckpointing }
  set activationCheckpointing(on: Checkpointing) { this.decoder.activationCheckpointing = on }

  /**
   * Logits `[B, T, V]` for the token after each of `ids` `[B, T]`, which stand at the positions 0 to T - 1.
   * @throws ConfigError, ShapeError for packed texts where there is no place for them
   */
  forward(ids: Tensor, options: DecoderInputs = {}): Tensor { return this.project(this.decoder.forward(ids, options)) }

  /** Mean (or sum) cross-entropy of `labels` `[B, T]`, -100 not counted. Labels are the next tokens themselves: they are not shifted here. */
  loss({ ids, labels, ...inputs }: DecoderInputs & { ids: Tensor, labels: Tensor },
    { reduction = 'mean', labelSmoothing = 0 }: { reduction?: 'mean' | 'sum', labelSmoothing?: number } = {}): Tensor {
    return scope(() => {
      const x = this.decoder.forward(ids, inputs), { output } = this, options = { reduction, labelSmoothing }
      return (output && lossOfOutput(x, labels, output, options)) ?? crossEntropy(this.project(x), labels, options)
    })
  }

  prepare({ attentionMask, cache }: DecodingInputs = {}): DecodingState { return this.decoder.begin(attentionMask, cache) }

  decode(ids: Tensor, state: DecodingState): Tensor {
    return scope(() => cast(this.project(select(this.decoder.advance(ids, state as DecoderState), 1, -1)), 'float32'))
  }

  decodeAll(ids: Tensor, state: DecodingState): Tensor { return scope(() => cast(this.project(this.decoder.advance(ids, state as DecoderState)), 'float32')) }
}
