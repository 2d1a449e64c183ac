import { ConfigError } from '../errors.js'
import type { Encoding } from '../text/encoding.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { defaultBatchSize, eachText, labelOf, longestInput, rowsOf, softmax, type TextModel } from './encoderInputs.js'
import { joinedWindows, windowsOf } from './windows.js'

export interface TokenClassificationOptions {
  /**
   * 'none' (default): each token. 'simple': tokens of one entity become one. 'first', 'average', 'max': before that, the tokens of a word get one label, that of
   * the first token, of the mean of the scores, or of the surest token.
   */
  aggregationStrategy?: 'none' | 'simple' | 'first' | 'average' | 'max'
  /** Default ['O']. */
  ignoreLabels?: readonly string[]
  /** Tokens that the parts of a long text share. Default a quarter of what fits. */
  stride?: number
  batchSize?: number
}

/** An entity, or with 'none' a token: `text.slice(start, end)` is `word`. */
export interface Entity { entity: string, score: number, word: string, start: number, end: number, /** of the token; 'none' alone */ index?: number }

interface Piece { scores: Float64Array, start: number, end: number, index: number, isSubword: boolean }

const strategies = ['none', 'simple', 'first', 'average', 'max']

/** Finds names and other marked spans in texts of any length. @throws ConfigError for an unknown strategy */
export async function classifyTokens(
  model: TextModel, tokenizer: Tokenizer, texts: readonly string[],
  { aggregationStrategy = 'none', ignoreLabels = ['O'], stride, batchSize = defaultBatchSize }: TokenClassificationOptions = {},
): Promise<Entity[][]> {
  if (!strategies.includes(aggregationStrategy)) throw new ConfigError(`aggregationStrategy is ${JSON.stringify(aggregationStrategy)}, expected one of: ${strategies.join(', ')}`)
  const windows = texts.flatMap((text, i) => windowsOf(tokenizer, text, longestInput(model) - tokenizer.encode('').ids.length, stride).map(window => ({ ...window, of: i })))
  const pieces = windows.map((): Piece[] => []), continues = continuation(tokenizer)
  await eachText(model, tokenizer, windows.map(window => window.text), batchSize, async (output, encodings, first) => {
    const rows = await rowsOf(output), T = encodings[0]!.ids.length
    encodings.forEach((encoding, row) => { pieces[first + row] = piecesOf(encoding, windows[first + row]!, texts[windows[first + row]!.of]!, continues, i => softmax(rows[row * T + i]!)) })
  })
  return texts.map((text, i) => {
    const own = joinedWindows(windows.flatMap((window, w) => window.of === i ? [{ start: window.start, end: window.start + window.text.length, items: pieces[w]! }] : []))
    const units = aggregationStrategy === 'none' || aggregationStrategy === 'simple' ? own : wordsOf(own, aggregationStrategy)
    const labelled = units.map(unit => ({ ...unit, ...labelOfScores(unit.scores, model) }))
    const found = aggregationStrategy === 'none' ? labelled.map(unit => ({ entity: unit.label, score: unit.score, start: unit.start, end: unit.end, index: unit.index })) : grouped(labelled)
    return found.filter(({ entity }) => !ignoreLabels.includes(entity)).map(({ entity, score, start, end, ...rest }) => ({ entity, score, word: text.slice(start, end), start, end, ...rest }))
  })
}

/** Whether a token goes on with the word before it. */
type Continues = (token: string, id: number, text: string, start: number) => boolean

/** As transformers tells it: by the mark that pieces of words carry, where the tokenizer has one; else by the space that is missing before the token, which punctuation shares. */
function continuation(tokenizer: Tokenizer): Continues {
  const { type, continuing_subword_prefix: prefix = type === 'WordPiece' ? '##' : null } = (tokenizer.toJSON() as { model?: { type?: string, continuing_subword_prefix?: string | null } }).model ?? {}
  const { unkId } = tokenizer
  return (token, id, text, start) => id !== unkId && (prefix ? token.length > prefix.length && token.startsWith(prefix) : start > 0 && !text.slice(start - 1, start + 1).includes(' '))
}

function piecesOf(encoding: Encoding, window: { start: number }, text: string, continues: Continues, scoresOf: (i: number) => Float64Array): Piece[] {
  return encoding.ids.flatMap((id, i) => {
    if (encoding.specialTokensMask[i] === 1) return []
    const [from, to] = encoding.offsets[i]!, start = window.start + from, end = window.start + to
    return [{ scores: scoresOf(i), start, end, index: i, isSubword: continues(encoding.tokens[i]!, id, text, start) }]
  })
}

/** The scores of whole words. */
function wordsOf(pieces: readonly Piece[], strategy: 'first' | 'average' | 'max'): Piece[] {
  const words: Piece[][] = []
  for (const piece of pieces) {
    if (piece.isSubword && words.length > 0) words.at(-1)!.push(piece)
    else words.push([piece])
  }
  const largest = (piece: Piece): number => piece.scores.reduce((a, b) => Math.max(a, b))
  return words.map(parts => {
    const mean = (id: number): number => parts.reduce((sum, { scores }) => sum + scores[id]!, 0) / parts.length
    const scores = strategy === 'first' ? parts[0]!.scores : strategy === 'max' ? parts.reduce((a, b) => largest(b) > largest(a) ? b : a).scores : parts[0]!.scores.map((_, id) => mean(id))
    return { ...parts[0]!, scores, end: parts.at(-1)!.end }
  })
}

function labelOfScores(scores: Float64Array, { config }: TextModel): { label: string, score: number } {
  const id = scores.reduce((best, value, i) => value > scores[best]! ? i : best, 0)
  return { label: labelOf(config, id), score: scores[id]! }
}

/** Neighbours with one tag are one entity, unless the later begins another (B-). Other schemes than B and I have their letter in the tag, and not in the name: E-PER is PER. */
function grouped(units: readonly { label: string, score: number, start: number, end: number }[]): { entity: string, score: number, start: number, end: number }[] {
  const groups: { tag: string, scores: number[], start: number, end: number }[] = []
  for (const { label, score, start, end } of units) {
    const tag = label.replace(/^[BI]-/, ''), last = groups.at(-1)
    if (last && last.tag === tag && !label.startsWith('B-')) {
      last.scores.push(score)
      last.end = end
    } else groups.push({ tag, scores: [score], start, end })
  }
  return groups.map(({ tag, scores, start, end }) => ({ entity: tag.replace(/^[^-]*-/, ''), start, end, score: scores.reduce((a, b) => a + b, 0) / scores.length }))
}
