import { readFileSync } from 'node:fs'
import { describe, expect, jest, test } from '@jest/globals'
import { ConfigError, NumericsError, ShapeError } from '#lib/errors.js'
import { SGD } from '#lib/optim/sgd.js'
import { backward } from '#lib/autograd/backward.js'
import { memory } from '#lib/tensor/device.js'
import { manualSeed } from '#lib/tensor/random.js'
import { scope } from '#lib/tensor/scope.js'
import { mul } from '#lib/ops/mul.js'
import type { LogEntry, TrainingOptions, TrainingTask } from '#lib/train/index.js'
import { Trainer } from '#lib/train/trainer.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { bitsOf, tinyBatches, tinyModel, tinyTask, type TinyBatch } from './tinyTask.js'

const at = temporaryFolder()
// Saves wait for the disk, which other tests use as well.
jest.setTimeout(60_000)
const quiet: TrainingOptions = { disableProgress: true, learningRate: 1e-2 }
const entriesOf = (path: string): LogEntry[] => readFileSync(path, 'utf8').trim().split('\n').map(line => JSON.parse(line) as LogEntry)

describe('training', () => {
  test('learns, and says so in the log', async () => {
    const model = tinyModel({ dropout: 0.1 })
    const result = await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 150, loggingSteps: 50, loggingFile: at('log.jsonl') }).train()
    expect(result).toMatchObject({ step: 150, stopReason: 'maxSteps', interrupted: false, skippedSteps: 0 })
    const entries = entriesOf(at('log.jsonl'))
    expect(entries.map(entry => entry.step)).toEqual([50, 100, 150])
    expect(entries[0]!.loss).toBeGreaterThan(entries[1]!.loss!)
    expect(entries[2]!.loss).toBeLessThan(0.8)
    expect(result.loss).toBe(entries[2]!.loss)
    for (const entry of entries) for (const name of ['epoch', 'learningRate', 'gradNorm', 'tokensPerSecond', 'memoryPeakBytes']) expect(entry[name]).toBeGreaterThanOrEqual(0)
  })

  test('logs the rate of the schedule, and the loss a target token', async () => {
    const model = tinyModel({ dropout: 0 }), batches = tinyBatches(3)
    const expected = scope(() => batches.map(batch => ({ sum: model.loss(batch).itemSync(), tokens: batch.ids.length })))
    // So small a rate changes no bit of a weight.
    const options = { ...quiet, maxSteps: 4, learningRate: 1e-30, warmupSteps: 2, loggingSteps: 1, loggingFile: at('log.jsonl'), lrSchedulerType: 'linear' as const }
    await new Trainer(model, tinyTask(model, batches), options).train()
    expect(entriesOf(at('log.jsonl')).map(entry => entry.loss)).toEqual([0, 1, 2, 0].map(i => expected[i]!.sum / expected[i]!.tokens))
    await new Trainer(model, tinyTask(model, batches), { ...options, learningRate: 0.5 }).train()
    expect(entriesOf(at('log.jsonl')).map(entry => entry.learningRate)).toEqual([0, 0.25, 0.5, 0.25])
  })

  test('weighs every target token of an accumulated step alike, whatever batch it is in', async () => {
    const [a, b] = [{ ids: [1, 2, 3, 4, 5, 6, 7], labels: [2, 3, 4, 5, 6, 7, 8] }, { ids: [9], labels: [3] }]
    const model = tinyModel({ dropout: 0 }), reference = tinyModel({ dropout: 0 })
    const optimizer = new SGD(model, { learningRate: 1 })
    await new Trainer(model, tinyTask(model, [a, b]), { ...quiet, maxSteps: 1, gradientAccumulationSteps: 2, learningRate: 1, lrSchedulerType: 'constant', optimizer, maxGradNorm: 0 }).train()
    scope(() => { backward(mul(reference.loss({ ids: [...a.ids, ...b.ids], labels: [...a.labels, ...b.labels] }), 1 / 8)) })
    for (const [name, p] of reference.stateDict()) {
      const before = p.dataSync() as Float32Array, gradient = p.grad!.dataSync() as Float32Array, after = model.stateDict().get(name)!.dataSync() as Float32Array
      const largest = Math.max(...gradient.map(Math.abs))
      after.forEach((value, i) => { expect(Math.abs(value - (before[i]! - gradient[i]!))).toBeLessThan(1e-5 * Math.max(1, largest)) })
    }
    reference.zeroGrad()
  })

  test('takes as many steps as epochs have batches, and reports the gradient norm before clipping', async () => {
    const model = tinyModel()
    const result = await new Trainer(model, tinyTask(model, tinyBatches(5)), { ...quiet, numTrainEpochs: 2, gradientAccumulationSteps: 2, maxGradNorm: 1e-3, loggingSteps: 1, loggingFile: at('log.jsonl') }).train()
    expect(result).toMatchObject({ step: 5, epoch: 2 })
    expect(entriesOf(at('log.jsonl'))[0]!.gradNorm).toBeGreaterThan(0.1)
  })

  test('gives the same bits for the same seed, and others for another', async () => {
    const trained = async (seed: number) => {
      const model = tinyModel({ dropout: 0.5 })
      await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 12, seed }).train()
      return bitsOf(model)
    }
    const first = await trained(5)
    expect(await trained(5)).toEqual(first)
    expect(await trained(6)).not.toEqual(first)
  })

  test('leaves counts and bytes of tensors where they were after 500 steps', async () => {
    const model = tinyModel(), task = tinyTask(model, tinyBatches(7), { evaluationBatches: tinyBatches(2) })
    const marks: { tensors: number, bytes: number }[] = []
    const callbacks = { onStepEnd({ step }: { step: number }) {
      if (step % 100 !== 0) return
      const { tensors, bytes } = memory()
      marks.push({ tensors, bytes })
    } }
    const before = memory()
    await new Trainer(model, task, { ...quiet, maxSteps: 500, gradientAccumulationSteps: 2, evalSteps: 125, callbacks, emaDecay: 0.9 }).train()
    expect(marks).toHaveLength(5)
    // Two steps may be on their way to the host at any moment. Less than before is no leak: the garbage collector may take what other tests left.
    for (const mark of marks) expect(mark.tensors - marks[0]!.tensors).toBeLessThanOrEqual(8)
    expect(marks[4]!.bytes - marks[1]!.bytes).toBeLessThan(4096)
    manualSeed(0)   // the generator lets go of the tensor that it has made for dropout
    expect(memory().tensors).toBeLessThanOrEqual(before.tensors)
    expect(memory().bytes).toBeLessThanOrEqual(before.bytes)
  })

  test('never waits for the step that it has just queued, and is never more than two steps ahead', async () => {
    const model = tinyModel(), known: number[] = []
    let logged = 0
    const callbacks = { onLog({ entry }: { entry: LogEntry }) { logged = entry.step! }, onStepEnd({ step }: { step: number }) { known[step] = logged } }
    await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 12, loggingSteps: 1, callbacks }).train()
    expect(known.slice(1)).toEqual([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test('leaves the event loop free, however short the steps are', async () => {
    const model = tinyModel()
    let fired = 0, longest = 0, last = performance.now()
    const timer = setInterval(() => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
      fired++
    }, 5)
    await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 1_000_000, maxTime: 0.5 }).train()
    clearInterval(timer)
    expect(fired).toBeGreaterThan(10)
    expect(longest).toBeLessThan(250)
  })

  test('uses the averages of the weights for evaluation and for the result', async () => {
    const model = tinyModel({ dropout: 0 }), plain = tinyModel({ dropout: 0 }), options = { ...quiet, maxSteps: 3, lrSchedulerType: 'constant' as const }
    const start = bitsOf(model)
    const first = model.embedding.weight.dataSync().slice() as Float32Array, history: Float32Array[] = []
    // The weights after each step of the same training without averages.
    for (let steps = 1; steps <= 3; steps++) {
      const other = tinyModel({ dropout: 0 })
      await new Trainer(other, tinyTask(other), { ...options, maxSteps: steps }).train()
      history.push(other.embedding.weight.dataSync() as Float32Array)
    }
    await new Trainer(model, tinyTask(model), { ...options, emaDecay: 0.5 }).train()
    expect(bitsOf(plain)).toEqual(start)
    const averaged = model.embedding.weight.dataSync() as Float32Array
    averaged.forEach((value, i) => {
      let expected = first[i]!
      for (const weights of history) expected = 0.5 * expected + 0.5 * weights[i]!
      expect(value).toBeCloseTo(expected, 5)
    })
  })

  test('runs callbacks in order, waits for them, and stops when one asks', async () => {
    const model = tinyModel(), seen: string[] = []
    const slow = async (line: string) => { await new Promise(done => setTimeout(done, 2)); seen.push(line) }
    const result = await new Trainer(model, tinyTask(model, tinyBatches(7), { evaluationBatches: tinyBatches(2) }), {
      ...quiet, maxSteps: 100, loggingSteps: 2, evalSteps: 3, saveSteps: 2, outputDir: at('out'),
      callbacks: [{
        onTrainBegin: () => slow('begin'), onStepEnd: ({ step, stop }) => { if (step === 4) stop(); return slow(`step ${step}`) },
        onEvaluate: ({ step, isBest, metrics }) => slow(`evaluate ${step} ${isBest} ${Object.keys(metrics).join(' ')}`), onSave: ({ step }) => slow(`save ${step}`),
        onLog: ({ entry }) => slow(`log ${entry.step}`), onTrainEnd: ({ result }) => slow(`end ${result.step}`),
      }],
    }).train()
    expect(result).toMatchObject({ step: 4, stopReason: 'callback', interrupted: false })
    expect(seen).toEqual([
      'begin', 'step 1', 'step 2', 'log 2', 'save 2', 'step 3', 'log 3', 'evaluate 3 true loss perplexity', 'step 4', 'log 4', 'save 4', 'log 4', 'evaluate 4 true loss perplexity', 'save 4', 'end 4',
    ])
  })

  test('stops when the time is over', async () => {
    const model = tinyModel()
    const result = await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 1_000_000, maxTime: 0.2 }).train()
    expect(result.stopReason).toBe('maxTime')
    expect(result.step).toBeGreaterThan(0)
  })
})

