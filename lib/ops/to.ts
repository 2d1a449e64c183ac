import { DTypeError } from '../errors.js'
import { recorded } from '../autograd/tape.js'
import { Device, device as deviceOf } from '../tensor/device.js'
import { type DType, dtypeId, dtypes } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { empty, type Tensor } from '../tensor/tensor.js'
import { cast, contiguous } from './copy.js'

/**
 * The values on another device, in another dtype, or both; `x` itself where neither differs. They go in the order of both devices' work, and nothing waits.
 * The gradient goes the other way.
 * @param where a device, its name, or a dtype   @throws DeviceError, DTypeError
 */
export function to(x: Tensor, where: string | Device, dtype?: DType): Tensor {
  if (typeof where === 'string') {
    if ((dtypes as readonly string[]).includes(where)) return cast(x, where as DType)
    if (!/^(cpu|cuda|auto)/.test(where)) throw new DTypeError(`to: '${where}' is neither a device nor a dtype (${dtypes.join(', ')})`)
  }
  return moved(dtype === undefined ? x : cast(x, dtype), deviceOf(where))
}

function moved(x: Tensor, device: Device): Tensor {
  if (x.device === device) return x
  const source = contiguous(x), y = empty(x.shape, x.dtype, device)
  native.transfer(source.handle, y.raw)
  recorded(y, { name: 'to', inputs: [x] }, (dy, into) => {
    const back = native.alloc(dtypeId(x.dtype), x.device.index, x.rank, ...x.shape)
    native.transfer(dy, back)
    native.copy(back, into(x))
    native.destroy(back)
  })
  if (source !== x) source.dispose()
  return y
}
