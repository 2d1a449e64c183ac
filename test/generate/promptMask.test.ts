import { expect, test } from '@jest/globals'
import { PromptMask } from '#lib/nn/promptMask.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { scope } from '#lib/tensor/scope.js'

const ints = (t: { dataSync(): unknown }): number[] => Array.from(t.dataSync() as Int32Array)

test('positions count the tokens before, through prompt, growth and reordering; padding stands at 0 and is hidden', () => {
  const before = memory()
  scope(() => {
    const mask = new PromptMask(tensor([[0, 0, 1], [1, 1, 1]], null, { dtype: 'bool' }))
    const prompt = mask.next(3)
    expect(ints(prompt.keyPadding)).toEqual([0, 0, 1, 1, 1, 1])
    expect(ints(prompt.positions)).toEqual([0, 0, 0, 0, 1, 2])
    expect(ints(mask.next(1).positions)).toEqual([1, 3])
    mask.reorder(tensor([1, 0, 0], null, { dtype: 'int32' }))
    for (let t = 2; t < 150; t++) expect(ints(mask.next(1).positions)).toEqual([t + 2, t, t])   // beyond the room it begins with
    expect(ints(mask.next(2).positions)).toEqual([152, 153, 150, 151, 150, 151])
    const { keyPadding } = mask.next(1)
    expect(keyPadding.shape).toEqual([3, 155])
    expect(ints(keyPadding).reduce((a, b) => a + b)).toBe(155 + 2 * 153)
    mask.dispose()
  })
  expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes })
})
