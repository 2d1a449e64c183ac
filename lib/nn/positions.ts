import { ShapeError } from '../errors.js'
import { add } from '../ops/add.js'
import { cast } from '../ops/copy.js'
import { embedding } from '../ops/embedding.js'
import { slice } from '../ops/view.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import { Module } from './module.js'
import { Parameter } from './parameter.js'

/** sin and cos of position / 10000^(2i / C), interleaved: even columns sin, odd cos (Vaswani et al. 2017, section 3.5). `[T, C]` */
export function sinusoidalTable(length: number, width: number): Float32Array {
  const table = new Float32Array(length * width)
  for (let t = 0; t < length; t++) {
    for (let i = 0; i < width; i += 2) {
      const angle = t * Math.exp(-Math.log(10000) * i / width)
      table[t * width + i] = Math.sin(angle)
      if (i + 1 < width) table[t * width + i + 1] = Math.cos(angle)
    }
  }
  return table
}

/** Adds sinusoids to embeddings. Nothing is learned, and there is no longest sequence. */
export class SinusoidalPositions extends Module {
  private table: Tensor | undefined

  constructor(readonly width: number) { super() }

  /** @param x `[B, T, C]` @param start position of the first column */
  forward(x: Tensor, start = 0): Tensor {
    const end = start + x.shape[1]!
    if (!this.table || this.table.shape[0]! < end || this.table.device !== x.device) {
      const length = Math.max(end, 2 * (this.table?.shape[0] ?? 64))
      this.table?.dispose()
      this.table = tensor(sinusoidalTable(length, this.width), [length, this.width], { device: x.device }).keep()
    }
    return add(x, cast(slice(this.table, 0, start, end), x.dtype))
  }
}

/** Adds a learned vector for each position. */
export class LearnedPositions extends Module {
  readonly weight: Parameter

  /** @param paddingIndex position whose vector is not trained */
  constructor(readonly length: number, readonly width: number, std = 0.02, private readonly paddingIndex?: number) {
    super()
    this.weight = new Parameter([length, width], { kind: 'normal', std })
  }

  /**
   * @param x `[B, T, C]`
   * @param start position of the first column, or those of all, `[B, T]` int32
   * @throws ShapeError if the sequence is longer than the table
   */
  forward(x: Tensor, start: number | Tensor = 0): Tensor {
    const { paddingIndex } = this
    if (typeof start !== 'number') return add(x, embedding(start, this.weight, { dtype: x.dtype, ...(paddingIndex === undefined ? {} : { paddingIndex }) }))
    const end = start + x.shape[1]!
    if (end > this.length) throw new ShapeError(`positions: the sequence has ${end} tokens, the model was built for at most ${this.length}. Cut the text, or build the model with more positions`)
    return add(x, cast(slice(this.weight, 0, start, end), x.dtype))
  }
}
