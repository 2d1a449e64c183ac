import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, jest, test } from '@jest/globals'
import { CheckpointError, ConfigError } from '#lib/errors.js'
import { SGD } from '#lib/optim/sgd.js'
import { listCheckpoints, type TrainingOptions } from '#lib/train/index.js'
import { Trainer } from '#lib/train/trainer.js'
import { temporaryFolder } from '../io/temporaryFolder.js'
import { bitsOf, tinyBatches, tinyModel, tinyTask } from './tinyTask.js'
import { interruptedTraining, trainingOptions, type Arguments } from './trainingProcess.js'

const at = temporaryFolder()
// Saves wait for the disk, which other tests use as well.
jest.setTimeout(60_000)
const quiet: TrainingOptions = { disableProgress: true, learningRate: 1e-2 }

/** Everything that a training leaves behind and that must not depend on where it was interrupted. */
function traces(outputDir: string) {
  const last = `${outputDir}/checkpoint-${trainingOptions.maxSteps}`
  const state = JSON.parse(readFileSync(`${last}/trainer_state.json`, 'utf8')) as { totals: { seconds: number }, log: { window: { seconds: number }, position: number } }
  state.totals.seconds = state.log.window.seconds = state.log.position = 0
  const log = readFileSync(`${outputDir}/training_log.jsonl`, 'utf8').trim().split('\n').map(line => {
    const { step, loss, learningRate, gradNorm, evalLoss, totalTokens } = JSON.parse(line) as Record<string, number>
    return { step, loss, learningRate, gradNorm, evalLoss, totalTokens }
  })
  const files = ['model.safetensors', 'optimizer.safetensors', 'ema.safetensors'].map(name => readFileSync(`${last}/${name}`).toString('base64'))
  return { state, log, files, checkpoints: readdirSync(outputDir).filter(name => name.startsWith('checkpoint')).sort() }
}

async function uninterrupted() {
  const { model, trainer } = interruptedTraining({ outputDir: at('whole') })
  await trainer.train()
  return { bits: bitsOf(model), traces: traces(at('whole')) }
}

/** Starts a training in another process. */
function started(args: Arguments): { child: ChildProcess, lines: string[], ended: Promise<{ code: number | null, signal: string | null }>, line(text: string): Promise<void> } {
  const child = spawn(process.execPath, [fileURLToPath(new URL('trainingProcess.js', import.meta.url)), JSON.stringify(args)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = [], waiting: (() => void)[] = []
  let rest = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop()!
    lines.push(...parts)
    for (const check of [...waiting]) check()
  })
  const ended = new Promise<{ code: number | null, signal: string | null }>(resolve => { child.on('close', (code, signal) => { resolve({ code, signal }); for (const check of [...waiting]) check() }) })
  const line = (text: string) => new Promise<void>(resolve => {
    const check = () => { if (lines.includes(text) || child.exitCode !== null) resolve() }
    waiting.push(check)
    check()
  })
  return { child, lines, ended, line }
}

