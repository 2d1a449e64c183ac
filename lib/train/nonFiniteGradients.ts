import { NumericsError } from '../errors.js'
import type { TrainingSettings } from './trainingOptions.js'

/** A gradient that is not finite so many times in a row will not become so. */
const mostSkippedInARow = 20

/** Steps that were left out, and how many of them in a row until now. */
export interface SkippedSteps { skippedSteps: number, skippedInARow: number }

/**
 * Counts a step whose gradient is NaN or infinite. In float16 such steps are ordinary while the loss is finite: they are how the loss scale is found.
 * @param savedStep of the last checkpoint
 * @throws NumericsError where the policy is to stop, and where it has happened too often in a row
 */
export function countSkipped(
  totals: SkippedSteps, { step, gradNorm, lossSum }: { step: number, gradNorm: number, lossSum: number }, { nanPolicy, precision }: TrainingSettings, savedStep: number | undefined,
): void {
  if (Number.isFinite(gradNorm)) {
    totals.skippedInARow = 0
    return
  }
  totals.skippedSteps++
  totals.skippedInARow++
  const stops = nanPolicy === 'stop' && !(precision === 'float16' && Number.isFinite(lossSum))
  if (!stops && totals.skippedInARow < mostSkippedInARow) return
  const what = stops ? `is ${gradNorm}` : `was NaN or infinite ${mostSkippedInARow} times in a row`
  const last = savedStep === undefined ? '' : ` The last checkpoint is of step ${savedStep}.`
  throw new NumericsError(`step ${step}: the norm of the gradient ${what}; such updates are not applied.${last} `
    + `Lower learningRate, lengthen warmupSteps, or lower maxGradNorm${precision === 'float16' ? ", or take precision 'bfloat16'" : ''}${stops ? "; nanPolicy: 'skip' goes on without the step" : ''}.`)
}
