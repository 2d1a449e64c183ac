import { expect, test } from '@jest/globals'
import { noGrad, tensor, Tensor } from '#lib/index.js'

test('importing the package gives tensors their methods', async () => {
  const t = tensor([1, 2, 3], null, { requiresGrad: true })
  expect(t).toBeInstanceOf(Tensor)
  t.mul(t).sum().backward()
  expect(await t.grad!.data()).toEqual(Float32Array.of(2, 4, 6))
  expect(await noGrad(() => t.reshape([3, 1]).transpose(0, 1)).data()).toEqual(Float32Array.of(1, 2, 3))
})
