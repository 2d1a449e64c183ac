import { NumericsError } from '../errors.js'
import { indexSelect } from '../ops/indexSelect.js'
import { logSoftmax } from '../ops/softmax.js'
import { topK } from '../ops/topK.js'
import type { Tensor } from '../tensor/tensor.js'
import type { DecodingRun } from './decodingRun.js'
import type { GeneratedToken, GrowingTexts } from './growingTexts.js'
import type { GenerationPrompt } from './inputs.js'
import type { GenerationPlan } from './plan.js'

interface QueuedStep {
  /** The tokens `[R, 1]`, which are the next input. */
  readonly ids: Tensor
  /** Sequences of its rows. */
  readonly rows: Int32Array
  readonly chosen: Promise<readonly [values: ArrayLike<number>, tokens: ArrayLike<number>]>
}

/**
 * The likeliest token of each sequence, chosen on the device. The next step is queued before the tokens of this one are read, so the
 * device never waits for the host; the price is one step in vain where all sequences end before the limit.
 */
export async function* likeliestTokens(
  run: DecodingRun, prompt: GenerationPrompt, plan: GenerationPlan, texts: GrowingTexts,
): AsyncGenerator<GeneratedToken[]> {
  let queued: QueuedStep | undefined
  try {
    queued = queue(run, prompt.ids, plan, texts.rows)
    for (let step = 1; queued; step++) {
      const now: QueuedStep = queued
      plan.checkAborted()
      queued = step < plan.maxNewTokens ? queue(run, now.ids, plan, texts.rows) : undefined
      now.ids.dispose()
      const [values, tokens] = await now.chosen
      requireNumbers(values, now.rows, step)
      yield texts.add(now.rows, tokens, plan.logprobs ? row => ({ logprob: values[row]! }) : undefined)
      if (texts.unfinished === 0) return
      const stay = queued && texts.shrink()
      if (queued && stay) queued = keepRows(run, queued, stay)
    }
  } finally {
    queued?.ids.dispose()
  }
}

function queue(run: DecodingRun, ids: Int32Array | Tensor, { logprobs }: GenerationPlan, rows: Int32Array): QueuedStep {
  return run.step(ids, logits => {
    const { values, indices } = topK(logprobs ? logSoftmax(logits) : logits, 1)
    const chosen = Promise.all([values.data() as Promise<Float32Array>, indices.data() as Promise<Int32Array>])
    chosen.catch(() => undefined)   // reported where it is awaited, if the generation goes on until there
    return { ids: indices.keep(), rows, chosen }
  })
}

/** Goes on with some of the rows. What was queued is read with all of them. */
function keepRows(run: DecodingRun, step: QueuedStep, stay: Int32Array): QueuedStep {
  run.reorder(stay, false)
  const ids = run.run(() => indexSelect(step.ids, run.upload(stay, [stay.length]), 0).keep())
  step.ids.dispose()
  return { ...step, ids }
}

/** NaN counts as the largest of a row. */
function requireNumbers(values: ArrayLike<number>, rows: Int32Array, step: number): void {
  for (let row = 0; row < values.length; row++) {
    if (!Number.isNaN(values[row]!)) continue
    throw new NumericsError(`the logits of sequence ${rows[row]!} are NaN at new token ${step}. The cause is in the weights or in their precision.`)
  }
}
