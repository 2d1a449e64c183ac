import { withRows } from './rows.js'
import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { generator } from '../tensor/random.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'

/**
 * Sets elements to 0 with probability `p` and divides the others by 1 - p. The mask follows from the seed (`manualSeed`), the step and the order of the calls.
 * Drops whenever p > 0: a module passes 0 outside of training.
 * @param x floating, any shape   @param p from 0 to 1, rounded to a multiple of 1/65536
 * @throws ConfigError if `p` is not in [0, 1]
 * @see Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
 */
export function dropout(x: Tensor, p: number): Tensor {
  if (p === 0) return x
  return withRows(x, rows => {
    const y = emptyLike(rows), rng = generator.tensor(x.device), call = generator.nextCall()
    native.dropout(rows.handle, y.raw, rng.handle, p, call)
    return recorded(y, { name: 'dropout', inputs: [rows], saved: [rng] }, (dy, into, [rng_]) => { native.dropout(dy, into(rows), rng_!, p, call) })
  })
}
