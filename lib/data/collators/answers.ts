import { ConfigError, DataError } from '../../errors.js'
import type { Encoding } from '../../text/encoding.js'
import type { ExampleEncoder } from './causal.js'
import { type Collator, maskOf, padded, present } from './collation.js'

/** A question, a text, and where in it the answer stands; none: it is not in the text. */
export interface AnsweredQuestion { readonly question: string, readonly context: string, readonly answer?: { readonly text: string, readonly start: number } | undefined }

/** A question with one window of the text. */
export interface AnswerWindow extends Pick<Encoding, 'ids' | 'typeIds'> {
  /** Where each token stands in the text; undefined for those of the question and special ones. */
  readonly offsets: readonly (readonly [number, number] | undefined)[]
  /** First and last token of the answer; 0 and 0, the first token of all, where the window does not hold it. */
  readonly start: number
  readonly end: number
}

/**
 * Windows over a text that is too long for one pass, each behind the question.
 * @param maxLength tokens of a window, all included @param stride tokens that a window has in common with the next
 * @throws DataError if the answer is not where it is said to be, or the question leaves no room   @throws ConfigError for sizes out of range
 */
export function answerWindows(tokenizer: ExampleEncoder, { question, context, answer }: AnsweredQuestion, { maxLength = 384, stride = 128 } = {}): AnswerWindow[] {
  if (answer && context.slice(answer.start, answer.start + answer.text.length) !== answer.text)
    throw new DataError(`the answer '${answer.text}' is said to stand at ${answer.start}, but there stands '${context.slice(answer.start, answer.start + answer.text.length)}'`)
  const { ids, typeIds, offsets, specialTokensMask } = tokenizer.encode(question, { pair: context })
  const [begin, end] = secondText(specialTokensMask), room = maxLength - (ids.length - (end - begin))
  if (!(stride >= 0)) throw new ConfigError(`answers: stride is ${stride}, expected a number from 0`)
  if (room <= stride) throw new DataError(`the question takes ${maxLength - room} of ${maxLength} tokens, which leaves ${Math.max(room, 0)} for the text: not more than the stride of ${stride}`)
  const windows: AnswerWindow[] = []
  for (let from = begin; windows.length === 0 || from + stride < end; from += room - stride) {
    const to = Math.min(from + room, end), of = <T>(list: readonly T[]): T[] => [...list.slice(0, begin), ...list.slice(from, to), ...list.slice(end)]
    const places = of(offsets.map((span, i) => i >= begin && i < end ? span : undefined))
    windows.push({ ids: of(ids), typeIds: of(typeIds), offsets: places, ...positions(places, answer) })
  }
  return windows
}

/** Where the tokens of the second text stand: behind the last special tokens that follow the first. */
function secondText(special: readonly number[]): [number, number] {
  let end = special.length
  while (end > 0 && special[end - 1] === 1) end--
  let begin = end
  while (begin > 0 && special[begin - 1] === 0) begin--
  if (begin === 0) throw new DataError('answers: the tokenizer puts nothing between question and text. Give one with a template for pairs')
  return [begin, end]
}

function positions(offsets: AnswerWindow['offsets'], answer: AnsweredQuestion['answer']): { start: number, end: number } {
  if (!answer || answer.text === '') return { start: 0, end: 0 }
  const last = answer.start + answer.text.length
  const start = offsets.findIndex(span => span && span[0] <= answer.start && span[1] > answer.start), end = offsets.findIndex(span => span && span[0] < last && span[1] >= last)
  return start < 0 || end < 0 ? { start: 0, end: 0 } : { start, end }
}

/** Batches `{ ids, startPositions, endPositions, attentionMask, tokenTypeIds }`. */
export function answerCollator({ padId, useTypes = true }: { padId: number, useTypes?: boolean }): Collator<AnswerWindow> {
  return windows => {
    const rows = windows.map(({ ids }) => ids), ids = padded(rows, padId), column = (of: (window: AnswerWindow) => number) => ({ data: Int32Array.from(windows, of), shape: [windows.length] })
    return {
      inputs: present({
        ids, startPositions: column(w => w.start), endPositions: column(w => w.end), attentionMask: maskOf(rows, ids.shape[1]!),
        tokenTypeIds: useTypes ? padded(windows.map(({ typeIds }) => typeIds), 0) : undefined,
      }),
      tokens: windows.length,
    }
  }
}