describe('a gradient that is not a number', () => {
  /** NaN at micro-steps that `bad` names, counted from 0. */
  const failing = (bad: (batch: number) => boolean) => {
    const model = tinyModel()
    let batch = 0
    const loss = (batch_: Parameters<typeof model.loss>[0]) => bad(batch++) ? mul(model.loss(batch_), NaN) : model.loss(batch_)
    return { model, task: tinyTask(model, tinyBatches(7), { loss }) }
  }

  test('ends the training by default, before it touches the weights', async () => {
    const { model, task } = failing(batch => batch >= 3)
    const options = { ...quiet, maxSteps: 20, lrSchedulerType: 'constant' as const }
    await expect(new Trainer(model, task, options).train()).rejects.toThrow(NumericsError)
    const three = tinyModel()
    await new Trainer(three, tinyTask(three), { ...options, maxSteps: 3 }).train()
    expect(bitsOf(model)).toEqual(bitsOf(three))
  })

  test('names the step and what to do', async () => {
    const { model, task } = failing(batch => batch === 3)
    await expect(new Trainer(model, task, { ...quiet, maxSteps: 20 }).train()).rejects.toThrow(/step 4: the norm of the gradient is NaN.*learningRate.*nanPolicy/)
  })

  test('is left out with nanPolicy skip, and counted', async () => {
    const { model, task } = failing(batch => batch === 3 || batch === 5)
    const result = await new Trainer(model, task, { ...quiet, maxSteps: 10, nanPolicy: 'skip', loggingSteps: 10, loggingFile: at('log.jsonl') }).train()
    expect(result).toMatchObject({ step: 10, skippedSteps: 2 })
    expect(result.loss).toBeGreaterThan(0)
    expect(entriesOf(at('log.jsonl'))[0]).toMatchObject({ skippedSteps: 2 })
    for (const p of model.parameters()) expect(p.dataSync().every(Number.isFinite)).toBe(true)
  })

  test('ends the training all the same when it stays', async () => {
    const { model, task } = failing(batch => batch >= 3)
    await expect(new Trainer(model, task, { ...quiet, maxSteps: 500, nanPolicy: 'skip' }).train()).rejects.toThrow(/20 times in a row/)
  })
})

