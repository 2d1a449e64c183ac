import { ConfigError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import { add, sub } from '../ops/add.js'
import { mul } from '../ops/mul.js'
import { logSoftmax } from '../ops/softmax.js'
import type { Tensor } from '../tensor/tensor.js'
import { DecodingRun } from './decodingRun.js'
import type { GenerationPrompt, PaddedRows } from './inputs.js'
import type { GenerationPlan } from './plan.js'

/**
 * A run with classifier-free guidance: beside each text goes another with the same new tokens behind a negative prompt, and what speaks for the prompt counts
 * `guidanceScale` times. The logits are n + s (c - n), of the log-probabilities c behind the prompt and n behind the negative one.
 * @see Sanchez et al. 2023, https://arxiv.org/abs/2306.17806
 */
export class GuidedRun extends DecodingRun {
  private readonly beside: DecodingRun
  private begun = false

  /** @param negative prompts, one for each row @param scale s */
  constructor(model: GenerativeModel, prompt: GenerationPrompt, plan: GenerationPlan, private readonly negative: PaddedRows, private readonly scale: number) {
    super(model, prompt, plan)
    this.beside = new DecodingRun(model, { ...prompt, ...negative }, { ...plan, options: { ...plan.options, promptCache: undefined } })
  }

  override step<T>(ids: Int32Array | Tensor, select: (logits: Tensor) => T): T {
    const theirs = this.begun ? ids : this.negative.ids
    this.begun = true
    const without = this.beside.step(theirs, logits => logSoftmax(logits).keep())
    try {
      return super.step(ids, logits => select(add(without, mul(sub(logSoftmax(logits), without), this.scale))))
    } finally {
      without.dispose()
    }
  }

  override reorder(rows: Int32Array, sameSource: boolean): void {
    super.reorder(rows, sameSource)
    this.beside.reorder(rows, sameSource)
  }

  override finish(tokens: readonly number[]): void {
    super.finish(tokens)
    this.beside.dispose()
  }

  override dispose(): void {
    super.dispose()
    this.beside.dispose()
  }
}

/** The run that the options ask for. */
export function decodingRun(model: GenerativeModel, prompt: GenerationPrompt, plan: GenerationPlan): DecodingRun {
  const { guidanceScale: scale = 1 } = plan.options
  return scale === 1 ? new DecodingRun(model, prompt, plan) : new GuidedRun(model, prompt, plan, prompt.negative ?? lastTokens(prompt), scale)
}

/** Without a negative prompt the text beside begins with the last token of the prompt. */
const lastTokens = ({ ids, width, texts }: GenerationPrompt): PaddedRows =>
  ({ ids: Int32Array.from(texts, (_, row) => ids[(row + 1) * width - 1]!), width: 1, mask: undefined })

/** @throws ConfigError for what does not go with guidance, and for a negative prompt without it */
export function requireGuidance({ isEncoderDecoder, maxPositions }: GenerativeModel, { negative }: GenerationPrompt, plan: GenerationPlan): void {
  const { guidanceScale: scale, outputLogits, maxNewTokens = plan.maxNewTokens } = plan.options
  if (scale !== undefined && !Number.isFinite(scale)) throw new ConfigError(`guidanceScale must be a finite number, not ${scale}.`)
  if (scale === undefined || scale === 1) {
    if (negative) throw new ConfigError('negativePromptIds say what the text is led away from: add guidanceScale, above 1.')
    return
  }
  if (isEncoderDecoder) throw new ConfigError('guidanceScale is for models without an encoder.')
  if (plan.numBeams > 1 || plan.speculates || outputLogits)
    throw new ConfigError('guidanceScale does not go with numBeams, with guesses (assistantModel, promptLookupNumTokens), or with outputLogits.')
  if (negative && negative.width + maxNewTokens - 1 > maxPositions)
    throw new ConfigError(`a negative prompt of ${negative.width} tokens and ${maxNewTokens} new ones do not fit into the ${maxPositions} positions of the model. Shorten it.`)
}
