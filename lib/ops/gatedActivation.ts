import { recorded } from '../autograd/tape.js'
import { native } from '../tensor/native.js'
import { emptyLike, type Tensor } from '../tensor/tensor.js'
import { gateActivations, type GateActivation } from './codes.js'

/**
 * activation(gate) · up: SwiGLU with 'silu', GEGLU with 'gelu'.
 * @param gate `[…, F]`   @param up `[…, F]`: often the two halves of one product (`split`)
 * @returns `[…, F]` in the dtype of `gate`
 * @throws ShapeError, DTypeError if sizes or dtypes differ
 * @see Shazeer 2020, https://arxiv.org/abs/2002.05202
 */
export function gatedActivation(gate: Tensor, up: Tensor, activation: GateActivation): Tensor {
  const y = emptyLike(gate), code = gateActivations[activation]
  native.gated(gate.handle, up.handle, y.raw, code)
  return recorded(y, { name: 'gatedActivation', inputs: [gate, up], saved: [gate, up] }, (dy, into, [gate_, up_]) => {
    if (gate !== up) { native.gatedBackward(dy, gate_!, up_!, into(gate), into(up), code); return }
    native.gatedBackward(dy, gate_!, up_!, into(gate), 0, code)
    native.gatedBackward(dy, gate_!, up_!, 0, into(up), code)
  })
}
