import type { Module } from './module.js'

/** What a model directory needs of a tokenizer: to write its files into a folder. */
export interface SavedTokenizer { save(directory: string): Promise<void> }

export interface SaveOptions {
  /** Of the weights. Default: the one that the model was loaded in, else float32. */
  dtype?: 'float32' | 'float16' | 'bfloat16'
  /** Larger models are written in several files, with an index. Default 5e9. */
  maxShardBytes?: number
}

type Writer = (directory: string, model: Module, tokenizer: SavedTokenizer | undefined, options: SaveOptions) => Promise<void>

let writer: Writer | undefined

/** @internal How model directories are written is known on a floor above. */
export function registerWriter(write: Writer): void { writer = write }

/** @internal */
export const writeDirectory: Writer = async (...given) => {
  if (!writer) throw new Error('no writer of model directories is registered: lib/hub was not loaded')
  await writer(...given)
}
