import { expect } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { generate } from '#lib/generate/generate.js'
import type { Seq2SeqLanguageModel } from '#lib/models/encoderDecoder.js'
import { AdamW } from '#lib/optim/adamW.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { takenGradients } from './gradients.js'
import { levels, recomputedPieces } from './recomputed.js'

// What every model with an encoder and a decoder has to do, whatever its family.

export const ids = (...rows: number[][]): Tensor => tensor(rows, null, { dtype: 'int32' })
export const values = (t: Tensor): number[] => Array.from(t.dataSync() as Float32Array)
export const farthest = (a: readonly number[], b: readonly number[]): number => Math.max(...a.map((v, i) => Math.abs(v - b[i]!)))
export const inference = <T>(fn: () => T): T => scope(() => noGrad(fn))

/** Tokens one by one, and in two pieces, give what all at once give; rows change places and numbers; nothing is left behind. */
export function decodesAsItPredicts(model: Seq2SeqLanguageModel): void {
  model.eval()
  const source = [[5, 9, 2, 7, 3], [8, 4, 6, 1, 1]], mask = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], target = [[4, 6, 9, 2], [4, 3, 3, 8]], V = model.vocabSize
  const all = inference(() => values(model.forward(ids(...source), ids(...target), { sourceMask: ids(...mask) })))
  const before = memory().tensors
  for (const pieces of [[1, 1, 1, 1], [3, 1]]) {
    inference(() => {
      const state = model.prepare({ source: ids(...source), attentionMask: ids(...mask) })
      let last: number[] = [], at = 0
      for (const n of pieces) {
        last = values(model.decode(ids(...target.map(row => row.slice(at, at + n))), state))
        at += n
      }
      for (const row of [0, 1]) expect(farthest(last.slice(row * V, (row + 1) * V), all.slice((4 * row + 3) * V, (4 * row + 4) * V))).toBeLessThan(2e-5)
      state.dispose()
    })
  }
  inference(() => {   // the rows change places before the last token, and one comes twice
    const state = model.prepare({ source: ids(...source), attentionMask: ids(...mask) })
    model.decode(ids(...target.map(row => row.slice(0, 3))), state)
    state.reorder(tensor(Int32Array.of(1, 0, 1)))
    const last = values(model.decode(ids([8], [2], [8]), state))
    for (const [i, row] of [1, 0, 1].entries()) expect(farthest(last.slice(i * V, (i + 1) * V), all.slice((4 * row + 3) * V, (4 * row + 4) * V))).toBeLessThan(2e-5)
    state.dispose()
  })
  expect(memory().tensors).toBe(before)
}

/** In half precision encoder and decoder add up in float32, and every weight that has a gradient has one. */
export function addsUpInFloat32(model: Seq2SeqLanguageModel): void {
  const batch = { source: ids([5, 9, 2, 7], [3, 8, 8, 7]), labels: ids([4, 6, 2], [9, 2, -100]) }
  const found = (['float32', 'bfloat16'] as const).map(precision => {
    scope(() => {
      autocast(precision, () => {
        expect(model.encoder.forward(batch.source).dtype).toBe('float32')
        expect(model.decoder.states(ids([4, 6]), { memory: model.encoder.forward(ids([5, 9])) }).dtype).toBe('float32')
        expect(model.forward(batch.source, ids([4, 6, 2], [9, 2, 1])).dtype).toBe(precision)
        backward(model.loss(batch))
      })
    })
    return takenGradients(model)
  })
  expect(found[1]).toEqual(found[0])
}

/** Padding that masks name changes nothing for the tokens beside it, of source or target. */
export function ignoresPadding(model: Seq2SeqLanguageModel): void {
  model.eval()
  const alone = inference(() => values(model.forward(ids([5, 9, 2]), ids([4, 6]))))
  const padded = inference(() => values(model.forward(ids([5, 9, 2, 7, 7]), ids([4, 6, 7]), { sourceMask: ids([1, 1, 1, 0, 0]), targetMask: ids([1, 1, 0]) })))
  const unmasked = inference(() => values(model.forward(ids([5, 9, 2, 7, 7]), ids([4, 6, 7]))))
  expect(farthest(alone, padded)).toBeLessThan(2e-5)
  expect(farthest(alone, unmasked)).toBeGreaterThan(1e-3)
}

/** Layers that are computed again give the gradients of those that are kept, with dropout too, and a step leaves nothing. */
export function recomputes(make: () => Seq2SeqLanguageModel, seed: () => void): void {
  const batch = { source: ids([5, 9, 2, 7], [3, 8, 8, 7]), sourceMask: ids([1, 1, 1, 1], [1, 1, 1, 0]), labels: ids([4, 6, 2], [9, 2, -100]) }
  const gradients = levels.map(on => {
    const model = make().train()
    model.activationCheckpointing = on
    seed()
    scope(() => {
      const loss = model.loss(batch), pieces = recomputedPieces(loss)
      expect(on ? pieces > 1 : pieces === 0).toBe(true)
      backward(loss)
    })
    const found = new Map([...model.namedParameters()].flatMap(([name, p]) => p.grad ? [[name, values(p.grad)] as const] : [])), before = memory().tensors
    scope(() => { backward(model.loss(batch)) })
    expect(memory().tensors).toBe(before)
    model.dispose()
    return found
  })
  expect(gradients[0]!.size).toBeGreaterThan(10)
  for (const other of gradients.slice(1)) expect(other).toEqual(gradients[0])
  for (const t of Object.values(batch)) t.dispose()
}

/** A few steps on four pairs end in a model that writes them. */
export async function learns(model: Seq2SeqLanguageModel, start: number, end: number): Promise<void> {
  const source = [[5, 9, 2], [8, 3, 2], [6, 6, 2], [9, 4, 2]], targets = [[7, 8, end], [5, 5, end], [9, 6, end], [4, 7, end]]
  const batch = { source: ids(...source), labels: ids(...targets) }, optimizer = new AdamW(model, { learningRate: 0.01, weightDecay: 0 })
  const losses: number[] = []
  model.train()
  for (let step = 0; step < 60; step++) {
    scope(() => {
      const loss = model.loss(batch)
      backward(loss)
      losses.push(values(loss)[0]!)
    })
    optimizer.step()
    model.zeroGrad()
  }
  expect(losses.at(-1)!).toBeLessThan(0.2 * losses[0]!)
  for (const options of [{}, { numBeams: 2 }]) {
    const { newTokens } = await generate(model, source, { decoderStartTokenId: start, eosTokenId: end, padTokenId: 1, maxNewTokens: 6, ...options })
    expect(newTokens).toEqual(targets)
  }
  for (const t of Object.values(batch)) t.dispose()
}
