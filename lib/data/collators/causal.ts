import { ConfigError, DataError } from '../../errors.js'
import type { Encoding } from '../../text/encoding.js'
import { ignoreIndex } from '../ignoreIndex.js'
import { type Collator, type Grid, counted, maskOf, padded, present } from './collation.js'

/** A text for a model that predicts the next token. */
export interface CausalExample {
  readonly ids: readonly number[]
  /** Whether a token is to be predicted; of prompts it is not. Default: all are. The first token of an example never is. */
  readonly counts?: readonly boolean[]
}

/** What encodes texts: a `Tokenizer`. */
export interface ExampleEncoder {
  encode(text: string, options?: { addSpecialTokens?: boolean, pair?: string }): Encoding
  readonly bosId?: number | undefined
  readonly eosId?: number | undefined
}

/** A message of a conversation, and how a conversation is written: a chat template. */
export interface ChatMessage { readonly role: string, readonly content: string }
export type ChatTemplate = (messages: readonly ChatMessage[], options: { addGenerationPrompt: boolean }) => string

/** The token that the tokenizer puts in front of a text by itself, as LLaMA's do. */
const beginning = (tokenizer: ExampleEncoder): number[] => {
  const [first] = tokenizer.encode('').ids
  return first !== undefined && first === tokenizer.bosId ? [first] : []
}

/** A whole text, with the end token behind it. */
export function textExample(tokenizer: ExampleEncoder, text: string): CausalExample {
  return { ids: [...beginning(tokenizer), ...tokenizer.encode(text, { addSpecialTokens: false }).ids, ...tokenizer.eosId === undefined ? [] : [tokenizer.eosId]] }
}

/** A prompt, and the completion that is to be learned, with the end token behind it. */
export function completionExample(tokenizer: ExampleEncoder, { prompt, completion }: { prompt: string, completion: string }): CausalExample {
  const before = [...beginning(tokenizer), ...tokenizer.encode(prompt, { addSpecialTokens: false }).ids]
  const after = [...tokenizer.encode(completion, { addSpecialTokens: false }).ids, ...tokenizer.eosId === undefined ? [] : [tokenizer.eosId]]
  return { ids: [...before, ...after], counts: [...before.map(() => false), ...after.map(() => true)] }
}

/**
 * A conversation as its template writes it. What the assistant says is to be learned, with what the template puts behind it.
 * @throws DataError if the template writes the beginning of a conversation otherwise than the whole, so that nobody could say which part is whose
 */
export function chatExample(tokenizer: ExampleEncoder, messages: readonly ChatMessage[], template: ChatTemplate, { role = 'assistant' } = {}): CausalExample {
  const text = template(messages, { addGenerationPrompt: false }), spans: [number, number][] = []
  messages.forEach((message, i) => {
    if (message.role !== role) return
    const before = template(messages.slice(0, i), { addGenerationPrompt: true }), after = template(messages.slice(0, i + 1), { addGenerationPrompt: false })
    if (!text.startsWith(before) || !text.startsWith(after))
      throw new DataError(`the chat template writes the first ${i + 1} messages otherwise than within the whole conversation: which part is the ${role}'s cannot be said`)
    spans.push([before.length, after.length])
  })
  // The template writes special tokens itself.
  const { ids, offsets } = tokenizer.encode(text, { addSpecialTokens: false })
  return { ids, counts: offsets.map(([start, end]) => spans.some(([from, to]) => start >= from && start < to && end <= to)) }
}

/**
 * Whole examples one behind the other, as many as go into a block, in their order; longer ones are cut into blocks. The first token of each is not predicted from the one
 * before. Attention goes across examples, as in most trainers; `flatCollator` keeps them apart.
 * @param size tokens of a block
 */
export function packed(examples: Iterable<CausalExample>, size: number): CausalExample[] {
  if (!Number.isInteger(size) || size < 2) throw new ConfigError(`packing: the size is ${size}, expected a whole number from 2`)
  const blocks: CausalExample[] = []
  let ids: number[] = [], counts: boolean[] = []
  const close = (): void => {
    if (ids.length > 0) blocks.push({ ids, counts })
    ids = []
    counts = []
  }
  for (const example of examples) {
    for (let from = 0; from < example.ids.length; from += size) {
      const piece = example.ids.slice(from, from + size)
      if (ids.length + piece.length > size) close()
      ids.push(...piece)
      counts.push(...piece.map((_, i) => i > 0 && (example.counts?.[from + i] ?? true)))
    }
  }
  close()
  return blocks
}

/** Batches `{ ids, labels, attentionMask }`; labels are the next tokens, padded on the right. @param maxLength longer examples are cut */
export function causalCollator({ padId, maxLength = Infinity, multiple = 1 }: { padId: number, maxLength?: number, multiple?: number }): Collator<CausalExample> {
  return examples => {
    const rows = examples.map(({ ids }) => ids.slice(0, maxLength))
    const targets = examples.map(({ counts }, i) => rows[i]!.map((_, t) => {
      const next = rows[i]![t + 1]
      return next === undefined || counts?.[t + 1] === false ? ignoreIndex : next
    }))
    const ids = padded(rows, padId, { multiple }), labels = padded(targets, ignoreIndex, { multiple })
    return { inputs: present({ ids, labels, attentionMask: maskOf(rows, ids.shape[1]!) }), tokens: counted(labels.data, ignoreIndex) }
  }
}

/**
 * Batches `{ ids, labels, documentOffsets }` of one row in which the examples lie one behind the other without padding, `[1, T]`, and of which none sees another: the same
 * losses as from a row for each, in fewer columns. @param maxLength longer examples are cut
 */
export function flatCollator({ maxLength = Infinity }: { maxLength?: number } = {}): Collator<CausalExample> {
  const inRows = causalCollator({ padId: 0, maxLength })
  return (examples, random) => {
    const { inputs, tokens } = inRows(examples, random), lengths = examples.map(({ ids }) => Math.min(ids.length, maxLength))
    const width = inputs['ids']!.shape[1]!, rows = (grid: Grid): number[] => lengths.flatMap((length, i) => Array.from(grid.data.subarray(i * width, i * width + length)))
    const offsets = lengths.reduce((all, length) => [...all, all.at(-1)! + length], [0])
    return { inputs: { ids: padded([rows(inputs['ids']!)], 0), labels: padded([rows(inputs['labels']!)], 0), documentOffsets: { data: Int32Array.from(offsets), shape: [offsets.length] } }, tokens }
  }
}