describe('a training that is stopped and resumed', () => {
  test.each([1, 3, 7, 12, 23])('at step %i gives the same bits as one that never stopped', async k => {
    const whole = await uninterrupted(), outputDir = at('parts'), stop = new AbortController()
    const first = interruptedTraining({ outputDir, signal: stop.signal, callbacks: { onStepEnd({ step }) { if (step === k) stop.abort() } } })
    expect(await first.trainer.train()).toMatchObject({ step: k, interrupted: true, stopReason: 'interrupted', signal: undefined })
    const second = interruptedTraining({ outputDir, resumeFromCheckpoint: true })
    expect(await second.trainer.train()).toMatchObject({ step: 24, interrupted: false, resumedFrom: at('parts', `checkpoint-${k}`) })
    expect(bitsOf(second.model)).toEqual(whole.bits)
    const { state, log, files } = traces(outputDir)
    expect(files).toEqual(whole.traces.files)
    expect(state).toEqual(whole.traces.state)
    expect(log).toEqual(whole.traces.log)
    expect(readFileSync(at('parts', 'model.safetensors'))).toEqual(readFileSync(at('whole', 'model.safetensors')))
  })

  test('during an evaluation makes up for it first', async () => {
    const whole = await uninterrupted(), outputDir = at('parts'), stop = new AbortController()
    let evaluations = 0
    const first = interruptedTraining({ outputDir, signal: stop.signal }, {
      evaluationBatches: { *[Symbol.iterator]() { if (++evaluations === 2) stop.abort(); yield* tinyBatches(2, { seed: 8 }) } },
    })
    expect(await first.trainer.train()).toMatchObject({ step: 8, interrupted: true })
    const second = interruptedTraining({ outputDir, resumeFromCheckpoint: true })
    await second.trainer.train()
    expect(bitsOf(second.model)).toEqual(whole.bits)
    expect(traces(outputDir).log).toEqual(whole.traces.log)
    expect(traces(outputDir).state).toEqual(whole.traces.state)
  })

  test('by SIGKILL in the middle of writing a checkpoint goes on from the last whole one, in the same bits', async () => {
    const whole = await uninterrupted(), outputDir = at('parts')
    for (const killDuringSave of [6, 6, 15]) {
      const { ended } = started({ options: { outputDir, resumeFromCheckpoint: true }, killDuringSave })
      expect(await ended).toMatchObject({ signal: 'SIGKILL' })
      expect(readdirSync(outputDir).some(name => name.endsWith('.tmp'))).toBe(true)
    }
    expect((await listCheckpoints(outputDir)).at(-1)!.step).toBe(12)
    const last = started({ options: { outputDir, resumeFromCheckpoint: true } })
    expect(await last.ended).toMatchObject({ code: 0 })
    const result = JSON.parse(last.lines.at(-1)!) as { step: number, bits: Record<string, string> }
    expect(result.step).toBe(24)
    expect(result.bits).toEqual(whole.bits)
    expect(readdirSync(outputDir).filter(name => name.startsWith('.'))).toEqual([])
    const { log, files } = traces(outputDir)
    expect(files).toEqual(whole.traces.files)
    expect(log).toEqual(whole.traces.log)
  })

  test('by SIGKILL at any moment goes on in the same bits', async () => {
    const whole = await uninterrupted(), outputDir = at('parts')
    for (const step of ['step 4', 'step 9', 'step 17']) {
      const run = started({ options: { outputDir, saveSteps: 1, resumeFromCheckpoint: true } })
      await run.line(step)
      run.child.kill('SIGKILL')
      await run.ended
    }
    const last = started({ options: { outputDir, saveSteps: 1, resumeFromCheckpoint: true } })
    expect(await last.ended).toMatchObject({ code: 0 })
    expect((JSON.parse(last.lines.at(-1)!) as { bits: object }).bits).toEqual(whole.bits)
  })
})

describe('signals', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('%s finishes the step, saves, and returns', async signal => {
    const run = started({ options: { outputDir: at('out'), saveSteps: 1000 }, slow: 20 })
    await run.line('step 5')
    run.child.kill(signal)
    expect(await run.ended).toMatchObject({ code: 0 })
    const result = JSON.parse(run.lines.at(-1)!) as { interrupted: boolean, signal: string, step: number }
    expect(result).toMatchObject({ interrupted: true, signal })
    expect(result.step).toBeGreaterThanOrEqual(5)
    expect(result.step).toBeLessThan(24)
    expect((await listCheckpoints(at('out'))).at(-1)!.step).toBe(result.step)
  })

  test.each([['SIGINT', 130], ['SIGTERM', 143]] as const)('a second %s exits at once', async (signal, code) => {
    const run = started({ options: { outputDir: at('out') }, slow: 3000 })
    await run.line('step 1')
    run.child.kill(signal)
    await run.line(signal)
    run.child.kill(signal)
    // A training that comes to its end has another code.
    expect(await run.ended).toMatchObject({ code })
    expect(run.lines).not.toContain('step 2')
  })

  test('have handlers only while training', async () => {
    const before = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')], model = tinyModel()
    let during: number[] = []
    const onStepEnd = () => { during = [process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')] }
    await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 2, callbacks: { onStepEnd } }).train()
    expect(during).toEqual(before.map(count => count + 1))
    expect([process.listenerCount('SIGINT'), process.listenerCount('SIGTERM')]).toEqual(before)
    await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 2, handleSignals: false, callbacks: { onStepEnd } }).train()
    expect(during).toEqual(before)
  })

  test('an AbortSignal that has fired before ends a training before its first step', async () => {
    const model = tinyModel(), bits = bitsOf(model)
    expect(await new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 5, signal: AbortSignal.abort() }).train()).toMatchObject({ interrupted: true, step: 0 })
    expect(bitsOf(model)).toEqual(bits)
  })
})

