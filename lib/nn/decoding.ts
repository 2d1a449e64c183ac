import type { Tensor } from '../tensor/tensor.js'
import type { CacheOptions } from './keyValueCache.js'

/** What a model keeps between the tokens of a generation: its key/value caches. Whoever asked for it disposes of it. */
export interface DecodingState {
  /** Positions fed so far, padding of prompts among them. */
  readonly length?: number
  /** The caches that it was asked for; undefined if it knows one kind only. */
  readonly cache?: CacheOptions | undefined
  /** Memory of the caches. */
  readonly bytes?: number
  /** How many of the newest positions can be taken back. */
  readonly forgettable?: number
  /** Takes back the newest positions of all rows. */
  forget?(count: number): void
  /** Drops the oldest columns, which are padding in all rows. */
  trim?(columns: number): void
  /** Takes the rows of another state of the same model behind its own; it is empty then. Both were given an attention mask. */
  join?(other: DecodingState): void
  /** Row i goes on from what row `rows[i]` was; their number may change. @param rows int32 `[R]` @param sameSource every row stays with the same source sentence */
  reorder(rows: Tensor, sameSource?: boolean): void
  dispose(): void
}

/** What a generation starts from. */
export interface DecodingInputs {
  /** Encoder-decoder models: source ids `[B, S]`, int32. */
  source?: Tensor
  /** 1 where the source, or the prompt of a decoder-only model, has a token, `[B, S]`; padding of prompts is on the left. */
  attentionMask?: Tensor
  /** Which caches to keep. Models that know one kind only pass it over, and their state says nothing of it. */
  cache?: CacheOptions
}

/** A model that predicts the next token. */
export interface GenerativeModel {
  readonly vocabSize: number
  readonly isEncoderDecoder: boolean
  /** Ids that a source may have, where they are not those of the target. */
  readonly sourceVocabSize?: number
  /** Positions it has learned at most, or Infinity. */
  readonly maxPositions: number
  /** Begins a generation; encodes the source, if there is one. */
  prepare(inputs: DecodingInputs): DecodingState
  /** Takes the next tokens of every row. @param ids `[R, T]` int32 @returns logits of the last position `[R, V]`, float32 */
  decode(ids: Tensor, state: DecodingState): Tensor
  /** As `decode`, with the logits of all `T` positions, `[R, T, V]`: what speculative decoding needs. */
  decodeAll?(ids: Tensor, state: DecodingState): Tensor
}
