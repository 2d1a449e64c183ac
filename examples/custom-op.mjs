// A differentiable function with a gradient of one's own, checked against finite differences, and what the check says where the gradient is wrong.
// Run it with: node examples/custom-op.mjs
import { AutogradError, backward, customOp, gradcheck, ops, scope, tensor } from 'warpweft'

/**
 * Mish, y = x tanh(softplus(x)) (Misra 2019, https://arxiv.org/abs/1908.08681).
 * Nothing inside is recorded: only x and y are kept for the backward pass, not the steps between.
 */
const mish = customOp({
  name: 'mish',
  forward: ([x]) => ops.mul(x, ops.tanh(ops.softplus(x))),
  // dy/dx = t + x (1 - t^2) sigmoid(x), with t = tanh(softplus(x)); the gradients come in the order of the inputs.
  backward: (dy, [x]) => {
    const t = ops.tanh(ops.softplus(x))
    return [ops.mul(dy, ops.add(t, ops.mul(ops.mul(x, ops.sub(1, ops.square(t))), ops.sigmoid(x))))]
  },
})

/** The same with the second term forgotten. */
const wrong = customOp({
  name: 'wrongMish',
  forward: ([x]) => ops.mul(x, ops.tanh(ops.softplus(x))),
  backward: (dy, [x]) => [ops.mul(dy, ops.tanh(ops.softplus(x)))],
})

await scope(async () => {
  const x = tensor([[-3, -1, -0.5], [0, 0.5, 2]], null, { requiresGrad: true })

  const y = mish([x])
  console.log('mish:', Array.from(await y.data(), v => v.toFixed(4)).join(' '))
  backward(ops.sum(y))
  console.log('gradient:', Array.from(await x.grad.data(), v => v.toFixed(4)).join(' '))

  await gradcheck(x => mish([x]), [x])
  console.log('gradcheck: the gradient of mish is right')
  try {
    await gradcheck(x => wrong([x]), [x])
    console.log('gradcheck: nothing was found')
  } catch (error) {
    if (!(error instanceof AutogradError)) throw error
    console.log(`gradcheck: ${error.code}: ${error.message}`)
  }
})
