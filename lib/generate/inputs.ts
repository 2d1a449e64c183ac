import { ConfigError, IndexError, ShapeError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import { Tensor } from '../tensor/tensor.js'
import { isToken, tokenList } from './processors/logitsProcessor.js'

/** Token ids of one or several texts: a tensor `[B, T]` or `[T]`, or lists, which may differ in length. */
export type TokenRows = Tensor | readonly number[] | readonly ArrayLike<number>[]

/** What is generated from. */
export interface GenerationInputs {
  /** Encoder-decoder models: the source. Decoder-only models: the prompt, which the new tokens follow. */
  inputIds: TokenRows
  /** 1 where `inputIds` has a token, 0 for padding (on the left of prompts). Lists that differ in length need none. */
  attentionMask?: TokenRows | undefined
  /** Encoder-decoder models: what the decoder's text begins with. Where none of the rows begins with the start token, it is put before them, as transformers does. */
  decoderInputIds?: TokenRows | undefined
  /** With `guidanceScale`: what the new tokens are led away from, a text for each prompt. Default: the last token of the prompt. */
  negativePromptIds?: TokenRows | undefined
  /** 1 where `negativePromptIds` has a token, 0 for padding on its left. Lists that differ in length need none. */
  negativePromptAttentionMask?: TokenRows | undefined
}

/** A batch of token rows, filled up to one width. */
export interface PaddedRows {
  /** `[B * width]` */
  readonly ids: Int32Array
  readonly width: number
  /** `[B * width]`, 1 where there is a token; undefined where all are. */
  readonly mask: Int32Array | undefined
}

/** The inputs of one generation, on the host. */
export interface GenerationPrompt extends PaddedRows {
  /** What each text begins with, as the logits processors see it: padding that the caller gave counts, padding of lists does not. */
  readonly texts: readonly number[][]
  /** What guidance leads away from. */
  readonly negative?: PaddedRows
  readonly source: (PaddedRows & { /** As the logits processors see them, like those of prompts. */ readonly texts: readonly number[][] }) | undefined
}

interface SpecialTokens { padTokenId?: number | undefined, decoderStartTokenId?: number | readonly number[] | undefined, bosTokenId?: number | undefined }

/**
 * Reads and checks the inputs.
 * @throws ShapeError if masks or batches do not fit   @throws IndexError for ids that the vocabulary lacks   @throws ConfigError for what is missing
 */
export async function readInputs(model: GenerativeModel, inputs: GenerationInputs, options: SpecialTokens): Promise<GenerationPrompt> {
  const pad = options.padTokenId ?? 0
  const given = await rowsOf(inputs.inputIds, 'inputIds')
  const mask = inputs.attentionMask && await rowsOf(inputs.attentionMask, 'attentionMask')
  if (mask && (mask.length !== given.length || mask.some((row, i) => row.length !== given[i]!.length))) {
    throw new ShapeError(`attentionMask is ${describe(mask)}, expected the shape of inputIds, which is ${describe(given)}`)
  }
  requireTokens(given, model.sourceVocabSize ?? model.vocabSize, 'inputIds')
  if (!model.isEncoderDecoder) {
    if (inputs.decoderInputIds !== undefined) {
      throw new ConfigError('decoderInputIds is for models with an encoder; put the beginning of the text into inputIds.')
    }
    return { ...padded(given, pad, 'left', mask), texts: given, source: undefined, ...await negativeOf(model, inputs, given.length, pad) }
  }
  if (inputs.negativePromptIds !== undefined) throw new ConfigError('negativePromptIds is for models without an encoder.')
  const { decoderInputIds } = inputs
  const starts = startTokens(options, given.length)
  if (!starts && decoderInputIds === undefined)
    throw new ConfigError('decoderStartTokenId is needed: the token that the decoder begins with (often bos, pad or eos).')
  let begin = decoderInputIds === undefined ? starts!.map(token => [token]) : await rowsOf(decoderInputIds, 'decoderInputIds')
  if (begin.length !== given.length) throw new ShapeError(`decoderInputIds has ${begin.length} rows, expected ${given.length}, those of inputIds`)
  requireTokens(begin, model.vocabSize, 'decoderInputIds')
  if (starts && decoderInputIds !== undefined && begin.every((row, i) => row[0] !== starts[i])) begin = begin.map((row, i) => [starts[i]!, ...row])
  if (begin.some(row => row.length !== begin[0]!.length)) {
    throw new ShapeError(`decoderInputIds is ${describe(begin)}: the beginnings of a batch have to be of one length. `
      + 'Generate those of each length by themselves.')
  }
  return { ...padded(begin, pad, 'left'), texts: begin, source: { ...padded(given, pad, 'right', mask), texts: given } }
}

async function negativeOf(
  { vocabSize }: GenerativeModel, { negativePromptIds, negativePromptAttentionMask }: GenerationInputs, rows: number, pad: number,
): Promise<{ negative?: PaddedRows }> {
  if (negativePromptIds === undefined) return {}
  const given = await rowsOf(negativePromptIds, 'negativePromptIds')
  const mask = negativePromptAttentionMask && await rowsOf(negativePromptAttentionMask, 'negativePromptAttentionMask')
  if (given.length !== rows) throw new ShapeError(`negativePromptIds has ${given.length} rows, expected ${rows}: one for each prompt`)
  if (mask && (mask.length !== given.length || mask.some((row, i) => row.length !== given[i]!.length)))
    throw new ShapeError(`negativePromptAttentionMask is ${describe(mask)}, expected the shape of negativePromptIds, which is ${describe(given)}`)
  requireTokens(given, vocabSize, 'negativePromptIds')
  return { negative: padded(given, pad, 'left', mask) }
}

function startTokens({ decoderStartTokenId, bosTokenId }: SpecialTokens, rows: number): number[] | undefined {
  const start = decoderStartTokenId ?? bosTokenId
  if (start === undefined) return undefined
  const tokens = typeof start === 'number' ? new Array<number>(rows).fill(start) : [...tokenList(start, 'decoderStartTokenId')]
  if (tokens.length !== rows) throw new ShapeError(`decoderStartTokenId has ${tokens.length} tokens, expected one, or ${rows}: one for each sentence`)
  return tokens
}

async function rowsOf(rows: TokenRows, name: string): Promise<number[][]> {
  if (rows instanceof Tensor) {
    if (rows.rank !== 1 && rows.rank !== 2) throw new ShapeError(`${name} is [${rows.shape.join(', ')}], expected [B, T]`)
    const values = Array.from(await rows.data(), Number), T = rows.shape.at(-1)!
    return Array.from({ length: rows.rank === 1 ? 1 : rows.shape[0]! }, (_, b) => values.slice(b * T, (b + 1) * T))
  }
  if (!Array.isArray(rows)) throw new ConfigError(`${name} is ${typeof rows}, expected a tensor [B, T], or lists of token ids`)
  const lists = rows as readonly (number | ArrayLike<number>)[]
  return typeof lists[0] === 'number' ? [[...lists as readonly number[]]] : lists.map(row => Array.from(row as ArrayLike<number>))
}

function requireTokens(rows: readonly number[][], vocabulary: number, name: string): void {
  if (rows.length === 0) throw new ShapeError(`${name} has no rows: there is nothing to generate from`)
  for (const [i, row] of rows.entries()) {
    if (row.length === 0) throw new ShapeError(`${name}: row ${i} is empty. A text begins with a token at least, such as bos or eos.`)
    for (const id of row) {
      if (isToken(id) && id < vocabulary) continue
      throw new IndexError(`${name}: ${id} in row ${i} is not a token of the model, expected 0 to ${vocabulary - 1}. Is it the model's tokenizer?`)
    }
  }
}

function padded(rows: readonly number[][], pad: number, side: 'left' | 'right', given?: readonly number[][]): PaddedRows {
  const width = Math.max(...rows.map(row => row.length))
  const ids = new Int32Array(rows.length * width).fill(pad), mask = new Int32Array(rows.length * width)
  for (const [i, row] of rows.entries()) {
    const at = i * width + (side === 'left' ? width - row.length : 0)
    ids.set(row, at)
    mask.set(given ? given[i]!.map(value => value === 0 ? 0 : 1) : row.map(() => 1), at)
  }
  return { ids, width, mask: mask.includes(0) ? mask : undefined }
}

const describe = (rows: readonly number[][]): string => `[${rows.length}, ${[...new Set(rows.map(row => row.length))].join(' or ')}]`
