import { recorded } from '../autograd/tape.js'
import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { contiguousStrides, emptyLike, type Tensor } from '../tensor/tensor.js'
import { requireSameDtype } from './dtypeChecks.js'
import { dimensionOf } from './lastDimension.js'
import { unsqueeze } from './view.js'

/** Calls `use` with the part of the contiguous tensor `raw` of shape `shape` that begins at `start` of dimension `d` and has the shape `part`. */
function withPart(raw: number, shape: readonly number[], d: number, start: number, part: readonly number[], use: (handle: number) => void): void {
  if (part.includes(0)) return
  const strides = contiguousStrides(shape), handle = native.view(raw, start * strides[d]!, part.length, ...part, ...strides)
  try {
    use(handle)
  } finally {
    native.destroy(handle)
  }
}

/**
 * The tensors one behind the other along `dim`.
 * @param tensors at least one, of one dtype and of equal shapes but for `dim`
 * @throws ShapeError, DTypeError if shapes or dtypes do not fit
 */
export function concat(tensors: readonly Tensor[], dim = 0): Tensor {
  const [first] = tensors
  if (!first) throw new ShapeError('concat: the list of tensors is empty')
  const d = dimensionOf('concat', first, dim)
  for (const x of tensors) {
    requireSameDtype('concat', first, x)
    if (x.rank !== first.rank || x.shape.some((n, i) => i !== d && n !== first.shape[i]))
      throw new ShapeError(`concat: shapes [${first.shape.join(', ')}] and [${x.shape.join(', ')}] differ in more than dimension ${dim}`)
  }
  const shape = first.shape.with(d, tensors.reduce((n, x) => n + x.shape[d]!, 0)), y = emptyLike(first, shape)
  let end = 0
  const starts = tensors.map(x => (end += x.shape[d]!) - x.shape[d]!)
  tensors.forEach((x, i) => { withPart(y.raw, shape, d, starts[i]!, x.shape, part => { native.copy(x.handle, part) }) })
  return recorded(y, { name: 'concat', inputs: tensors }, (dy, into) => {
    tensors.forEach((x, i) => {
      if (!x.requiresGrad) return
      const target = into(x)   // one without elements too: what made it may have parameters, whose gradients are then zeros
      withPart(dy, shape, d, starts[i]!, x.shape, part => { native.copy(part, target) })
    })
  })
}

/** The tensors, all of one shape, along a new dimension `dim`. @throws ShapeError, DTypeError if shapes or dtypes differ */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  const [first] = tensors
  if (!first) throw new ShapeError('stack: the list of tensors is empty')
  const d = dim < 0 ? dim + first.rank + 1 : dim
  const slices = tensors.map(x => unsqueeze(x, d))
  try {
    return concat(slices, d)
  } finally {
    for (const slice of slices) slice.dispose()
  }
}
