import { AsyncLocalStorage } from 'node:async_hooks'
import type { Device } from './device.js'
import type { DType } from './dtype.js'
import { native } from './native.js'
import type { Tensor } from './tensor.js'

// What surrounds the running code: the scope that owns new tensors, whether a tape is kept, the precision of matrix
// products, the default device. It follows async calls, so that two
// interleaved async functions each see their own.

export interface Context {
  /** Tensors made in the innermost scope; undefined outside of any. */
  readonly tensors: Tensor[] | undefined
  readonly parent: Context | undefined
  readonly grad: boolean
  /** Dtype of the operands of products in autocast regions. */
  readonly precision: DType
  /** Whether float32 products may be rounded to TF32; undefined where nobody has said. */
  readonly tf32: boolean | undefined
  /** Whether layers here compute their attention again in the backward pass. */
  readonly recomputesAttention: boolean
  /** Where tensors are made if nothing else is said; undefined outside of any withDevice. */
  readonly device: Device | undefined
}

const outermost: Context = { tensors: undefined, parent: undefined, grad: true, precision: 'float32', tf32: undefined, recomputesAttention: false, device: undefined }
const storage = new AsyncLocalStorage<Context>()

export const context = (): Context => storage.getStore() ?? outermost

/** Runs `fn` (sync or async) with a changed context. */
export const withContext = <T>(change: Partial<Context>, fn: () => T): T => storage.run({ ...context(), ...change }, fn)

function tensorsIn(value: unknown, found: Set<Tensor>, isTensor: (v: object) => v is Tensor, seen: Set<object>): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return
  seen.add(value)
  if (isTensor(value)) { found.add(value); return }
  if (Array.isArray(value) || value instanceof Set) for (const item of value) tensorsIn(item, found, isTensor, seen)
  else if (value instanceof Map) for (const item of value.values()) tensorsIn(item, found, isTensor, seen)
  else if (!ArrayBuffer.isView(value)) for (const item of Object.values(value)) tensorsIn(item, found, isTensor, seen)
}

let isTensor: (value: object) => value is Tensor = (value): value is Tensor => { void value; return false }
/** @internal The class registers itself: scopes lie below it. */
export function registerTensorClass(test: (value: object) => value is Tensor): void { isTensor = test }

// Handles that go back together: one native call for all tensors of a scope.
let gone = new Float64Array(256)

function close(inner: Context, outer: Context, result: unknown): void {
  const kept = new Set<Tensor>()
  if (isTensor(result as object)) kept.add(result as Tensor)
  else tensorsIn(result, kept, isTensor, new Set())
  let count = 0
  for (const tensor of inner.tensors!) {
    if (tensor.owned || tensor.disposed) continue
    if (kept.has(tensor)) {
      if (outer.tensors) outer.tensors.push(tensor)
      else tensor.guard()
    } else if (tensor.isPlain) {
      if (count === gone.length) gone = doubled(gone)
      tensor.disposed = true
      gone[count++] = tensor.raw
    } else {
      tensor.dispose()
    }
  }
  if (count > 0) native.destroyMany(gone, count)
}

function doubled(list: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const longer = new Float64Array(2 * list.length)
  longer.set(list)
  return longer
}

/**
 * Frees every tensor made inside `fn` but those in its result (a tensor, or tensors anywhere in arrays, maps and plain objects), which pass to the surrounding scope.
 * Parameters, `.grad`, optimizer states and caches belong to their owners and stay. `fn` may be async; scopes nest. If `fn` throws, everything is freed.
 */
export function scope<T>(fn: () => T): T {
  const outer = context()
  const inner: Context = { ...outer, tensors: [], parent: outer }
  let result: T
  try {
    result = storage.run(inner, fn)
  } catch (error) {
    close(inner, outer, undefined)
    throw error
  }
  if (result instanceof Promise) {
    return (result as Promise<unknown>).then(
      value => { close(inner, outer, value); return value },
      (error: unknown) => { close(inner, outer, undefined); throw error },
    ) as T
  }
  close(inner, outer, result)
  return result
}

/** Runs `fn` (sync or async) without recording gradients. */
export const noGrad = <T>(fn: () => T): T => withContext({ grad: false }, fn)

/** Runs `fn` with gradients recorded, inside of a `noGrad`. */
export const enableGrad = <T>(fn: () => T): T => withContext({ grad: true }, fn)

/**
 * Runs `fn` with matrix products and attention in `precision`, with float32 accumulation: linear layers round what they are given, and their weights, to it, and give
 * results in it. Parameters, their gradients, embeddings, the residual stream, statistics and losses stay float32.
 */
export const autocast = <T>(precision: 'float32' | 'bfloat16' | 'float16', fn: () => T): T => withContext({ precision }, fn)
