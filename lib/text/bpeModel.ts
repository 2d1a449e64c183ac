import type { Fields } from './jsonFields.js'
import type { Model, WordTokens } from './model.js'
import { byteTokens, readVocabulary } from './vocabulary.js'

/**
 * Byte-pair encoding (Sennrich, Haddow, Birch 2016): starts from characters and applies the merge of lowest rank, leftmost first, until none
 * applies. A queue makes that O(n log n) for a text that no pre-tokenizer has cut. BPE dropout is a matter of training data and is not applied.
 */
export function bpeModel(fields: Fields): Model {
  const vocabulary = readVocabulary(fields)
  const names: string[] = []
  for (const [token, id] of vocabulary) names[id] = token
  const prefix = fields.optionalString('continuing_subword_prefix') ?? ''
  const suffix = fields.optionalString('end_of_word_suffix') ?? ''
  const merges = readMerges(fields, vocabulary, prefix)
  const unknownToken = fields.optionalString('unk_token')
  const unknownId = unknownToken === undefined ? undefined : vocabulary.get(unknownToken)
  if (unknownToken !== undefined && unknownId === undefined) {
    throw fields.error(`unk_token ${JSON.stringify(unknownToken)} is not in vocab. Add it, or set unk_token to null.`)
  }
  const fuseUnknown = fields.boolean('fuse_unk', false)
  const byteFallback = fields.boolean('byte_fallback', false)
  const ignoreMerges = fields.boolean('ignore_merges', false)

  /** The characters of a word as symbols: ids and spans. */
  function symbols(word: string): Symbols {
    const ids: number[] = [], spans: number[] = []
    let start = 0
    let unknownEnd = -1   // end of an unknown symbol that the next one may join
    while (start < word.length) {
      const end = start + ((word.codePointAt(start) as number) > 0xffff ? 2 : 1)
      const character = (start > 0 ? prefix : '') + word.slice(start, end) + (end === word.length ? suffix : '')
      const id = vocabulary.get(character)
      const bytes = id === undefined && byteFallback ? byteTokens(character).map(token => vocabulary.get(token)) : undefined
      if (id !== undefined) {
        ids.push(id)
        spans.push(start, end)
      } else if (bytes?.every(byte => byte !== undefined)) {
        for (const byte of bytes as number[]) {
          ids.push(byte)
          spans.push(start, end)
        }
      } else if (unknownId !== undefined) {
        if (fuseUnknown && unknownEnd === start) spans[spans.length - 1] = end
        else {
          ids.push(unknownId)
          spans.push(start, end)
        }
        unknownEnd = end
      }
      start = end
    }
    return { ids, spans }
  }

  return {
    vocabulary,
    unknownToken,
    tokenize(word: string): WordTokens {
      const whole = ignoreMerges ? vocabulary.get(word) : undefined
      if (whole !== undefined) return { ids: [whole], tokens: [word], spans: [0, word.length] }
      const { ids, spans } = mergeSymbols(symbols(word), merges)
      return { ids, tokens: ids.map(id => names[id] as string), spans }
    },
  }
}

/** Ids, and spans as interleaved [start, end). */
interface Symbols { ids: number[], spans: number[] }

interface Merges {
  /** Rank of a pair of ids, keyed `left * span + right`. */
  ranks: Map<number, number>
  /** Id that the merge of a rank makes. */
  results: number[]
  span: number
}

function readMerges(fields: Fields, vocabulary: Map<string, number>, prefix: string): Merges {
  let span = 1
  for (const id of vocabulary.values()) span = Math.max(span, id + 1)
  const ranks = new Map<number, number>(), results: number[] = []
  fields.list('merges').forEach((merge, rank) => {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    if (!Array.isArray(parts) || parts.length !== 2 || typeof parts[0] !== 'string' || typeof parts[1] !== 'string') {
      throw fields.error(`merge ${rank} is ${JSON.stringify(merge)}, expected two tokens. Is the file damaged?`)
    }
    const [left, right] = parts as [string, string]
    const joined = left + right.slice(right.startsWith(prefix) ? prefix.length : 0)
    const ids = [left, right, joined].map(token => {
      const id = vocabulary.get(token)
      if (id === undefined) {
        throw fields.error(`merge ${rank} (${left} ${right}) needs the token ${JSON.stringify(token)}, which is not in vocab. Add it, `
          + 'or drop the merge.')
      }
      return id
    }) as [number, number, number]
    ranks.set(ids[0] * span + ids[1], rank)
    results[rank] = ids[2]
  })
  return { ranks, results, span }
}

/** Positions are packed under the rank, so that one number orders the queue by rank, then from left to right. */
const positionRange = 2 ** 32

function mergeSymbols({ ids, spans }: Symbols, { ranks, results, span }: Merges): Symbols {
  const count = ids.length
  const next = ids.map((_, i) => i + 1)
  const previous = ids.map((_, i) => i - 1)
  const queue: number[] = []
  const offer = (left: number): void => {
    const right = next[left] as number
    if (left < 0 || right >= count) return
    const rank = ranks.get((ids[left] as number) * span + (ids[right] as number))
    if (rank !== undefined) push(queue, rank * positionRange + left)
  }
  for (let i = 0; i + 1 < count; i++) offer(i)
  while (queue.length > 0) {
    const top = pop(queue)
    const left = top % positionRange, rank = (top - left) / positionRange
    const right = next[left] as number
    // Entries of pairs that other merges have taken apart are stale.
    if (ids[left] === gone || right >= count || ranks.get((ids[left] as number) * span + (ids[right] as number)) !== rank) continue
    ids[left] = results[rank] as number
    spans[2 * left + 1] = spans[2 * right + 1] as number
    ids[right] = gone
    const after = next[left] = next[right] as number
    if (after < count) previous[after] = left
    offer(previous[left] as number)
    offer(left)
  }
  const kept: number[] = [], keptSpans: number[] = []
  for (let i = 0; i < count; i = next[i] as number) {
    kept.push(ids[i] as number)
    keptSpans.push(spans[2 * i] as number, spans[2 * i + 1] as number)
  }
  return { ids: kept, spans: keptSpans }
}

const gone = -1

function push(heap: number[], value: number): void {
  let at = heap.length
  heap.push(value)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if ((heap[parent] as number) <= value) break
    heap[at] = heap[parent] as number
    at = parent
  }
  heap[at] = value
}

function pop(heap: number[]): number {
  const top = heap[0] as number
  const value = heap.pop() as number
  const size = heap.length
  if (size === 0) return top
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= size) break
    if (child + 1 < size && (heap[child + 1] as number) < (heap[child] as number)) child++
    if ((heap[child] as number) >= value) break
    heap[at] = heap[child] as number
    at = child
  }
  heap[at] = value
  return top
}
