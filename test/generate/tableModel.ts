import type { DecodingInputs, DecodingState, GenerativeModel } from '#lib/nn/decoding.js'
import { tensor } from '#lib/tensor/create.js'
import type { Tensor } from '#lib/tensor/tensor.js'

/** Logits of what follows `tokens`; `source` is the encoder's input without padding, for models that have one. */
export type LogitsTable = (tokens: readonly number[], source: readonly number[]) => ArrayLike<number>

class TableState implements DecodingState {
  /** Stands for the caches: memory that only `dispose` frees. */
  readonly memory: Tensor = tensor([1, 2, 3]).keep()
  constructor(public texts: number[][], public sources: number[][], private readonly model: TableModel) {}

  reorder(rows: Tensor, sameSource = false): void {
    const from = [...rows.dataSync() as Int32Array]
    const moved = from.map(row => this.sources[row]!)
    if (sameSource && moved.some((source, i) => source !== this.sources[i])) throw new Error('a row changed its source although it should not')
    this.texts = from.map(row => [...this.texts[row]!])
    this.sources = moved
    this.model.rowsOfSteps.push(-from.length)
  }
  get length(): number { return this.texts[0]?.length ?? 0 }
  get forgettable(): number { return this.length }
  trim(): void { /* texts have no padding */ }
  join(other: TableState): void {
    this.texts.push(...other.texts)
    this.sources.push(...other.sources)
    this.model.rowsOfSteps.push(-this.texts.length)
  }
  forget(count: number): void { for (const text of this.texts) text.length -= count }
  dispose(): void { this.memory.dispose() }
}

/** A language model that is a function of the tokens before, on the host: what it should generate can be found by trying everything. */
export class TableModel implements GenerativeModel {
  readonly maxPositions: number
  readonly isEncoderDecoder: boolean
  /** Rows of each step; negative: rows that a reorder left. */
  readonly rowsOfSteps: number[] = []

  constructor(readonly vocabSize: number, private readonly logits: LogitsTable, { encoder = false, maxPositions = 64 } = {}) {
    this.isEncoderDecoder = encoder
    this.maxPositions = maxPositions
  }

  prepare({ source, attentionMask }: DecodingInputs): TableState {
    if (!source) {
      this.mask = attentionMask ? [...attentionMask.dataSync() as Int32Array] : undefined
      return new TableState([], [], this)
    }
    const [B, S] = source.shape as [number, number]
    const ids = [...source.dataSync() as Int32Array], mask = attentionMask?.dataSync() as Int32Array | undefined
    const sources = Array.from({ length: B }, (_, b) => ids.slice(b * S, (b + 1) * S).filter((_, s) => !mask || mask[b * S + s]))
    return new TableState(sources.map(() => []), sources, this)
  }

  decode(ids: Tensor, state: DecodingState): Tensor {
    const rows = this.feed(ids, state).map(positions => positions.at(-1)!)
    return tensor(Float32Array.from(rows.flat()), [rows.length, this.vocabSize])
  }

  decodeAll(ids: Tensor, state: DecodingState): Tensor {
    const rows = this.feed(ids, state)
    return tensor(Float32Array.from(rows.flat(2)), [rows.length, ids.shape[1]!, this.vocabSize])
  }

  private feed(ids: Tensor, state: DecodingState): number[][][] {
    const s = state as TableState, [R, T] = ids.shape as [number, number], values = [...ids.dataSync() as Int32Array]
    if (s.texts.length === 0) {
      s.texts = Array.from({ length: R }, () => [])
      s.sources = s.texts.map(() => [])
    }
    if (s.texts.length !== R) throw new Error(`${R} rows of ids for ${s.texts.length} rows of state`)
    this.rowsOfSteps.push(R)
    return s.texts.map((text, row) => {
      const first = text.length === 0
      text.push(...values.slice(row * T, (row + 1) * T).filter((_, t) => !first || !this.mask || this.mask[row * T + t]))
      return Array.from({ length: T }, (_, t) => Array.from(this.logits(text.slice(0, Math.max(1, text.length - (T - 1 - t))), s.sources[row]!)))
    })
  }

  private mask: number[] | undefined
}

/** Logits that depend on every token so far, the same ones each time. @param endBias added to token 1 */
export function arbitraryLogits(vocabulary: number, seed: number, endBias = 0): LogitsTable {
  return (tokens, source) => Float32Array.from({ length: vocabulary }, (_, next) => {
    let h = Math.imul(seed + 1, 0x9E3779B1)
    for (const value of [...source, -1, ...tokens, next]) h = Math.imul(h ^ (value + 7), 0x85EBCA6B) ^ (h >>> 13)
    h = Math.imul(h ^ (h >>> 15), 0xC2B2AE35)
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32 * 4 - 2 + (next === 1 ? endBias : 0)
  })
}

/** Logarithms of the softmax. */
export function logProbabilities(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits), max = Math.max(...values), total = values.reduce((sum, x) => sum + Math.exp(x - max), 0)
  return values.map(x => x - max - Math.log(total))
}