describe('the output folder', () => {
  const begun = (options: TrainingOptions, more = {}) => {
    const model = tinyModel()
    return new Trainer(model, tinyTask(model, undefined, more), { ...quiet, maxSteps: 6, saveSteps: 2, outputDir: at('out'), ...options })
  }

  test('keeps the newest checkpoints, as many as were asked for', async () => {
    await begun({ maxSteps: 9, saveTotalLimit: 2 }).train()
    expect((await listCheckpoints(at('out'))).map(({ step }) => step)).toEqual([8, 9])
  })

  test('keeps the best checkpoint besides the newest', async () => {
    const scores = [3, 1, 2, 4, 5]
    await begun({ maxSteps: 10, evalSteps: 2, saveTotalLimit: 2, metricForBestModel: 'score', greaterIsBetter: false }, { evaluate: () => ({ score: scores.shift()! }) }).train()
    expect((await listCheckpoints(at('out'))).map(({ step }) => step)).toEqual([4, 8, 10])
  })

  test('with checkpoints of another run is refused, unless they are to be removed', async () => {
    await begun({}).train()
    await expect(begun({}).train()).rejects.toThrow(ConfigError)
    await expect(begun({}).train()).rejects.toThrow(/up to step 6.*resumeFromCheckpoint: true.*overwriteOutputDir/)
    await begun({ overwriteOutputDir: true, maxSteps: 2 }).train()
    expect((await listCheckpoints(at('out'))).map(({ step }) => step)).toEqual([2])
  })

  test('that cannot be written is refused before the first step', async () => {
    writeFileSync(at('file'), '')
    let steps = 0
    const options = { outputDir: at('file', 'out'), callbacks: { onStepEnd() { steps++ } } }
    await expect(begun(options).train()).rejects.toThrow(CheckpointError)
    await expect(begun(options).train()).rejects.toThrow(/is a file, not a folder/)
    expect(steps).toBe(0)
  })

  test('that is full loses neither the last good checkpoint nor the step in memory', async () => {
    let saves = 0
    const tokenizer = { save: async () => { if (++saves > 1) throw Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' }) } }
    const trainer = begun({}, { tokenizer })
    const error = await trainer.train().then(() => undefined, (error: unknown) => error as Error)
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error!.message).toMatch(/step 4 could not be saved.*no space is left.*last good one is .*checkpoint-2; .*saveCheckpoint/)
    expect(readdirSync(at('out')).filter(name => name !== 'training_log.jsonl')).toEqual(['checkpoint-2'])
    saves = 0
    await trainer.saveCheckpoint(at('elsewhere'))
    trainer.dispose()
    const resumed = begun({ resumeFromCheckpoint: at('elsewhere') }), whole = begun({ outputDir: at('whole') })
    await resumed.train()
    await whole.train()
    expect(bitsOf(resumed.model)).toEqual(bitsOf(whole.model))
  })

  test('without room for a checkpoint is refused before the first step', async () => {
    const { blocks, bavail, bsize } = await statfs(at())
    if (blocks === 0) return
    let steps = 0
    // A model that needs more than the disk has: nothing of it is written, so a shape is enough.
    const model = tinyModel(), huge = [...model.parameters(), { size: bavail * bsize }]
    model.parameters = () => huge as never
    const trainer = new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 2, outputDir: at('out'), optimizer: new SGD(tinyModel(), { learningRate: 1 }) as never,
      callbacks: { onStepEnd() { steps++ } } })
    await expect(trainer.train()).rejects.toThrow(/MiB free, and a checkpoint with the model takes at least .* MiB\. Free some space/)
    expect(steps).toBe(0)
  })

  test('whose log cannot be written any more does not end the training; the log has no half lines', async () => {
    const trainer = begun({ maxSteps: 5, loggingSteps: 1, saveStrategy: 'no', callbacks: { onLog({ entry }) {
      if (entry['step'] !== 2) return
      renameSync(at('out', 'training_log.jsonl'), at('log'))
      mkdirSync(at('out', 'training_log.jsonl'))
    } } })
    expect(await trainer.train()).toMatchObject({ step: 5 })
    expect(readFileSync(at('log'), 'utf8').trim().split('\n').map(line => (JSON.parse(line) as { step: number }).step)).toEqual([1, 2])
  })

  test('that the final model cannot be written into keeps its last checkpoint, which makes the model later', async () => {
    const onSave = ({ step }: { step: number }) => { if (step === 6) mkdirSync(at('out', 'config.json')) }
    const trainer = begun({ emaDecay: 0.9, callbacks: { onSave } })
    await expect(trainer.train()).rejects.toThrow(/training is complete, but its model could not be saved.*checkpoint-6: resumeFromCheckpoint: true takes no more steps/)
    expect(trainer.unsavedStep).toBeUndefined()
    rmSync(at('out', 'config.json'), { recursive: true })
    expect(await begun({ emaDecay: 0.9, resumeFromCheckpoint: true }).train()).toMatchObject({ step: 6 })
    expect(existsSync(at('out', 'model.safetensors'))).toBe(true)
  })

  test('without checkpoints, too: the trained weights stay in memory, not their averages', async () => {
    mkdirSync(at('out', 'config.json'), { recursive: true })
    const trainer = begun({ emaDecay: 0.9, saveStrategy: 'no' })
    await expect(trainer.train()).rejects.toThrow(CheckpointError)
    expect(trainer.unsavedStep).toBe(6)
    await trainer.saveCheckpoint(at('elsewhere'))
    const whole = begun({ emaDecay: 0.9, outputDir: at('whole') })
    await whole.train()
    for (const file of ['model.safetensors', 'ema.safetensors'])
      expect(readFileSync(at('elsewhere', file))).toEqual(readFileSync(at('whole', 'checkpoint-6', file)))
  })

  test('has no half of a checkpoint that was being removed', async () => {
    await begun({ saveTotalLimit: 1 }).train()
    const { path } = (await listCheckpoints(at('out')))[0]!
    rmSync(`${path}/trainer_state.json`)
    expect(await listCheckpoints(at('out'))).toEqual([])
  })
})