describe('evaluation', () => {
  /** A task whose metric takes the given values one after the other. */
  const scored = (values: number[], name = 'score') => {
    const model = tinyModel()
    return { model, task: tinyTask(model, tinyBatches(7), { evaluate: () => ({ [name]: values.shift() ?? 0 }) }) }
  }

  test('gives loss and perplexity without dropout, label smoothing, or a trace in the training', async () => {
    const model = tinyModel({ dropout: 0.5 }), other = tinyModel({ dropout: 0.5 }), held = tinyBatches(5, { seed: 9 })
    const options = { ...quiet, maxSteps: 6, labelSmoothingFactor: 0.1 }
    const result = await new Trainer(model, tinyTask(model, tinyBatches(7), { evaluationBatches: held }), { ...options, evalSteps: 2 }).train()
    await new Trainer(other, tinyTask(other), options).train()
    expect(bitsOf(model)).toEqual(bitsOf(other))
    expect(model.training && model.dropout.training).toBe(true)
    model.eval()
    const sum = scope(() => held.reduce((total, batch) => total + model.loss(batch).itemSync(), 0)), tokens = held.reduce((n, batch) => n + batch.ids.length, 0)
    expect(result.metrics!.loss).toBeCloseTo(sum / tokens, 10)
    expect(result.metrics!.perplexity).toBeCloseTo(Math.exp(sum / tokens), 8)
  })

  test('ends the training with the weights of the best one', async () => {
    const { model, task } = scored([1, 5, 2, 3, 1])
    const best = tinyModel()
    const options = { ...quiet, maxSteps: 10, evalSteps: 2, metricForBestModel: 'score', lrSchedulerType: 'constant' as const }
    const result = await new Trainer(model, task, { ...options, loadBestModelAtEnd: true, outputDir: at('out'), saveTotalLimit: 1 }).train()
    expect(result.best).toEqual({ metric: 'score', value: 5, step: 4 })
    expect(result.bestCheckpoint).toBe(at('out', 'checkpoint-4'))
    await new Trainer(best, tinyTask(best), { ...quiet, maxSteps: 4, lrSchedulerType: 'constant' }).train()
    expect(bitsOf(model)).toEqual(bitsOf(best))
  })

  test('stops early when patience is over', async () => {
    const { model, task } = scored([3, 2, 2.5, 2.1, 1])
    const result = await new Trainer(model, task, { ...quiet, maxSteps: 50, evalSteps: 2, metricForBestModel: 'eval_score', greaterIsBetter: false, earlyStoppingPatience: 2 }).train()
    expect(result).toMatchObject({ stopReason: 'earlyStopping', step: 8, best: { value: 2, step: 4 } })
  })

  test('drives the schedules that follow a metric', async () => {
    const { model, task } = scored([1, 2, 3, 4, 5, 6], 'loss')
    await new Trainer(model, task, {
      ...quiet, maxSteps: 6, evalSteps: 1, lrSchedulerType: 'reduce_lr_on_plateau', lrSchedulerKwargs: { patience: 1, factor: 0.5 }, learningRate: 0.8, loggingSteps: 1, loggingFile: at('log.jsonl'),
    }).train()
    expect(entriesOf(at('log.jsonl')).filter(entry => 'loss' in entry).map(entry => entry.learningRate)).toEqual([0.8, 0.8, 0.8, 0.4, 0.4, 0.2])
  })

  test('that lacks the metric asked for says which there are', async () => {
    const { model, task } = scored([1])
    await expect(new Trainer(model, task, { ...quiet, maxSteps: 4, evalSteps: 2, metricForBestModel: 'bleu' }).train()).rejects.toThrow(/'bleu'.*gives score.*predictWithGenerate/)
  })
})

