import type { GenerationPrompt } from '../inputs.js'
import type { GenerationPlan } from '../plan.js'

/** Applies the logits processors to what follows `text`, the only sequence of a generation, in place. @param row `[V]` */
export function processedRow(row: Float32Array, text: readonly number[], { texts, source }: GenerationPrompt, { processors }: GenerationPlan): void {
  const context = { rows: 1, vocabulary: row.length, promptLength: texts[0]!.length, samples: [0], ...(source ? { sources: [source.texts[0]!] } : {}) }
  for (const process of processors) process([text], row, context)
}
