import { Random } from '#lib/data/random.js'
import { Dropout, Embedding, LayerNorm, Linear } from '#lib/nn/layers.js'
import { Module } from '#lib/nn/module.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { tensor } from '#lib/tensor/create.js'
import { manualSeed } from '#lib/tensor/random.js'
import type { BatchSource, TrainingTask } from '#lib/train/task.js'

/** A batch of tokens and what follows them. */
export interface TinyBatch { ids: number[], labels: number[] }

/** Predicts a token from the one before it, with dropout: the least that has an embedding, a norm, a product and random masks. */
export class TinyModel extends Module {
  readonly embedding: Embedding
  readonly norm: LayerNorm
  readonly output: Linear
  readonly dropout: Dropout

  constructor(readonly config: { vocabulary: number, width: number, dropout: number }) {
    super()
    this.embedding = new Embedding(config.vocabulary, config.width)
    this.norm = new LayerNorm(config.width)
    this.output = new Linear(config.width, config.vocabulary)
    this.dropout = new Dropout(config.dropout)
  }

  loss({ ids, labels }: TinyBatch, labelSmoothing = 0) {
    const x = this.dropout.forward(this.norm.forward(this.embedding.forward(tensor(Int32Array.from(ids)))))
    return crossEntropy(this.output.forward(x), tensor(Int32Array.from(labels)), { reduction: 'sum', labelSmoothing })
  }
}

export function tinyModel({ seed = 1, vocabulary = 11, width = 16, dropout = 0.2 } = {}): TinyModel {
  manualSeed(seed)
  return new TinyModel({ vocabulary, width, dropout })
}

/** `count` batches of one epoch, of different sizes: the next token is a function of the last, so that there is something to learn. */
export function tinyBatches(count: number, { vocabulary = 11, seed = 3 } = {}): TinyBatch[] {
  return Array.from({ length: count }, (_, batch) => {
    const random = new Random(seed, 'tiny batch', batch)
    const ids = Array.from({ length: 4 + random.integer(9) }, () => random.integer(vocabulary))
    return { ids, labels: ids.map(id => (id * 3 + 1) % vocabulary) }
  })
}

export function tinyTask(model: TinyModel, batches: BatchSource<TinyBatch> | Iterable<TinyBatch> = tinyBatches(7), more: Partial<TrainingTask<TinyBatch>> = {}): TrainingTask<TinyBatch> {
  return {
    batches,
    loss: (batch, { labelSmoothing }) => model.loss(batch, labelSmoothing),
    tokens: batch => batch.labels.length,
    ...more,
  }
}

/** The bits of every parameter. */
export function bitsOf(model: Module): Record<string, string> {
  return Object.fromEntries([...model.stateDict()].map(([name, p]) => {
    const values = p.dataSync()
    return [name, Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')]
  }))
}
