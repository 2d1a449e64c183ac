import { readFileSync } from 'node:fs'
import { describe, expect, jest, test } from '@jest/globals'
import { ConfigError, NumericsError } from '#lib/errors.js'
import { mul } from '#lib/ops/mul.js'
import { Trainer } from '#lib/train/trainer.js'
import type { TrainingOptions } from '#lib/train/index.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { bitsOf, tinyBatches, tinyModel, tinyTask } from './tinyTask.js'

// float16 with its loss scale: what a training that overflows does, learns, saves and refuses.

const at = temporaryFolder()
jest.setTimeout(60_000)
const options: TrainingOptions = { disableProgress: true, precision: 'float16', learningRate: 1e-2, maxSteps: 12, warmupSteps: 2, loggingSteps: 1, loggingFile: false }
const training = (more: TrainingOptions = {}, task: Parameters<typeof tinyTask>[2] = {}) => {
  const model = tinyModel({ dropout: 0.2 })
  return { model, trainer: new Trainer(model, tinyTask(model, tinyBatches(5), task), { ...options, ...more }) }
}
const logOf = (path: string) => readFileSync(path, 'utf8').trim().split('\n').map(line => JSON.parse(line) as Record<string, number>)
const scalesIn = (path: string) => logOf(path).map(({ lossScale }) => lossScale)

describe('a training in float16', () => {
  test('learns as in float32, with float32 weights', async () => {
    const half = training({ maxSteps: 200 }), full = training({ maxSteps: 200, precision: 'float32' })
    const [{ loss, skippedSteps }, expected] = [await half.trainer.train(), await full.trainer.train()]
    expect(Math.abs(loss - expected.loss)).toBeLessThan(0.02)
    expect(expected.loss).toBeLessThan(1)
    expect(skippedSteps).toBe(0)
    expect(half.model.parameters().every(p => p.dtype === 'float32')).toBe(true)
    expect(bitsOf(half.model)).not.toEqual(bitsOf(full.model))
  })

  test('halves a scale that overflows, leaves these steps out, and doubles it after enough good ones', async () => {
    const path = at('log.jsonl'), { trainer } = training({ initialLossScale: 2 ** 18, lossScaleGrowthInterval: 3, maxSteps: 14, loggingFile: path })
    const { skippedSteps } = await trainer.train(), scales = scalesIn(path).map(s => Math.log2(s!))
    // A wrong token's gradient is nearly the scale; float16 ends at 65504.
    expect(scales.slice(0, 2)).toEqual([17, 16])
    expect(skippedSteps).toBeGreaterThanOrEqual(2)
    const steps = scales.slice(1).map((s, i) => s - scales[i]!)
    expect(new Set(steps)).toEqual(new Set([-1, 0, 1]))
    expect(steps.filter(s => s < 0)).toHaveLength(skippedSteps - 1)   // the first is before the first entry
    expect(logOf(path).filter(({ gradNorm }) => gradNorm === null)).toHaveLength(skippedSteps)   // an infinity in JSON
  })

  test('is the same whatever the scale, as long as nothing is lost: powers of two round nothing', async () => {
    const one = training({ initialLossScale: 64 }), other = training({ initialLossScale: 512 })
    await one.trainer.train()
    await other.trainer.train()
    expect(bitsOf(other.model)).toEqual(bitsOf(one.model))
  })

  test.each([2, 5, 9])('resumed at step %i gives the same bits and the same scale', async k => {
    const scaled = { initialLossScale: 2 ** 17, lossScaleGrowthInterval: 2, saveSteps: 100 }
    const whole = training({ ...scaled, outputDir: at('whole'), loggingFile: at('whole.jsonl') }), stop = new AbortController()
    await whole.trainer.train()
    await training({ ...scaled, outputDir: at('parts'), signal: stop.signal, callbacks: { onStepEnd({ step }) { if (step === k) stop.abort() } } }).trainer.train()
    const state = JSON.parse(readFileSync(at('parts', `checkpoint-${k}`, 'trainer_state.json'), 'utf8')) as { lossScale: { scale: number } }
    expect(state.lossScale.scale).toBe(scalesIn(at('whole.jsonl'))[k - 1])
    const second = training({ ...scaled, outputDir: at('parts'), resumeFromCheckpoint: true })
    await second.trainer.train()
    expect(bitsOf(second.model)).toEqual(bitsOf(whole.model))
    const last = (folder: string) => (JSON.parse(readFileSync(at(folder, 'checkpoint-12', 'trainer_state.json'), 'utf8')) as { lossScale: object }).lossScale
    expect(last('parts')).toEqual(last('whole'))
  })

  test('stops at once where the loss itself is not finite, which no scale mends', async () => {
    const { model, trainer } = training({}, { loss: (batch, { labelSmoothing }) => mul(model.loss(batch as never, labelSmoothing), Infinity) })
    await expect(trainer.train()).rejects.toThrow(NumericsError)
    await expect(trainer.train()).rejects.toThrow(/^step 1: .*bfloat16/)
  })

  test('that overflows for ever ends with an error', async () => {
    const { model, trainer } = training({ maxSteps: 40 }, { loss: (batch, { labelSmoothing }) => {
      const loss = model.loss(batch as never, labelSmoothing)
      return mul(mul(loss, 1e-30), 1e30 * 3e38)   // its gradient is infinite at every scale that there is; itself it is large
    } })
    await expect(trainer.train()).rejects.toThrow(/20 times in a row|is Infinity|is NaN/)
  })
})

test('options of the loss scale are checked', () => {
  const refused = (more: object) => { const model = tinyModel(); try { new Trainer(model, tinyTask(model), more); return '' } catch (error) { expect(error).toBeInstanceOf(ConfigError); return (error as Error).message } }
  expect(refused({ precision: 'float16', initialLossScale: 3 })).toMatch(/initialLossScale is 3, expected a power of two/)
  expect(refused({ precision: 'float16', initialLossScale: 2 ** 25 })).toMatch(/initialLossScale/)
  expect(refused({ precision: 'float16', lossScaleGrowthInterval: 0 })).toMatch(/lossScaleGrowthInterval is 0/)
  expect(refused({ initialLossScale: 8 })).toMatch(/initialLossScale is for precision 'float16'/)
  expect(refused({ fp16: true, bf16: true })).toMatch(/bf16 and fp16/)
  expect(refused({ fp16: true, precision: 'bfloat16' })).toMatch(/fp16 is true and precision 'bfloat16'/)
  expect(refused({ fp16: true })).toBe('')
})
