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
  destroyMany(handles: Float64Array, count: number): void
  version(handle: Handle): number
  /** 0: no common element, 1: the same view, 2: anything else. */
  overlap(a: Handle, b: Handle): number
  write(handle: Handle, values: NodeJS.TypedArray): void
  /** The elements of a contiguous tensor to one of the same shape and dtype on another device. */
  transfer(from: Handle, to: Handle): void
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
  /** Notes every op of this session that the CPU runs from now on. */
  startProfile(): void
  /** What ran since: JSON, see native/runtime/profile.hpp. */
  stopProfile(): string
  /** Floating-point operations a second that the CPU's threads do at most, measured now. */
  peak(): number
  /** Opens a device library, once a process; its devices have the indices 1, 2, … JSON: its versions, devices, and the ops that it lacks. */
  openLibrary(file: string): string
  /** The file that a session of this process has opened; empty if none has. */
  openedLibrary(): string
  /** What a program writes; null if it does not end well in that time. */
  runChild(milliseconds: number, program: string, ...arguments_: string[]): string | null

  adamW(params: Float64Array, grads: Float64Array, m: Float64Array, v: Float64Array, low: Float64Array | 0, hyper: Handle, norm: Handle, maxNorm: number, decoupled: boolean, skipNonFinite: boolean, lossScale: Handle): void
  argmax(x: Handle, y: Handle): void
  attention(q: Handle, k: Handle, v: Handle, y: Handle, lse: Handle, keyPadding: Handle, bias: Handle, queryOffsets: Handle, keyOffsets: Handle, rng: Handle, causal: boolean, window: number, scale: number, dropout: number, call: number, softcap: number): void
  attentionBackward(dy: Handle, q: Handle, k: Handle, v: Handle, y: Handle, lse: Handle, keyPadding: Handle, bias: Handle, queryOffsets: Handle, keyOffsets: Handle, rng: Handle, dq: Gradient, dk: Gradient, dv: Gradient, biasGrad: Gradient, causal: boolean, window: number, scale: number, dropout: number, call: number, softcap: number): void
  binary(a: Handle, b: Handle, y: Gradient, op: number): void
  copy(x: Handle, y: Gradient): void
  crossEntropy(logits: Handle, labels: Handle, loss: Handle, lse: Handle, counted: Handle, labelSmoothing: number, ignoreIndex: number, zLoss: number): void
  crossEntropyBackward(logits: Handle, labels: Handle, lse: Handle, scale: Handle, dlogits: Gradient, labelSmoothing: number, ignoreIndex: number, zLoss: number): void
  cumsum(x: Handle, y: Gradient, reversed: boolean): void
  dequantizeInt8(codes: Handle, scale: Handle, y: Handle): void
  dequantizeNF4(codes: Handle, absmax: Handle, groups: Handle, y: Handle, mean: number): void
  dropout(x: Handle, y: Gradient, rng: Handle, p: number, call: number): void
  embedding(ids: Handle, weight: Handle, y: Handle, scale: number): void
  embeddingBackward(dy: Handle, ids: Handle, dweight: Gradient, scale: number, paddingIndex: number): void
  fill(y: Handle, value: number): void
  gated(gate: Handle, up: Handle, y: Handle, activation: number): void
  gatedBackward(dy: Handle, gate: Handle, up: Handle, dgate: Gradient, dup: Gradient, activation: number): void
  gather(x: Handle, index: Handle, y: Handle): void
  gradNorm(grads: Float64Array, scale: Handle, norm: Handle, lossScale: Handle): void
  indexAdd(dy: Handle, ids: Handle, dx: Gradient): void
  indexSelect(x: Handle, ids: Handle, y: Handle): void
  layerNorm(x: Handle, residual: Handle, weight: Handle, bias: Handle, rng: Handle, y: Handle, sum: Handle, mean: Handle, rstd: Handle, eps: number, dropout: number, call: number): void
  layerNormBackward(dy: Handle, dsum: Handle, s: Handle, weight: Handle, mean: Handle, rstd: Handle, rng: Handle, dx: Gradient, dresidual: Gradient, dweight: Gradient, dbias: Gradient, dropout: number, call: number): void
  lerp(y: Float64Array, x: Float64Array, weight: Handle): void
  lossScale(state: Handle, norm: Handle, growthInterval: number): void
  matmul(a: Handle, b: Handle, c: Gradient, bias: Handle, preactivation: Handle, derivative: Handle, rowSum: Gradient, activation: number, alpha: number, tf32: boolean): void
  rmsNorm(x: Handle, residual: Handle, weight: Handle, rng: Handle, y: Handle, sum: Handle, rstd: Handle, eps: number, dropout: number, call: number, unitOffset: boolean): void
  rmsNormBackward(dy: Handle, dsum: Handle, s: Handle, weight: Handle, rstd: Handle, rng: Handle, dx: Gradient, dresidual: Gradient, dweight: Gradient, dropout: number, call: number, unitOffset: boolean): void
  reduce(x: Handle, y: Gradient, op: number): void
  rotary(x: Handle, cos: Handle, sin: Handle, positions: Handle, y: Gradient, start: number, interleaved: boolean, inverse: boolean): void
  scalarBinary(a: Handle, y: Gradient, op: number, value: number, reversed: boolean): void
  scatterAdd(dy: Handle, index: Handle, dx: Gradient): void
  sgd(params: Float64Array, grads: Float64Array, momenta: Float64Array | 0, low: Float64Array | 0, hyper: Handle, norm: Handle, maxNorm: number, nesterov: boolean, skipNonFinite: boolean, lossScale: Handle): void
  softmax(x: Handle, y: Handle, log: boolean): void
  softmaxBackward(dy: Handle, y: Handle, dx: Gradient, log: boolean): void
  topK(x: Handle, values: Handle, indices: Handle): void
  unary(x: Handle, y: Handle, op: number): void
  unaryBackward(dy: Handle, saved: Handle, dx: Gradient, op: number): void
  uniform(y: Handle, state: Handle, call: number, low: number, high: number): void
  where(condition: Handle, a: Handle, b: Handle, y: Gradient): void
}
