import { describe, expect, test } from '@jest/globals'
import { joinedWindows, windowsOf } from '#lib/pipelines/windows.js'
import { Tokenizer } from '#lib/text/tokenizer.js'

describe('windows of a long text', () => {
  test('cover it, begin and end between words, fit, and overlap', async () => {
    const tokenizer = await Tokenizer.train('bytelevel', ['the quick brown fox jumps over the lazy dog'], { vocabSize: 270 })
    const text = 'the quick brown fox jumps over the lazy dog, '.repeat(6).trim()
    for (const room of [20, 33, 64]) {
      const windows = windowsOf(tokenizer, text, room, 8)
      expect(windows[0]!.start).toBe(0)
      expect(windows.at(-1)!.start + windows.at(-1)!.text.length).toBe(text.length)
      for (const [i, { text: part, start }] of windows.entries()) {
        expect(text.slice(start, start + part.length)).toBe(part)
        expect(tokenizer.encode(part, { addSpecialTokens: false }).ids.length).toBeLessThanOrEqual(room + 1)   // a space that leads may be a token of its own
        if (i > 0) {
          expect(start).toBeLessThan(windows[i - 1]!.start + windows[i - 1]!.text.length)
          expect(start).toBeGreaterThan(windows[i - 1]!.start)
          expect(text.slice(start - 1, start + 1)).toMatch(/\s/)
        }
      }
    }
  })

  test('a text that fits is one; a stride that never goes on is refused', async () => {
    const tokenizer = await Tokenizer.train('char', ['abc'])
    expect(windowsOf(tokenizer, 'abc', 3)).toEqual([{ text: 'abc', start: 0 }])
    expect(() => windowsOf(tokenizer, 'abcabc', 3, 3)).toThrow(/stride is 3/)
    expect(() => windowsOf(tokenizer, 'abc', 0)).toThrow(/no positions left/)
    expect(windowsOf(tokenizer, 'abcabcabc', 3, 0).map(({ start }) => start)).toEqual([0, 3, 6])   // no spaces to go by
  })

  test('every item comes once, from the window in which it is farther from an edge', () => {
    const item = (at: number, name: string) => ({ start: at, end: at + 1, name })
    const windows = [{ start: 0, end: 10, items: [item(1, 'a'), item(6, 'b'), item(9, 'wrong')] }, { start: 6, end: 16, items: [item(6, 'wrong'), item(9, 'c'), item(15, 'd')] }]
    expect(joinedWindows(windows).map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd'])
  })
})
