import type { LogitsProcessor } from './logitsProcessor.js'

const largestFloat32 = 3.4028234663852886e38

/** NaN becomes 0, infinities become the largest and the least float32 (which undoes exclusions made before it, as in transformers). */
export const removeInvalidValues: LogitsProcessor = (_, logits) => {
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!
    if (!Number.isFinite(logit)) logits[i] = Number.isNaN(logit) ? 0 : Math.sign(logit) * largestFloat32
  }
}
