import type { TensorMethods } from '../ops/methods.js'
import { AutogradError, DTypeError, ShapeError } from '../errors.js'
import { defaultDevice, device as deviceOf, type Device } from './device.js'
import { type DType, dtypeId, rawArray, type TypedArray } from './dtype.js'
import { native, waitFor } from './native.js'
import { context, registerTensorClass } from './scope.js'

/** @internal The op that made a tensor, as far as this floor knows it. */
export interface TapeNode { unreference(): void }

/** @internal Where a view lies in its root tensor: a tensor that owns its elements contiguously. */
export interface Geometry {
  readonly root: Tensor
  /** In elements of the root. */
  readonly offset: number
  readonly strides: readonly number[]
  /** Set for views made by `split`: all parts together cover the root. */
  readonly parts?: readonly { offset: number, shape: readonly number[], strides: readonly number[] }[]
  readonly part?: number
}

// The safety net for tensors that no scope owns and nobody disposes of. Memory comes back some time after a garbage collection: never the plan.
const forgotten = new FinalizationRegistry<number>(handle => {
  try { native.destroy(handle) } catch { /* it was freed in time */ }
})

export function sizeOf(shape: readonly number[]): number {
  let n = 1
  for (const size of shape) n *= size
  return n
}

export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let d = shape.length - 1; d >= 0; d--) { strides[d] = stride; stride *= shape[d]! }
  return strides
}

/**
 * The methods of ops, which `ops/methods.ts` adds. The one look upwards, of types alone: declared from there, a merged class loses its `[Symbol.dispose]` to TypeScript
 * whenever it compiles a part of the files anew.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type, @typescript-eslint/no-unsafe-declaration-merging -- the methods are there once the ops are loaded
export interface Tensor extends TensorMethods {}

/**
 * An n-dimensional array on a device. Values are read with `await t.data()`; until then work is only queued.
 * Free it with `dispose()`, `using`, or by letting the surrounding `scope` end. Methods for arithmetic and views are those of the ops (`lib/ops`).
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Tensor {
  /** The gradient after `backward()`, for leaves that require one. */
  grad: Tensor | undefined = undefined
  /** @internal Op that made it, if gradients flow through. */
  node: TapeNode | undefined = undefined
  /** @internal Which output of the node it is (of its root, for views). */
  output = 0
  /** @internal */ owned = false
  /** @internal */ disposed = false
  private holds = 0
  private differentiable = false

  /** @internal */
  constructor(
    /** @internal Native handle; alive as long as the tensor, or a node that saved it. */
    readonly raw: number,
    readonly shape: readonly number[],
    readonly dtype: DType,
    readonly device: Device,
    /** @internal */ readonly geometry: Geometry | undefined = undefined,
  ) {
    const { tensors } = context()
    if (tensors) tensors.push(this)
    else this.guard()
  }

  get rank(): number { return this.shape.length }
  /** Number of elements. */
  get size(): number { return sizeOf(this.shape) }
  get isContiguous(): boolean {
    if (!this.geometry) return true
    let expected = 1
    for (let d = this.rank - 1; d >= 0; d--) {
      if (this.shape[d] !== 1 && this.geometry.strides[d] !== expected) return false
      expected *= this.shape[d]!
    }
    return true
  }
  /** Steps in elements, by dimension. */
  get strides(): readonly number[] { return this.geometry?.strides ?? contiguousStrides(this.shape) }

  /** @internal The handle for the next native call. A disposed tensor's is stale or 1: both make the native side throw DisposedError with the op's name. */
  get handle(): number { return this.disposed ? staleHandle : this.raw }

  /** Whether `backward()` computes its gradient. May be set on leaves (tensors that no recorded op made) of a floating dtype. */
  get requiresGrad(): boolean { return this.differentiable }
  set requiresGrad(value: boolean) {
    if (value && this.dtype !== 'float32' && this.dtype !== 'float16' && this.dtype !== 'bfloat16')
      throw new DTypeError(`requiresGrad: only floating tensors have gradients, this one is ${this.dtype}`)
    if (value && this.geometry && !this.differentiable)
      throw new AutogradError('requiresGrad: a view shares its memory with another tensor and cannot have a gradient of its own. Use clone() first')
    this.differentiable = value
  }
  /** @internal Gradients flow through it: an output of a recorded op, or a view of such a tensor. */
  flows(): void { this.differentiable = true }

  /** Whether the tensor was freed. Any use of a freed tensor throws DisposedError. */
  get isDisposed(): boolean { return this.disposed }

  /** Frees the tensor. Memory that queued work or the tape still needs goes when they are done with it. Twice is once. */
  dispose(): void {
    if (this.disposed) return
    this.disposed = true
    if (this.grad) { this.grad.dispose(); this.grad = undefined }
    const held = this.holds > 0   // by a node, perhaps its own: then letting go of that node is what frees the memory
    if (this.node) this.node.unreference()
    if (!held) native.destroy(this.raw)
    else if (!this.owned) forgotten.register(this, this.raw)
  }

  [Symbol.dispose](): void { this.dispose() }

  /** @internal Nothing but its handle goes when it is disposed of. */
  get isPlain(): boolean { return this.grad === undefined && this.node === undefined && this.holds === 0 }

  /** @internal A node saved it: its memory stays until the node lets go. */
  hold(): void { this.holds++ }
  /** @internal */
  unhold(): void { if (--this.holds === 0 && this.disposed) native.destroy(this.raw) }
  /** @internal No scope owns it. */
  guard(): void { forgotten.register(this, this.raw) }

  /** Takes the tensor out of every scope: whoever calls this frees it. Returns the tensor. */
  keep(): this {
    if (!this.owned) { this.owned = true; this.guard() }
    return this
  }

  /** @internal Becomes the tensor behind `handle`, of the same shape and dtype on another device: whoever holds this tensor holds that one. */
  moveTo(handle: number, device: Device): void {
    if (this.geometry || this.holds > 0)
      throw new AutogradError(`to: the tensor [${this.shape.join(', ')}] ${this.geometry ? 'is a view' : 'was saved for a backward pass that has not run'} and cannot be moved in place`)
    native.destroy(this.handle)
    const moved = this as { raw: number, device: Device }   // everywhere else they are readonly
    moved.raw = handle
    moved.device = device
    this.guard()
  }

  /** @internal This tensor's shape and layout over another handle; outside of the graph. */
  over(handle: number): Tensor { return new Tensor(handle, this.shape, this.dtype, this.device, this.geometry) }

  /** The values in row-major order: half types as Float32Array, int64 as BigInt64Array, bool as Uint8Array of 0 and 1. @throws IndexError, DeviceError */
  async data(): Promise<TypedArray> {
    const source = readable(this)
    try {
      const buffer = await waitFor(id => { native.read(source.handle, id) })
      return rawArray(source.dtype, buffer!) as TypedArray
    } finally {
      if (source !== this) source.dispose()
    }
  }

  /** As `data()`, but blocks the thread; for scripts and tests. */
  dataSync(): TypedArray {
    const source = readable(this)
    try {
      return rawArray(source.dtype, native.readSync(source.handle)) as TypedArray
    } finally {
      if (source !== this) source.dispose()
    }
  }

  /** The only value of a one-element tensor. @throws ShapeError if there are more */
  async item(): Promise<number> { return single(this, await this.data()) }
  itemSync(): number { return single(this, this.dataSync()) }

  /** Nested arrays of the values. */
  async array(): Promise<unknown> { return nested(await this.data(), this.shape) }

  toString(): string { return `Tensor ${this.dtype} [${this.shape.join(', ')}] on ${this.device.name}` }
}

