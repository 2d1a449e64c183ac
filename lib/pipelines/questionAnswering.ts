import { ConfigError, DataError } from '../errors.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Encoding } from '../text/encoding.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { defaultBatchSize, eachText, longestInput, rowsOf, softmax, type TextModel } from './encoderInputs.js'
import { windowsOf, type Window } from './windows.js'

export interface QuestionAnsweringOptions {
  /** How many answers, the likeliest first. Default 1. */
  topK?: number
  /** Tokens that the parts of a long context share. Default half of what fits. */
  docStride?: number
  /** Most tokens of an answer. Default 15. */
  maxAnswerLength?: number
  /** Whether '' may be the answer, for models that were trained with questions that have none. Default false. */
  handleImpossibleAnswer?: boolean
  /** Most tokens of question and part of the context; at most what the model has positions for. Default 384. */
  maxSequenceLength?: number
  batchSize?: number
}

/** `context.slice(start, end)` is `answer`. */
export interface Answer { answer: string, score: number, start: number, end: number }

type QuestionModel = TextModel<{ startLogits: Tensor, endLogits: Tensor }>

/** Finds the answer to a question in a context of any length. @returns the likeliest answers; none where the context has no token */
export async function answerQuestion(
  model: QuestionModel, tokenizer: Tokenizer, question: string, context: string,
  { topK = 1, docStride, maxAnswerLength = 15, handleImpossibleAnswer = false, maxSequenceLength = 384, batchSize = defaultBatchSize }: QuestionAnsweringOptions = {},
): Promise<Answer[]> {
  for (const [name, text] of [['question', question], ['context', context]] as const)
    if (typeof text !== 'string' || text.trim() === '') throw new DataError(`question-answering: the ${name} is ${JSON.stringify(text) ?? 'missing'}, expected a text`)
  if (!Number.isInteger(maxAnswerLength) || maxAnswerLength < 1) throw new ConfigError(`maxAnswerLength is ${maxAnswerLength}, expected a whole number above 0`)
  const room = Math.min(maxSequenceLength, longestInput(model)) - tokenizer.encode(question, { pair: '' }).ids.length
  if (room < 1) throw new DataError('question-answering: the question alone fills the positions of the model. Shorten it')
  const windows = windowsOf(tokenizer, context, room, docStride ?? Math.floor(room / 2)), found: Answer[] = []
  let impossible = Infinity
  await eachText(model, tokenizer, windows.map(({ text }) => [question, text] as const), batchSize, async ({ startLogits, endLogits }, encodings, first) => {
    const [starts, ends] = [await rowsOf(startLogits), await rowsOf(endLogits)]
    encodings.forEach((encoding, row) => {
      const { answers, none } = answersIn(encoding, windows[first + row]!, starts[row]!, ends[row]!, maxAnswerLength)
      found.push(...answers.map(answer => ({ ...answer, answer: context.slice(answer.start, answer.end) })))
      impossible = Math.min(impossible, none)
    })
  }, { truncation: false })
  if (handleImpossibleAnswer) found.push({ answer: '', score: impossible, start: 0, end: 0 })
  // Parts overlap: an answer that stands in two counts with its better score.
  const best = new Map<string, Answer>()
  for (const answer of found) {
    const key = `${answer.start}-${answer.end}`, known = best.get(key)
    if (!known || known.score < answer.score) best.set(key, answer)
  }
  return [...best.values()].sort((a, b) => b.score - a.score).slice(0, topK)
}

/** Scores of all spans of a part: the product of the probabilities of first and last token, which the start token (no answer) shares. */
function answersIn(encoding: Encoding, window: Window, startLogits: Float64Array, endLogits: Float64Array, longest: number): { answers: Omit<Answer, 'answer'>[], none: number } {
  const { ids, typeIds, specialTokensMask, offsets, attentionMask } = encoding
  // The tokens of the second text: by their type, or where all have one type, behind the first run of special tokens that follows the question.
  const inQuestion = ids.findIndex((_, i) => i > 0 && specialTokensMask[i] === 1), hasTypes = typeIds.includes(1)
  const inContext = ids.map((_, i) => specialTokensMask[i] === 0 && attentionMask[i] === 1 && (hasTypes ? typeIds[i] === 1 : i > inQuestion))
  const masked = (logits: Float64Array): Float64Array => softmax(logits.map((value, i) => inContext[i] || i === 0 ? value : -10000))
  const starts = masked(startLogits), ends = masked(endLogits), answers: Omit<Answer, 'answer'>[] = []
  inContext.forEach((inside, i) => {
    if (!inside) return
    for (let k = i; k < Math.min(ids.length, i + longest) && inContext[k]; k++)
      answers.push({ score: starts[i]! * ends[k]!, start: window.start + offsets[i]![0], end: window.start + offsets[k]![1] })
  })
  return { answers: answers.sort((a, b) => b.score - a.score).slice(0, 20), none: starts[0]! * ends[0]! }
}
