import { recorded } from '../autograd/tape.js'
import { isFloating } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { alongDimension } from './lastDimension.js'
import { withRows } from './rows.js'

/** Running sums along `dim`, added in float64; int64 for integers and bool. @throws ShapeError if the dimension does not exist */
export const cumsum = (x: Tensor, dim = -1): Tensor => alongDimension('cumsum', x, dim, ofLast)

function ofLast(x: Tensor): Tensor {
  return withRows(x, rows => {
    const y = emptyLike(x, x.shape, isFloating(x.dtype) ? x.dtype : 'int64')
    native.cumsum(rows.handle, y.raw, false)
    return recorded(y, { name: 'cumsum', inputs: [rows] }, (dy, into) => { native.cumsum(dy, into(rows), true) })
  })
}
