import { AbortedError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { autocast, noGrad, scope } from '../tensor/scope.js'
import { EventLoopTurns } from '../eventLoop.js'
import type { Metrics, TrainingTask } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'

/**
 * Loss a target token over the task's evaluation batches, its perplexity, and the task's own metrics. Without dropout, tape and label smoothing; the model
 * is in its old mode again afterwards.
 * @throws AbortedError when `signal` fires
 */
export async function evaluate(model: Module, task: TrainingTask, precision: TrainingSettings['precision'], signal: AbortSignal): Promise<Metrics> {
  const training = [...model.namedModules()].map(([, module]) => module).filter(module => module.training)
  model.eval()
  try {
    const loss = task.evaluationBatches && await meanLoss(task, task.evaluationBatches, precision, signal)
    const further = await autocast(precision, async () => task.evaluate?.({ signal }))
    return { ...(loss === undefined ? {} : { loss, perplexity: Math.exp(loss) }), ...further }
  } finally {
    for (const module of training) module.training = true
  }
}

async function meanLoss(task: TrainingTask, batches: Iterable<unknown>, precision: TrainingSettings['precision'], signal: AbortSignal): Promise<number> {
  // Sums of batches are added up in double precision here, two batches behind the device, which so never waits for the host.
  const queued: Promise<number>[] = [], turns = new EventLoopTurns()
  let sum = 0, tokens = 0
  for (const batch of batches) {
    if (signal.aborted) throw new AbortedError('the evaluation was cut short', { cause: signal.reason })
    tokens += task.tokens(batch)
    const value = queueLoss(task, batch, precision)
    value.catch(() => undefined)   // told below, in order
    queued.push(value)
    if (queued.length > 2) sum += await queued.shift()!
    await turns.giveIfDue()
  }
  for (const value of queued) sum += await value
  return sum / Math.max(1, tokens)
}

function queueLoss(task: TrainingTask, batch: unknown, precision: TrainingSettings['precision']): Promise<number> {
  // In an object, so that the scope ends at once and not with the promise.
  const { value } = scope(() => noGrad(() => autocast(precision, () => ({ value: task.loss(batch, { labelSmoothing: 0 }).item() }))))
  return value
}
