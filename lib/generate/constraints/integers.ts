import { character, choice, literal, noText, repetition, sequence, type Language } from './language.js'

/** Decimal whole numbers from `least` to `most` (safe integers, or infinite), without leading zeros. */
export function integersBetween(least: number, most: number): Language {
  if (least > most) return noText
  if (least < 0) {
    const negative = sequence(literal('-'), integersBetween(Math.max(1, most < 0 ? -most : 1), -least))
    return most < 0 ? negative : choice(negative, integersBetween(0, most))
  }
  const ranges: Language[] = []
  const digits = String(least).length
  for (let length = digits; ; length++) {
    const from = Math.max(least, length === 1 ? 0 : 10 ** (length - 1)), to = Math.min(most, 10 ** length - 1)
    if (from > to) break
    if (most === Infinity && length > digits) {
      ranges.push(sequence(digit(1, 9), repetition(digit(0, 9), length - 1)))
      break
    }
    ranges.push(ofOneLength(String(from), String(to)))
  }
  return choice(...ranges)
}

/** Numbers of as many digits as both ends have. */
function ofOneLength(from: string, to: string): Language {
  const [a, b] = [Number(from[0]), Number(to[0])]
  if (from.length === 1) return digit(a, b)
  const [low, high] = [from.slice(1), to.slice(1)], rest = from.length - 1
  if (a === b) return sequence(digit(a, a), ofOneLength(low, high))
  // The first digit may be that of an end, which the rest then has to respect, or one between them.
  const whole = Number(low) === 0, full = /^9*$/.test(high)
  const [first, last] = [whole ? a : a + 1, full ? b : b - 1]
  return choice(...whole ? [] : [sequence(digit(a, a), ofOneLength(low, '9'.repeat(rest)))],
    ...first <= last ? [sequence(digit(first, last), repetition(digit(0, 9), rest, rest))] : [],
    ...full ? [] : [sequence(digit(b, b), ofOneLength('0'.repeat(rest), high))])
}

const digit = (from: number, to: number): Language => character([[0x30 + from, 0x30 + to]])
