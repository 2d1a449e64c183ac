// Generated from native/ops by scripts/generate.mjs. Do not edit: `npm run build` writes it.

/** A native tensor; 0 where an optional argument is absent. */
export type Handle = number
/** Where a gradient goes: a handle to be overwritten, its negative to be accumulated into, 0 if it is not wanted. */
export type Gradient = number

export interface Native {
  alloc(dtype: number, device: number, rank: number, ...sizes: number[]): Handle
  view(of: Handle, offset: number, rank: number, ...sizesThenStrides: number[]): Handle
  share(of: Handle): Handle
  destroy(handle: Handle): void
  version(handle: Handle): number
  /** 0: no common element, 1: the same view, 2: anything else. */
  overlap(a: Handle, b: Handle): number
  write(handle: Handle, values: NodeJS.TypedArray): void
  read(handle: Handle, id: number): void
  readSync(handle: Handle): ArrayBuffer
  fence(device: number, id: number): void
  synchronize(device: number): void
  reset(device: number): void
  memory(device: number): string
  resetPeak(device: number): void
  trim(device: number): void
  describeDevice(device: number): string
  threads(count?: number): number

  copy(x: Handle, y: Gradient): void
  crossEntropy(logits: Handle, labels: Handle, loss: Handle, lse: Handle, counted: Handle, labelSmoothing: number, ignoreIndex: number, zLoss: number): void
  crossEntropyBackward(logits: Handle, labels: Handle, lse: Handle, scale: Handle, dlogits: Gradient, labelSmoothing: number, ignoreIndex: number, zLoss: number): void
  dropout(x: Handle, y: Handle, rng: Handle, p: number, call: number): void
  embedding(ids: Handle, weight: Handle, y: Handle, scale: number): void
  embeddingBackward(dy: Handle, ids: Handle, dweight: Gradient, scale: number, paddingIndex: number): void
  fill(y: Handle, value: number): void
  layerNorm(x: Handle, residual: Handle, weight: Handle, bias: Handle, rng: Handle, y: Handle, sum: Handle, mean: Handle, rstd: Handle, eps: number, dropout: number, call: number): void
  layerNormBackward(dy: Handle, dsum: Handle, s: Handle, weight: Handle, mean: Handle, rstd: Handle, rng: Handle, dx: Gradient, dresidual: Gradient, dweight: Gradient, dbias: Gradient, dropout: number, call: number): void
  rmsNorm(x: Handle, residual: Handle, weight: Handle, rng: Handle, y: Handle, sum: Handle, rstd: Handle, eps: number, dropout: number, call: number, unitOffset: boolean): void
  rmsNormBackward(dy: Handle, dsum: Handle, s: Handle, weight: Handle, rstd: Handle, rng: Handle, dx: Gradient, dresidual: Gradient, dweight: Gradient, dropout: number, call: number, unitOffset: boolean): void
  softmax(x: Handle, y: Handle, log: boolean): void
  softmaxBackward(dy: Handle, y: Handle, dx: Gradient, log: boolean): void
}
