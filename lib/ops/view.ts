import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { context } from '../tensor/scope.js'
import { contiguousStrides, emptyLike, sizeOf, Tensor, type Geometry } from '../tensor/tensor.js'
import { nodeOf, recorded } from '../autograd/tape.js'
import { contiguous } from './copy.js'
import { reduceOps } from './codes.js'

// Views share their storage. They need no node of their own: a view's gradient is the same view of its root's gradient (autograd/gradient.ts).

type Parts = Pick<Geometry, 'parts' | 'part'>

/** A view of `x`; `offset` in elements from the first element of `x`. `x` is its own root or a view of one. */
function viewOf(x: Tensor, shape: readonly number[], strides: readonly number[], offset: number, parts: Parts = {}): Tensor {
  const handle = native.view(x.handle, offset, shape.length, ...shape, ...strides)
  const root = x.geometry?.root ?? x
  const y = new Tensor(handle, shape, x.dtype, x.device, { root, offset: (x.geometry?.offset ?? 0) + offset, strides, ...parts })
  if (x.requiresGrad && context().grad) {
    y.flows()
    const node = nodeOf(x)
    if (node) {
      node.reference()
      y.node = node
      y.output = x.output
    }
  }
  return y
}

function axis(name: string, x: Tensor, dim: number): number {
  const d = dim < 0 ? dim + x.rank : dim
  if (!Number.isInteger(dim) || d < 0 || d >= x.rank) throw new ShapeError(`${name}: dimension ${dim} of a tensor [${x.shape.join(', ')}] does not exist`)
  return d
}

/** Strides of `shape` over the memory of `x`, or undefined where its elements do not lie so that one can. */
function reshapedStrides(x: Tensor, shape: readonly number[]): number[] | undefined {
  if (x.isContiguous) return contiguousStrides(shape)
  const strides = new Array<number>(shape.length).fill(1)
  const { shape: from, strides: steps } = x
  let to = shape.length - 1
  // Take the source's dimensions from the last, in groups that lie densely; each group must be cut exactly by the new sizes.
  for (let d = from.length - 1; d >= 0;) {
    if (from[d] === 1) { d--; continue }
    let group = from[d]!, stride = steps[d]!, inner = d
    while (d > 0 && (from[d - 1] === 1 || steps[d - 1] === steps[inner]! * from[inner]!)) {
      d--
      if (from[d] === 1) continue   // its stride says nothing
      group *= from[d]!
      inner = d
    }
    let taken = 1
    while (taken < group) {
      if (to < 0) return undefined
      strides[to] = stride
      stride *= shape[to]!
      taken *= shape[to]!
      to--
    }
    if (taken !== group) return undefined
    d--
  }
  for (; to >= 0; to--) {
    if (shape[to] !== 1) return undefined
    strides[to] = 1
  }
  return strides
}

/** The same elements in another shape; one size may be -1. A view where the memory allows it, a copy otherwise. @throws ShapeError if the numbers of elements differ */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  let unknown = -1, known = 1
  shape.forEach((n, d) => {
    if (n === -1 && unknown < 0) unknown = d
    else known *= n
  })
  const to = [...shape]
  if (unknown >= 0 && known > 0 && x.size % known === 0) to[unknown] = x.size / known
  if (sizeOf(to) !== x.size || to.some(n => !Number.isInteger(n) || n < 0))
    throw new ShapeError(`reshape: [${x.shape.join(', ')}] has ${x.size} elements, which do not fill [${shape.join(', ')}]`)
  const strides = x.size === 0 ? contiguousStrides(to) : reshapedStrides(x, to)
  return strides ? viewOf(x, to, strides, 0) : reshape(contiguous(x), to)
}

/** Dimensions in another order. @param dims a permutation of 0 … rank - 1 */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  const order = dims.map(d => axis('permute', x, d))
  if (order.length !== x.rank || new Set(order).size !== x.rank) throw new ShapeError(`permute: [${dims.join(', ')}] is not a permutation of the ${x.rank} dimensions`)
  const { strides } = x
  return viewOf(x, order.map(d => x.shape[d]!), order.map(d => strides[d]!), 0)
}

