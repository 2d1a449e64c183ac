import type { GenerativeModel } from '../nn/decoding.js'
import { beamSearch } from './beamSearch.js'
import { DecodingRun } from './decodingRun.js'
import { likeliestTokens } from './greedy.js'
import { GrowingTexts, type GeneratedToken } from './growingTexts.js'
import { selectedTokens } from './hostSelection.js'
import { readInputs, type GenerationInputs, type GenerationPrompt, type TokenRows } from './inputs.js'
import { checkNames, planGeneration, type GenerationOptions, type GenerationPlan } from './options.js'

export interface GenerationResult {
  /** `[B * numReturnSequences]` rows of one length: the prompt or the decoder's beginning (padding included), the new tokens, and padding. */
  sequences: number[][]
  /** The new tokens of each sequence alone, with the end token where one came. */
  newTokens: number[][]
  /** Beams: the sum of the log-probabilities of each sequence / length ^ lengthPenalty; minus infinity where fewer were found than asked for. */
  sequencesScores?: number[]
  /** With `outputScores`: the log-probability of each new token, after the logits processors. */
  logprobs?: number[][]
  /** Of sampling. */
  seed?: number
}

/**
 * Generates texts: greedily, with beams or by sampling, as the options say. Sentences of a batch do not influence each other.
 * Dropout is off and no tape is kept while it runs, whatever mode the model is in.
 *
 * @param inputs ids of the sources (encoder-decoder models) or prompts, or an object with a mask beside them
 * @throws ConfigError for an option that is unknown or out of range   @throws ShapeError, IndexError for inputs that do not fit
 * @throws AbortedError if `signal` fires   @throws NumericsError if the logits are NaN, or no token is left to choose
 */
export async function generate(
  model: GenerativeModel, inputs: GenerationInputs | TokenRows, options: GenerationOptions = {},
): Promise<GenerationResult> {
  const { prompt, plan } = await prepareGeneration(model, inputs, options)
  const { pad, outputScores, seed } = plan
  if (plan.numBeams === 1) {
    const texts = new GrowingTexts(prompt, plan), logprobs = texts.tokens.map((): number[] => [])
    for await (const tokens of generatedTokens(model, prompt, plan, texts)) {
      for (const { sequence, logprob } of tokens) if (logprob !== undefined) logprobs[sequence]!.push(logprob)
    }
    const newTokens = texts.tokens.map((text, sequence) => text.slice(texts.promptLengths[sequence]))
    return { sequences: rectangle(prompt, newTokens, pad), newTokens, ...(outputScores ? { logprobs } : {}), ...(plan.doSample ? { seed } : {}) }
  }
  const run = new DecodingRun(model, prompt, plan.precision)
  try {
    const found = (await beamSearch(run, prompt, plan)).flatMap((beams, sentence) => {
      const text = prompt.texts[sentence]!
      return Array.from({ length: plan.numReturnSequences }, (_, i) => {
        const { tokens, logprobs, score } = beams[i] ?? { tokens: text, logprobs: [], score: -Infinity }
        return { tokens: tokens.slice(text.length), logprobs: [...logprobs], score }
      })
    })
    const newTokens = found.map(beam => beam.tokens)
    return {
      // transformers takes a padding token of 0 for none where there are beams, and fills with the end token.
      sequences: rectangle(prompt, newTokens, pad || (plan.ends[0] ?? 0)), newTokens, sequencesScores: found.map(beam => beam.score),
      ...(outputScores ? { logprobs: found.map(beam => beam.logprobs) } : {}), ...(plan.doSample ? { seed } : {}),
    }
  } finally {
    run.dispose()
  }
}

/** @internal Reads and checks what a generation starts from. */
export async function prepareGeneration(
  model: GenerativeModel, inputs: GenerationInputs | TokenRows, options: GenerationOptions,
): Promise<{ prompt: GenerationPrompt, plan: GenerationPlan }> {
  checkNames(options)
  const prompt = await readInputs(model, 'inputIds' in inputs ? inputs : { inputIds: inputs }, options)
  return { prompt, plan: planGeneration(model, prompt, options) }
}

/** @internal The tokens of each step, without beams. Whoever stops early frees the caches by it. */
export async function* generatedTokens(
  model: GenerativeModel, prompt: GenerationPrompt, plan: GenerationPlan, texts: GrowingTexts,
): AsyncGenerator<GeneratedToken[]> {
  plan.checkAborted()
  const run = new DecodingRun(model, prompt, plan.precision)
  try {
    yield* plan.doSample || plan.processors.length > 0 ? selectedTokens(run, prompt, plan, texts) : likeliestTokens(run, prompt, plan, texts)
  } finally {
    run.dispose()
  }
}

function rectangle({ ids, width, texts }: GenerationPrompt, newTokens: readonly (readonly number[])[], pad: number): number[][] {
  const samples = newTokens.length / texts.length, longest = Math.max(...newTokens.map(tokens => tokens.length))
  return newTokens.map((tokens, i) => {
    const input = Math.floor(i / samples)
    return [...ids.subarray(input * width, (input + 1) * width), ...tokens, ...new Array<number>(longest - tokens.length).fill(pad)]
  })
}