test('a metric that is known not to come is told before the first step', async () => {
  const model = tinyModel(), held = tinyBatches(2, { seed: 9 })
  let steps = 0
  const begun = (metricForBestModel: string, more: Partial<TrainingTask<TinyBatch>> = {}) => new Trainer(model, tinyTask(model, tinyBatches(3), { evaluationBatches: held, ...more }),
    { ...quiet, maxSteps: 2, metricForBestModel, callbacks: { onStepEnd() { steps++ } } }).train()
  await expect(begun('bleu')).rejects.toThrow(/'bleu', but the evaluation gives loss, perplexity\. Take one of these, or say predictWithGenerate: true/)
  await expect(begun('wer', { evaluate: () => ({ cer: 1 }), metricNames: ['cer'] })).rejects.toThrow(/gives loss, perplexity, cer\./)
  expect(steps).toBe(0)
  expect(await begun('cer', { evaluate: () => ({ cer: 1 }), metricNames: ['cer'] })).toMatchObject({ step: 2, best: { metric: 'cer' } })
})

describe('options', () => {
  const model = tinyModel(), task = tinyTask(model)
  const refused = (options: object) => { try { new Trainer(model, task, options); return '' } catch (error) { expect(error).toBeInstanceOf(ConfigError); return (error as Error).message } }

  test('that are unknown are refused with the known ones, and the one that was meant', () => {
    expect(refused({ warmup_steps: 3 })).toMatch(/unknown option warmup_steps \(do you mean warmupSteps\?\).*Known are .*maxGradNorm/)
    expect(refused({ learningrate: 1 })).toContain('do you mean learningRate?')
    expect(refused({ perDeviceTrainBatchSize: 8 })).toContain('belong to the data')
    expect(refused({ colour: 1 })).not.toContain('mean')
  })

  test.each([
    [{ maxSteps: 0 }, /maxSteps is 0, expected a whole number >= 1/], [{ learningRate: NaN }, /learningRate is NaN/], [{ nanPolicy: 'ignore' }, /'stop'|stop, skip/],
    [{ lrSchedulerType: 'lineer' }, /linear/], [{ seed: 1.5 }, /seed is 1.5/], [{ optim: 'lion' }, /adamw/], [{ signal: {} }, /AbortSignal/],
    [{ maxSteps: 0, saveSteps: -1 }, /maxSteps.*saveSteps/],
  ])('of a bad value are refused: %p', (options, message) => { expect(refused(options)).toMatch(message) })

  test.each([
    [{ bf16: true, precision: 'float32' }, /bf16/], [{ evalStrategy: 'steps' }, /evalSteps/], [{ loadBestModelAtEnd: true }, /outputDir/],
    [{ earlyStoppingPatience: 2 }, /evalSteps/], [{ gradientCheckpointingLevel: 'attention' }, /needs gradientCheckpointing/], [{ resumeFromCheckpoint: true }, /outputDir/], [{ outputDir: 'x', overwriteOutputDir: true, resumeFromCheckpoint: true }, /overwriteOutputDir/],
  ])('that contradict each other are refused: %p', (options, message) => { expect(refused(options)).toMatch(message) })

  test('given as undefined are as if left out', () => { expect(refused({ maxSteps: undefined, outputDir: undefined })).toBe('') })

  test('that need what the data or the model lacks are refused before the first step', async () => {
    const begun = (options: TrainingOptions) => new Trainer(model, task, { ...quiet, maxSteps: 2, ...options }).train()
    await expect(begun({ evalSteps: 2 })).rejects.toThrow(/validation data/)
    await expect(begun({ lrSchedulerType: 'greedy' })).rejects.toThrow(/validation data/)
    await expect(begun({ gradientCheckpointing: true })).rejects.toThrow(/activationCheckpointing/)
    await expect(begun({ optimArgs: { momentum: 0.9 } })).rejects.toThrow(/'sgd'/)
    await expect(begun({ optim: 'sgd', optimArgs: { momentun: 0.9 } })).rejects.toThrow(/momentun.*momentum/)
    await expect(begun({ lrSchedulerType: 'constant', warmupSteps: 5 })).rejects.toThrow(/warm-up/)
  })

  test('of the task are checked as well', async () => {
    expect(() => new Trainer(model, {} as never)).toThrow(/translationData/)
    expect(() => new Trainer({} as never, task)).toThrow(/Module/)
    const mean = tinyTask(model, tinyBatches(3), { loss: () => model.output.weight })
    await expect(new Trainer(model, mean, { ...quiet, maxSteps: 1 }).train()).rejects.toThrow(ShapeError)
    await expect((async () => new Trainer(model, tinyTask(model, []), quiet).train())()).rejects.toThrow(/no batches/)
  })
})