describe('resuming', () => {
  const begun = (options: TrainingOptions = {}, seed = 1) => {
    const model = tinyModel({ seed })
    return new Trainer(model, tinyTask(model), { ...quiet, maxSteps: 4, saveSteps: 2, outputDir: at('out'), ...options })
  }

  test('from the newest checkpoint begins anew where there is none', async () => {
    expect(await begun({ resumeFromCheckpoint: true }).train()).toMatchObject({ step: 4, resumedFrom: undefined })
  })

  test('a finished training with more steps goes on', async () => {
    await begun().train()
    expect(await begun({ resumeFromCheckpoint: true, maxSteps: 6 }).train()).toMatchObject({ step: 6, resumedFrom: at('out', 'checkpoint-4') })
    expect(await begun({ resumeFromCheckpoint: true, maxSteps: 6 }).train()).toMatchObject({ step: 6 })
  })

  test('from what is no checkpoint says what to give', async () => {
    await begun().train()
    await expect(begun({ resumeFromCheckpoint: at('nothing'), outputDir: at('b') }).train()).rejects.toThrow(/no checkpoint.*checkpoint-<step>/)
    await expect(begun({ resumeFromCheckpoint: at('out'), outputDir: at('b') }).train()).rejects.toThrow(/Resume from .*checkpoint-4/)
  })

  test('with another model, optimizer, seed or data is refused', async () => {
    await begun().train()
    const resumed = (options: TrainingOptions) => begun({ resumeFromCheckpoint: true, maxSteps: 6, ...options }).train()
    await expect(resumed({ optim: 'sgd' })).rejects.toThrow(/AdamW.*SGD/)
    await expect(resumed({ seed: 7 })).rejects.toThrow(/seed 42.*seed 7/)
    await expect(resumed({ emaDecay: 0.9 })).rejects.toThrow(/emaDecay/)
    const wide = tinyModel({ width: 8 })
    await expect(new Trainer(wide, tinyTask(wide), { ...quiet, maxSteps: 6, outputDir: at('out'), resumeFromCheckpoint: true }).train())
      .rejects.toThrow(/embedding.weight is \[11, 16\], the model has \[11, 8\].*norm.weight.*output.weight/)
    const model = tinyModel()
    await expect(new Trainer(model, tinyTask(model, [{ ids: [1], labels: [2] }]), { ...quiet, maxSteps: 6, outputDir: at('out'), resumeFromCheckpoint: true }).train()).rejects.toThrow(/batches an epoch/)
  })

  test('from a damaged checkpoint says so and names an earlier one', async () => {
    await begun().train()
    truncateSync(at('out', 'checkpoint-4', 'optimizer.safetensors'), 100)
    await expect(begun({ resumeFromCheckpoint: true, maxSteps: 6 }).train()).rejects.toThrow(/cannot resume from .*checkpoint-4.*cut off.*earlier checkpoint is .*checkpoint-2/)
    writeFileSync(at('out', 'checkpoint-4', 'trainer_state.json'), '{"format": 1')
    await expect(begun({ resumeFromCheckpoint: true, maxSteps: 6 }).train()).rejects.toThrow(/not JSON.*damaged/)
    mkdirSync(at('out', 'checkpoint-9'))
    expect(existsSync(at('out', 'checkpoint-9', 'trainer_state.json'))).toBe(false)
    expect((await listCheckpoints(at('out'))).map(({ step }) => step)).toEqual([2, 4])
  })
})
