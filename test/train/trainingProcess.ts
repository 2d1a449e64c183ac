// A training in a process of its own, which the tests interrupt: node trainingProcess.js '{"outputDir": …, "options": …, "killDuringSave": step}'
import { kill, pid } from 'node:process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Trainer } from '#lib/train/trainer.js'
import type { TrainingOptions } from '#lib/train/index.js'
import { bitsOf, tinyBatches, tinyModel, tinyTask } from './tinyTask.js'

export interface Arguments {
  options: TrainingOptions
  /** Kills the process (SIGKILL) in the middle of writing the checkpoint of this step. */
  killDuringSave?: number
  /** Milliseconds that each step takes at least. */
  slow?: number
}

export const trainingOptions = { maxSteps: 24, learningRate: 1e-2, warmupSteps: 3, gradientAccumulationSteps: 2, emaDecay: 0.8, evalSteps: 4, saveSteps: 3, loggingSteps: 5, metricForBestModel: 'loss' } as const

/** The training that every test of resuming interrupts in its own way: 5 batches an epoch and 2 a step, so that steps cross the borders of epochs. */
export function interruptedTraining(options: TrainingOptions, more: Parameters<typeof tinyTask>[2] = {}) {
  const model = tinyModel({ dropout: 0.3 })
  const task = tinyTask(model, tinyBatches(5), { evaluationBatches: tinyBatches(2, { seed: 8 }), ...more })
  return { model, trainer: new Trainer(model, task, { ...trainingOptions, disableProgress: true, ...options }) }
}

async function main({ options, killDuringSave, slow = 0 }: Arguments): Promise<void> {
  let step = 0
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { process.stdout.write(`${signal}\n`) })
  const tokenizer = { save: async (folder: string) => {
    writeFileSync(join(folder, 'tokenizer.json'), '{}')
    if (step === killDuringSave) kill(pid, 'SIGKILL')
  } }
  const onStepEnd = async (event: { step: number }) => {
    step = event.step
    process.stdout.write(`step ${step}\n`)
    if (slow > 0) await new Promise(done => setTimeout(done, slow))
  }
  const { model, trainer } = interruptedTraining({ ...options, callbacks: { onStepEnd } }, { tokenizer })
  const { interrupted, signal, ...result } = await trainer.train()
  process.stdout.write(`${JSON.stringify({ interrupted, signal, step: result.step, bits: bitsOf(model) })}\n`)
}

if (process.argv[2]?.startsWith('{')) await main(JSON.parse(process.argv[2]) as Arguments)