/** Two dimensions exchanged (the last two by default). */
export function transpose(x: Tensor, a = -2, b = -1): Tensor {
  const i = axis('transpose', x, a), j = axis('transpose', x, b)
  const dims = x.shape.map((_, d) => d)
  dims[i] = j
  dims[j] = i
  return permute(x, dims)
}

/** Elements `start` to `end` (exclusive) of one dimension, every `step`-th; negative positions count from the end. */
export function slice(x: Tensor, dim: number, start = 0, end: number = x.shape[dim < 0 ? dim + x.rank : dim]!, step = 1): Tensor {
  const d = axis('slice', x, dim), n = x.shape[d]!
  const from = Math.min(Math.max(start < 0 ? start + n : start, 0), n), to = Math.min(Math.max(end < 0 ? end + n : end, from), n)
  if (!Number.isInteger(from) || !Number.isInteger(to) || !Number.isInteger(step) || step < 1)
    throw new ShapeError(`slice: from ${start} to ${end} in steps of ${step} of dimension ${dim}, expected integers and a positive step`)
  const strides = [...x.strides]
  const shape = x.shape.with(d, Math.ceil((to - from) / step))
  const offset = from * strides[d]!
  strides[d]! *= step
  return viewOf(x, shape, strides, sizeOf(shape) === 0 ? 0 : offset)
}

/** One element of a dimension, which disappears. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  const d = axis('select', x, dim), n = x.shape[d]!, i = index < 0 ? index + n : index
  if (!Number.isInteger(index) || i < 0 || i >= n) throw new ShapeError(`select: index ${index} of dimension ${dim} of a tensor [${x.shape.join(', ')}] does not exist`)
  const { strides } = x
  return viewOf(x, x.shape.toSpliced(d, 1), strides.toSpliced(d, 1), i * strides[d]!)
}

/** Cuts a dimension into parts of the given sizes (or of one size; the last may be smaller). Gradients of all parts are written into one buffer. */
export function split(x: Tensor, sizes: number | readonly number[], dim = -1): Tensor[] {
  const d = axis('split', x, dim), n = x.shape[d]!
  if (typeof sizes === 'number' && !(Number.isInteger(sizes) && sizes > 0)) throw new ShapeError(`split: parts of size ${sizes}, expected a positive integer`)
  const list = typeof sizes === 'number' ? Array.from({ length: Math.ceil(n / sizes) }, (_, i) => Math.min(sizes, n - i * sizes)) : sizes
  if (list.some(s => !Number.isInteger(s) || s < 0) || list.reduce((a, b) => a + b, 0) !== n)
    throw new ShapeError(`split: sizes ${JSON.stringify(sizes)} do not add up to ${n}, the size of dimension ${dim}`)
  const { strides } = x, base = x.geometry?.offset ?? 0
  let at = 0
  const parts = list.map(size => {
    const part = { offset: base + at * strides[d]!, shape: x.shape.with(d, size), strides }
    at += size
    return part
  })
  // Parts of a part do not cover the root.
  const whole = x.size === (x.geometry?.root ?? x).size
  return parts.map((p, part) => viewOf(x, p.shape, strides, sizeOf(p.shape) === 0 ? 0 : p.offset - base, whole ? { parts, part } : {}))
}

/**
 * @internal Cuts the last dimension into `parts` of equal size, each as heads: `[B, T, parts * H * D]` to parts of `[B, T, H, D]`. As `split` and `reshape`, with one
 * view for each part.
 */
export function splitHeads(x: Tensor, parts: number, heads: number): Tensor[] {
  const [B, T, C] = x.shape as [number, number, number], width = C / parts, D = width / heads
  const strides = [x.strides[0]!, x.strides[1]!, D * x.strides[2]!, x.strides[2]!], base = x.geometry?.offset ?? 0
  const list = Array.from({ length: parts }, (_, i) => ({ offset: base + i * width * x.strides[2]!, shape: [B, T, heads, D], strides }))
  const whole = x.size === (x.geometry?.root ?? x).size && parts > 1
  return list.map((p, part) => viewOf(x, p.shape, strides, x.size === 0 ? 0 : p.offset - base, whole ? { parts: list, part } : {}))
}