registerTensorClass((value): value is Tensor => value instanceof Tensor)

const staleHandle = (() => {
  const handle = native.alloc(dtypeId('uint8'), 0, 0)
  native.destroy(handle)
  return handle
})()

function single(t: Tensor, values: TypedArray): number {
  if (values.length !== 1) throw new ShapeError(`item: the tensor is [${t.shape.join(', ')}], expected one element`)
  return Number(values[0])
}

function nested(values: TypedArray, shape: readonly number[]): unknown {
  if (shape.length === 0) return values[0]
  const [size, ...inner] = shape
  if (inner.length === 0) return Array.from(values as ArrayLike<unknown>)
  const step = sizeOf(inner)
  return Array.from({ length: size! }, (_, i) => nested(values.subarray(i * step, (i + 1) * step), inner))
}

/** A contiguous tensor whose raw elements are what `data()` promises: itself, or a copy that the caller frees. */
function readable(t: Tensor): Tensor {
  const half = t.dtype === 'float16' || t.dtype === 'bfloat16'
  if (!half && t.isContiguous) return t
  const copy = empty(t.shape, half ? 'float32' : t.dtype, t.device)
  native.copy(t.handle, copy.raw)
  return copy
}

/** A tensor whose values are undefined until an op writes them. Shape of at most 8 dimensions. @throws OutOfMemoryError, ShapeError */
export function empty(shape: readonly number[], dtype: DType = 'float32', device?: string | Device): Tensor {
  const on = device === undefined ? defaultDevice() : deviceOf(device)
  const id = dtypeId(dtype)
  // The usual ranks without a spread: this is the hottest call of the layer.
  const n = shape.length
  const handle = n === 1 ? native.alloc(id, on.index, 1, shape[0]!)
    : n === 2 ? native.alloc(id, on.index, 2, shape[0]!, shape[1]!)
      : n === 3 ? native.alloc(id, on.index, 3, shape[0]!, shape[1]!, shape[2]!)
        : native.alloc(id, on.index, n, ...shape)
  return new Tensor(handle, shape, dtype, on)
}

/** Empty tensor of the dtype and device of `t`, in its shape or another. */
export const emptyLike = (t: Tensor, shape: readonly number[] = t.shape, dtype: DType = t.dtype): Tensor => empty(shape, dtype, t.device)
