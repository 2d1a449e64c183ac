import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { backward } from '#lib/autograd/backward.js'
import { ConfigError } from '#lib/errors.js'
import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import { classOf, pretrainedClasses } from '#lib/models/registry.js'
import { tensor } from '#lib/tensor/create.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { autocast, noGrad, scope } from '#lib/tensor/scope.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'
import { takenGradients } from './gradients.js'
import { levels, recomputedPieces } from './recomputed.js'

// What every causal model does, whatever its family: a table of configurations goes through it.

type Options = Readonly<Record<string, unknown>>
export interface Kind { name: string, architecture: string, options: Options }

export const small: Options = {
  vocab_size: 23, hidden_size: 16, intermediate_size: 20, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 32, pad_token_id: 0,
  initializer_range: 0.3,
}
export function create(architecture: string, options: Options = {}): CausalLanguageModel {
  manualSeed(1)
  return pretrainedClasses.find(known => known.architecture === architecture)!.create({ ...small, ...options }) as CausalLanguageModel
}
export const ids = (...rows: number[][]): Tensor => tensor(rows, null, { dtype: 'int32' })
export const values = (x: Tensor): number[] => Array.from(x.dataSync() as Float32Array)

/** Logits of the last of some tokens. */
export const lastOf = (model: CausalLanguageModel, tokens: number[]): number[] => scope(() => noGrad(() => values(model.eval().forward(ids(tokens))).slice(-model.vocabSize)))
export const close = (a: readonly number[], b: readonly number[], within = 2e-5): void => {
  expect(a.length).toBe(b.length)
  expect(Math.max(...a.map((v, i) => Math.abs(v - b[i]!) / (1 + Math.abs(b[i]!))))).toBeLessThan(within)
}

const tokens = [1, 5, 9, 2, 7, 7, 3, 11, 4, 20]

/** Decoding, padding, recomputation, saving and loading of each kind. */
export function decoderTests(kinds: readonly Kind[]): void {
  describe.each(kinds)('$name', ({ architecture, options }) => {
    test('tokens one by one, and in pieces, give what all so far give at once', () => {
      const model = create(architecture, options)
      for (const sizes of [tokens.map(() => 1), [4, 1, 1, 4], [3, 7], [10]]) {
        scope(() => noGrad(() => {
          const state = model.prepare()
          let end = 0
          for (const size of sizes) {
            const logits = model.decode(ids(tokens.slice(end, end += size)), state)
            close(values(logits), lastOf(model, tokens.slice(0, end)))
          }
          state.dispose()
        }))
      }
      model.dispose()
    })

    test('prompts padded on the left, rows exchanged on the way, go on as each alone does', () => {
      const model = create(architecture, options), first = [1, 5, 9, 2, 7], second = [4, 8]
      const before = memory().tensors
      scope(() => noGrad(() => {
        const state = model.prepare({ attentionMask: ids([1, 1, 1, 1, 1], [0, 0, 0, 1, 1]) })
        model.decode(ids(first, [0, 0, 0, ...second]), state)
        state.reorder(tensor(Int32Array.of(1, 0)))
        let logits: Tensor | undefined
        for (const more of [3, 6, 11, 2]) logits = model.decode(ids([more], [more]), state)
        const rows = values(logits!)
        const end = (start: number[]): number[] => lastOf(model, [...start, 3, 6, 11, 2])
        if (!/longrope/.test(JSON.stringify(options))) close(rows.slice(0, model.vocabSize), end(second))   // its angles are those of the longest row
        close(rows.slice(model.vocabSize), end(first))
        state.dispose()
      }))
      expect(memory().tensors).toBeLessThanOrEqual(before + 2)   // tables of positions, which grow with the first sequence
      model.dispose()
    })

    test('in bfloat16 layers add up in float32, and every weight gets a gradient', () => {
      const model = create(architecture, options).eval(), gradients = ['float32', 'bfloat16'].map(precision => {
        scope(() => {
          autocast(precision as 'float32' | 'bfloat16', () => {
            expect(model.decoder.forward(ids(tokens)).dtype).toBe('float32')
            expect(model.forward(ids(tokens)).dtype).toBe(precision)
            backward(model.loss({ ids: ids(tokens), labels: ids(tokens) }))
          })
        })
        return takenGradients(model)
      })
      expect(gradients[1]).toEqual(gradients[0])
      model.dispose()
    })

    test('padding that the mask names changes nothing for the tokens before it', () => {
      const model = create(architecture, options).eval()
      const padded = scope(() => noGrad(() => values(model.forward(ids([4, 8, 2, 6, 6, 6]), { attentionMask: ids([1, 1, 1, 0, 0, 0]) }))))
      close(padded.slice(2 * model.vocabSize, 3 * model.vocabSize), lastOf(model, [4, 8, 2]))
      model.dispose()
    })

    test('recomputed layers give the same gradients, each parameter has one, and a pass leaves nothing', () => {
      const gradients = levels.map(on => {
        const model = create(architecture, options), batch = { ids: ids([1, 2, 3, 4]), labels: ids([2, 3, 4, -100]) }
        model.activationCheckpointing = on
        let pieces = 0
        const step = () => { scope(() => { const loss = model.loss(batch); pieces = recomputedPieces(loss); backward(loss) }) }
        step()
        expect(pieces).toBe(on ? model.decoder.layerCount : 0)
        const found = model.parameters().map(p => values(p.grad!)), before = memory().tensors
        step()
        expect(memory().tensors).toBe(before)
        model.dispose()
        for (const t of Object.values(batch)) t.dispose()
        return found
      })
      for (const other of gradients.slice(1)) expect(other).toEqual(gradients[0])
    })

    test('saved and loaded, it is the same class and computes the same', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'warpweft-decoder-')), model = create(architecture, options)
      try {
        await saveModel(join(folder, 'model'), model)
        const { model: loaded, config } = await loadModel(join(folder, 'model'))
        expect(config['architectures']).toEqual([architecture])
        expect(config['model_type']).toBe(classOf(model)!.modelType)
        expect(lastOf(loaded as CausalLanguageModel, tokens)).toEqual(lastOf(model, tokens))
        loaded.dispose()
      } finally {
        rmSync(folder, { recursive: true })
        model.dispose()
      }
    })
  })
}

/** Configurations that are refused, and what is said. */
export function refusalTests(architecture: string, cases: readonly (readonly [name: string, options: Options, message: RegExp])[]): void {
  test.each(cases)(`${architecture}: %s is a clear error`, (_, options, message) => {
    expect(() => create(architecture, options)).toThrow(ConfigError)
    expect(() => create(architecture, options)).toThrow(message)
  })
}
