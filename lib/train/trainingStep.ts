import { backward } from '../autograd/backward.js'
import { ShapeError } from '../errors.js'
import type { ExponentialMovingAverage } from '../optim/ema.js'
import type { LossScale } from '../optim/lossScale.js'
import { withTf32 } from '../ops/matmulPrecision.js'
import { native } from '../tensor/native.js'
import { generator } from '../tensor/random.js'
import { autocast, enableGrad, scope } from '../tensor/scope.js'
import { empty, type Tensor } from '../tensor/tensor.js'
import type { AnyOptimizer } from './optimization.js'
import type { BatchSource, TrainingTask } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'

/** What a step needs. */
export interface StepParts {
  readonly task: TrainingTask
  readonly batches: BatchSource<unknown>
  readonly optimizer: AnyOptimizer
  readonly ema: ExponentialMovingAverage | undefined
  /** In float16. */
  readonly lossScale: LossScale | undefined
}

export type StepSettings = Pick<TrainingSettings, 'gradientAccumulationSteps' | 'labelSmoothingFactor' | 'precision' | 'tf32' | 'maxGradNorm'>

/** Of a step: the sum of its losses, the norm of the gradient of their mean before clipping, and the loss scale after it. */
export interface StepValues { lossSum: number, gradNorm: number, lossScale?: number }

/** A step that is queued. Its numbers are there when the device has come so far. */
export interface QueuedStep {
  /** Target tokens of all of its batches. */
  readonly tokens: number
  readonly values: Promise<StepValues>
}

/**
 * Queues one optimizer step: forward and backward of each batch, then the update. Nothing waits for the device.
 *
 * Losses are summed, and gradients divided by the number of target tokens of all batches together when they are applied, so that a token weighs the same
 * whatever batch it is in. An update with a gradient that is NaN or infinite is left out by the kernel.
 *
 * @param firstMicroStep number of its first batch among all of the training: it keys the dropout masks
 */
export function queueStep(
  { task, batches, optimizer, ema, lossScale }: StepParts, settings: StepSettings, firstMicroStep: number, learningRate: number,
): QueuedStep {
  const { gradientAccumulationSteps, maxGradNorm } = settings
  return scope(() => {
    const lossSum = empty([])
    let tokens = 0
    for (let i = 0; i < gradientAccumulationSteps; i++) {
      const batch = batches.next()
      tokens += task.tokens(batch)
      generator.startStep(firstMicroStep + i)
      queueBatch(task, batch, settings, i === 0 ? lossSum.raw : -lossSum.raw, lossScale)
    }
    optimizer.setLearningRate(learningRate)
    const norm = optimizer.step({ gradientScale: 1 / Math.max(1, tokens), ...(maxGradNorm > 0 ? { maxNorm: maxGradNorm } : {}), skipNonFinite: true, lossScale })
    optimizer.zeroGrad()
    ema?.update()
    return { tokens, values: valuesOf(lossSum, norm, lossScale) }
  })
}

function queueBatch(
  task: TrainingTask, batch: unknown, { labelSmoothingFactor: labelSmoothing, precision, tf32 }: StepSettings, lossTarget: number, lossScale: LossScale | undefined,
): void {
  scope(() => withTf32(tf32, () => enableGrad(() => autocast(precision, () => {
    const loss = task.loss(batch, { labelSmoothing })
    if (loss.rank !== 0) {
      throw new ShapeError(`the task's loss is [${loss.shape.join(', ')}], expected one number: the sum of the losses of the batch `
        + "(reduction: 'sum')")
    }
    backward(loss, lossScale?.gradient)
    native.copy(loss.handle, lossTarget)
  }))))
}

async function valuesOf(lossSum: Tensor, norm: Tensor, lossScale: LossScale | undefined): Promise<StepValues> {
  const [loss, gradNorm, after] = await Promise.all([lossSum.item(), norm.item(), lossScale?.values()])
  return { lossSum: loss, gradNorm, ...after ? { lossScale: after.scale } : {} }
}
