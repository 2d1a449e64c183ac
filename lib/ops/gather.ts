import { recorded } from '../autograd/tape.js'
import { ShapeError } from '../errors.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { withTemporary } from './broadcasting.js'
import { contiguous } from './copy.js'
import { requireFloating, requireSameDtype } from './dtypeChecks.js'
import { dimensionOf } from './lastDimension.js'
import { withRows } from './rows.js'
import { transpose } from './view.js'

/**
 * y[…, k] = x[…, index[…, k]] along `dim`.
 * @param index int32 or int64, the shape of `x` but for `dim`
 * @returns the shape of `index`, the dtype of `x`
 * @throws ShapeError if the shapes do not fit; IndexError (when the result is read) if an index is out of range
 */
export function gather(x: Tensor, index: Tensor, dim = -1): Tensor {
  const d = requireIndex('gather', x, index, dim)
  if (d === x.rank - 1) return fromLast(x, index)
  using turned = transpose(x, d, -1)
  using turnedIndex = transpose(index, d, -1)
  using y = fromLast(turned, turnedIndex)
  return transpose(y, d, -1)
}

function requireIndex(name: string, x: Tensor, index: Tensor, dim: number): number {
  const d = dimensionOf(name, x, dim)
  if (index.rank !== x.rank || index.shape.some((n, i) => i !== d && n !== x.shape[i]))
    throw new ShapeError(`${name}: the index is [${index.shape.join(', ')}], expected the shape of x, [${x.shape.join(', ')}], but for dimension ${dim}`)
  return d
}

function withContiguous<T>(x: Tensor, use: (x: Tensor) => T): T {
  const dense = contiguous(x)
  try {
    return use(dense)
  } finally {
    if (dense !== x) dense.dispose()
  }
}

function fromLast(x: Tensor, indices: Tensor): Tensor {
  return withRows(x, rows => withContiguous(indices, index => {
    const y = emptyLike(x, index.shape)
    native.gather(rows.handle, index.handle, y.raw)
    return recorded(y, { name: 'gather', inputs: [rows], saved: [index] }, (dy, into, [index_]) => { native.scatterAdd(dy, index_!, into(rows)) })
  }))
}

/**
 * `x` with source[…, k] added at index[…, k] along `dim`; several that go to one place are added in order.
 * @param index int32 or int64, the shape of `source`   @param source the dtype of `x`, its shape but for `dim`
 * @throws ShapeError, DTypeError if shapes or dtypes do not fit; IndexError (when the result is read) if an index is out of range
 */
export function scatterAdd(x: Tensor, index: Tensor, source: Tensor, dim = -1): Tensor {
  const d = requireIndex('scatterAdd', x, index, dim)
  requireFloating('scatterAdd', x)
  requireSameDtype('scatterAdd', x, source)
  if (source.rank !== index.rank || source.shape.some((n, i) => n !== index.shape[i]))
    throw new ShapeError(`scatterAdd: the source is [${source.shape.join(', ')}], expected the shape of the index, [${index.shape.join(', ')}]`)
  if (d === x.rank - 1) return toLast(x, index, source)
  using turned = transpose(x, d, -1)
  using turnedIndex = transpose(index, d, -1)
  using turnedSource = transpose(source, d, -1)
  using y = toLast(turned, turnedIndex, turnedSource)
  return transpose(y, d, -1)
}

function toLast(x: Tensor, indices: Tensor, from: Tensor): Tensor {
  return withRows(from, source => withContiguous(indices, index => {
    const y = emptyLike(x), { shape } = index
    native.copy(x.handle, y.raw)
    native.scatterAdd(source.handle, index.handle, -y.raw)
    return recorded(y, { name: 'scatterAdd', inputs: [x, source], saved: [index] }, (dy, into, [index_]) => {
      if (x.requiresGrad) native.copy(dy, into(x))
      if (source.requiresGrad) {
        withTemporary(shape, x, picked => {
          native.gather(dy, index_!, picked)
          native.copy(picked, into(source))
        })
      }
    })
  }))
}
