import { DataError } from '../errors.js'
import { matches, wordNgrams } from './ngrams.js'
import { checkPairs, checkTexts } from './segments.js'
import { joinWords, splitWords } from './whitespace.js'

/** Percent, 0 to 100, as SQuAD reports them. */
export interface SquadScore { readonly exactMatch: number; readonly f1: number }

/**
 * Exact match and F1 of extractive question answering, each over the best of a question's answers, after lower-casing and without ASCII
 * punctuation and articles. An answer of no words is right where the prediction has none either (SQuAD 2.0's rule for questions without
 * an answer).
 * @param predictions one for each question
 * @param answers for each question all answers that are right; `['']` where it has none
 * @throws DataError if the lengths differ, there are no questions, or one has no list of answers
 * @see Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250; 2018, https://arxiv.org/abs/1806.03822
 */
export function squad(predictions: readonly string[], answers: readonly (readonly string[])[]): SquadScore {
  checkTexts('squad', 'predictions', predictions)
  checkPairs('squad', 'predictions', predictions, 'lists of answers', answers)
  let exact = 0, f1 = 0
  predictions.forEach((prediction, i) => {
    const own: unknown = answers[i]
    if (!Array.isArray(own)) throw new DataError(`squad: answers[${i}] is ${typeof own}, expected the list of answers to question ${i}`)
    checkTexts('squad', `answers[${i}]`, own as string[])
    exact += Math.max(...answers[i]!.map((answer) => normalizeAnswer(prediction) === normalizeAnswer(answer) ? 1 : 0))
    f1 += Math.max(...answers[i]!.map((answer) => answerF1(prediction, answer)))
  })
  return { exactMatch: 100 * exact / predictions.length, f1: 100 * f1 / predictions.length }
}

/** Lower case, without ASCII punctuation, articles and extra white space. */
export function normalizeAnswer(text: string): string {
  const words = text.toLowerCase().replace(/[!-/:-@[-`{-~]/g, '')
  // Word boundaries of Unicode: JavaScript's \b would take the a in `aé` for an article.
  return joinWords(words.replace(/(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu, ' '))
}

function answerF1(prediction: string, answer: string): number {
  const predicted = splitWords(normalizeAnswer(prediction)), wanted = splitWords(normalizeAnswer(answer))
  if (predicted.length === 0 || wanted.length === 0) return predicted.length === wanted.length ? 1 : 0
  return 2 * matches(wordNgrams(predicted, 1), wordNgrams(wanted, 1)) / (predicted.length + wanted.length)
}
