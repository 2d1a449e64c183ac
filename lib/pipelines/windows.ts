import { ConfigError } from '../errors.js'
import type { Tokenizer } from '../text/tokenizer.js'

/** A part of a text: `text` begins at `start` of the whole. */
export interface Window { text: string, start: number }

/**
 * Parts of a text that have at most `room` tokens each and share `stride` with their neighbours; they begin and end between words where that is possible.
 * @param stride default a quarter of the room @throws ConfigError if the stride leaves no room to go on
 */
export function windowsOf(tokenizer: Tokenizer, text: string, room: number, stride = Math.floor(room / 4)): Window[] {
  if (room < 1) throw new ConfigError('the model has no positions left for the text. Shorten what stands before it')
  const { offsets } = tokenizer.encode(text, { addSpecialTokens: false })
  if (offsets.length <= room) return [{ text, start: 0 }]
  if (!Number.isInteger(stride) || stride < 0 || stride >= room) throw new ConfigError(`stride is ${stride}, expected a whole number from 0 below the ${room} tokens of a part`)
  const betweenWords = (i: number): boolean => i === 0 || i >= offsets.length || /\s/.test(text.slice(offsets[i - 1]![1] - 1, offsets[i]![0] + 1))
  /** The nearest token from `i` down to `least`, exclusive, that begins a word; else `i`. */
  const aligned = (i: number, least: number): number => {
    for (let k = i; k > least; k--) if (betweenWords(k)) return k
    return i
  }
  const windows: Window[] = []
  for (let from = 0; ;) {
    const whole = from + room >= offsets.length, to = whole ? offsets.length : aligned(from + room, from + stride)
    const start = from === 0 ? 0 : offsets[from]![0]
    windows.push({ text: text.slice(start, whole ? undefined : offsets[to - 1]![1]), start })
    if (whole) return windows
    from = Math.max(from + 1, aligned(to - stride, from))
  }
}

/** The items of overlapping windows, each taken from the window in which it stands farther from an edge. */
export function joinedWindows<T extends { start: number, end: number }>(windows: readonly { start: number, end: number, items: readonly T[] }[]): T[] {
  return windows.flatMap((window, w) => {
    const before = windows[w - 1], after = windows[w + 1]
    const from = before ? (window.start + before.end) / 2 : -Infinity, to = after ? (after.start + window.end) / 2 : Infinity
    return window.items.filter(item => { const middle = (item.start + item.end) / 2; return middle >= from && middle < to })
  })
}
