import { ConfigError } from '../../errors.js'
import { isCount, perRow, requireOption, tokensOf, type LogitsProcessor } from './logitsProcessor.js'

/** Against saying the same again. All equal transformers 5.23, the presence and frequency penalties OpenAI's definition. */

/** Divides positive and multiplies negative logits of tokens that the row has already, the prompt included (Keskar et al. 2019, CTRL). */
export function repetitionPenalty(penalty: number): LogitsProcessor {
  requireOption(penalty > 0 && Number.isFinite(penalty), 'repetitionPenalty', 'a number > 0', penalty)
  return perRow((logits, previous) => penalise(logits, previous, penalty))
}

/** The reverse towards the encoder's input: above 1 its tokens become likelier. */
export function encoderRepetitionPenalty(penalty: number): LogitsProcessor {
  requireOption(penalty > 0 && Number.isFinite(penalty), 'encoderRepetitionPenalty', 'a number > 0', penalty)
  return perRow((logits, _, { source }) => penalise(logits, sourceOf(source, 'encoderRepetitionPenalty'), 1 / penalty))
}

/** Subtracts `presence` once from each token that the row has generated, and `frequency` for each time; the prompt does not count. */
export function presenceAndFrequencyPenalty(presence: number, frequency: number): LogitsProcessor {
  requireOption(Number.isFinite(presence), 'presencePenalty', 'a finite number', presence)
  requireOption(Number.isFinite(frequency), 'frequencyPenalty', 'a finite number', frequency)
  return perRow((logits, previous, { promptLength }) => {
    const times = new Map<number, number>()
    for (let i = promptLength; i < previous.length; i++) times.set(previous[i]!, (times.get(previous[i]!) ?? 0) + 1)
    for (const [token, count] of times) if (token >= 0 && token < logits.length) logits[token] = logits[token]! - presence - frequency * count
  })
}

/** Excludes every token that would complete an n-gram that the row has already (Paulus et al. 2017). */
export function noRepeatNgram(size: number): LogitsProcessor {
  requireOption(isCount(size) && size > 0, 'noRepeatNgramSize', 'a whole number > 0', size)
  return perRow((logits, previous) => excludeCompletions(logits, previous, previous, size))
}

/** Excludes every token that would complete an n-gram of the encoder's input. */
export function encoderNoRepeatNgram(size: number): LogitsProcessor {
  requireOption(isCount(size) && size > 0, 'encoderNoRepeatNgramSize', 'a whole number > 0', size)
  return perRow((logits, previous, { source }) => excludeCompletions(logits, previous, sourceOf(source, 'encoderNoRepeatNgramSize'), size))
}

/** Diverse beam search (Vijayakumar et al. 2016): subtracts `penalty` for each time that an earlier group chose the token in this step. */
export function hammingDiversity(penalty: number): LogitsProcessor {
  requireOption(penalty > 0 && Number.isFinite(penalty), 'diversityPenalty', 'a number > 0', penalty)
  return perRow((logits, _, { chosen }) => {
    for (let i = 0; i < chosen.length; i++) {
      const token = chosen[i]!
      if (token >= 0 && token < logits.length) logits[token] = logits[token]! - penalty
    }
  })
}

function penalise(logits: Float32Array, ids: ArrayLike<number>, penalty: number): void {
  for (const token of tokensOf(ids, logits.length)) {
    const logit = logits[token]!
    logits[token] = logit < 0 ? logit * penalty : logit / penalty
  }
}

function excludeCompletions(logits: Float32Array, previous: ArrayLike<number>, text: ArrayLike<number>, size: number): void {
  const from = previous.length - (size - 1)
  if (from < 0) return
  for (let at = 0; at + size <= text.length; at++) {
    let same = 0
    while (same < size - 1 && text[at + same] === previous[from + same]) same++
    const token = text[at + size - 1]!
    if (same === size - 1 && token >= 0 && token < logits.length) logits[token] = -Infinity
  }
}

function sourceOf(source: ArrayLike<number> | undefined, option: string): ArrayLike<number> {
  if (source === undefined) throw new ConfigError(`${option} is for models with an encoder; this one has none. Leave it out.`)
  return source
}