/** A new dimension of size 1 at `dim`. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  const d = dim < 0 ? dim + x.rank + 1 : dim
  if (!Number.isInteger(dim) || d < 0 || d > x.rank) throw new ShapeError(`unsqueeze: dimension ${dim} cannot be added to a tensor [${x.shape.join(', ')}]`)
  return viewOf(x, x.shape.toSpliced(d, 0, 1), x.strides.toSpliced(d, 0, 1), 0)
}

/** Without the given dimension of size 1, or without all of size 1. */
export function squeeze(x: Tensor, dim?: number): Tensor {
  const { strides } = x
  const gone = dim === undefined ? x.shape.map((n, d) => n === 1 ? d : -1).filter(d => d >= 0) : [axis('squeeze', x, dim)].filter(d => x.shape[d] === 1)
  return viewOf(x, x.shape.filter((_, d) => !gone.includes(d)), strides.filter((_, d) => !gone.includes(d)), 0)
}

/** Dimensions `from` to `to` (inclusive) as one. */
export function flatten(x: Tensor, from = 0, to = -1): Tensor {
  if (x.rank === 0) return reshape(x, [1])
  const a = axis('flatten', x, from), b = axis('flatten', x, to)
  if (a > b) throw new ShapeError(`flatten: dimension ${from} comes after ${to}`)
  return reshape(x, [...x.shape.slice(0, a), sizeOf(x.shape.slice(a, b + 1)), ...x.shape.slice(b + 1)])
}

/** @internal Calls `use` with a handle of `x` repeated to `shape` by strides of 0, good for the inputs of native calls. */
export function withBroadcast(x: Tensor, shape: readonly number[], use: (handle: number) => void): void {
  if (x.rank === shape.length && x.shape.every((n, d) => n === shape[d])) { use(x.handle); return }
  const lead = shape.length - x.rank, { strides } = x
  const steps = shape.map((_, d) => d < lead || x.shape[d - lead] === 1 ? 0 : strides[d - lead]!)
  const handle = native.view(x.handle, 0, shape.length, ...shape, ...steps)
  try {
    use(handle)
  } finally {
    native.destroy(handle)
  }
}

/**
 * @internal The gradient of a broadcast: sums `dy` (contiguous, of shape `shape`) over the dimensions along which `to` was repeated, into a gradient of shape `to` and
 * of the given strides (those of the tensor: the gradient of a view is a view).
 */
export function sumTo(dy: number, shape: readonly number[], to: readonly number[], target: number, strides: readonly number[] = contiguousStrides(to)): void {
  if (target === 0) return
  const lead = shape.length - to.length
  if (lead === 0 && shape.every((n, d) => n === to[d])) { native.copy(dy, target); return }
  const kept = shape.map((_, d) => d < lead ? 1 : to[d - lead]!)
  const view = native.view(Math.abs(target), 0, kept.length, ...kept, ...new Array<number>(lead).fill(1), ...strides)
  try {
    native.reduce(dy, target < 0 ? -view : view, reduceOps.sum)
  } finally {
    native.destroy(view)
  }
}

/** The shape that NumPy's broadcasting gives. @throws ShapeError if the shapes do not fit */
export function broadcastShape(name: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, d) => {
    const m = a[d - rank + a.length] ?? 1, n = b[d - rank + b.length] ?? 1
    if (m !== n && m !== 1 && n !== 1) throw new ShapeError(`${name}: shapes [${a.join(', ')}] and [${b.join(', ')}] do not broadcast: ${m} against ${n}`)
    return m === 1 ? n : m
  })
}

/** The same values outside of the graph. */
export function detach(x: Tensor): Tensor {
  return x.over(native.share(x.handle))
}

/** `x` repeated to `shape` along dimensions of size 1 (and new leading ones), as a tensor of its own. Ops broadcast by themselves: this is for the rest. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  const to = shape.map((n, d) => n === -1 ? x.shape[d - shape.length + x.rank] ?? -1 : n)
  const fits = broadcastShape('expand', x.shape, to)
  if (fits.length !== to.length || fits.some((n, d) => n !== to[d])) throw new ShapeError(`expand: [${x.shape.join(', ')}] does not expand to [${shape.join(', ')}]`)
  const y = emptyLike(x, to)
  withBroadcast(x, to, handle => { native.copy(handle, y.raw) })
  const { shape: from, strides } = x
  return recorded(y, { name: 'expand', inputs: [x] }, (dy, into) => { sumTo(dy, to, from, into(x), strides) })
}
