import { AbortedError, ConfigError } from '../errors.js'
import { EventLoopTurns } from '../eventLoop.js'
import type { GenerativeModel } from '../nn/decoding.js'
import { beamSearch } from './beamSearch.js'
import { DecodingRun } from './decodingRun.js'
import { decodingRun, requireGuidance } from './guidedRun.js'
import { withDefaults } from './generationConfig.js'
import { likeliestTokens } from './greedy.js'
import { GrowingTexts, type GeneratedToken, type TokenLogprob } from './growingTexts.js'
import { selectedTokens } from './hostSelection.js'
import { readInputs, type GenerationInputs, type GenerationPrompt, type TokenRows } from './inputs.js'
import { checkNames, type GenerationOptions } from './options.js'
import { planGeneration, type GenerationPlan } from './plan.js'
import { speculativeTokens, type SpeculationStatistics } from './speculative/speculative.js'
import { TextDeltas, type StreamedToken } from './streamedTokens.js'

/** What ended a sequence: an end token, the limit of tokens, or something else that was to stop it (a stop string, a criterion, `maxTime`). */
export type FinishReason = 'eos' | 'length' | 'stop'

export interface GenerationResult {
  /** `[B * numReturnSequences]` rows of one length: the prompt or the decoder's beginning (padding included), the new tokens, and padding. */
  sequences: number[][]
  /** The new tokens of each sequence alone, with the end token where one came. */
  newTokens: number[][]
  finishReasons: FinishReason[]
  /** Beams: the sum of the log-probabilities of each sequence / length ^ lengthPenalty; minus infinity where fewer were found than asked for. */
  sequencesScores?: number[]
  /** With `logprobs`: the log-probability of each new token, after the logits processors. */
  logprobs?: number[][]
  /** With `logprobs` as a number: the likeliest tokens in place of each new one, the best first. */
  topLogprobs?: TokenLogprob[][][]
  /** With `outputScores`: `[V]` behind each new token of each sequence, after the logits processors; of beams log-probabilities. */
  scores?: Float32Array[][]
  /** With `outputLogits`: `[V]` behind each new token of each sequence, as the model gave them. */
  logits?: Float32Array[][]
  /** Of sampling. */
  seed?: number
  /** With `assistantModel` or `promptLookupNumTokens`: how many guesses there were, and how many were right. */
  speculation?: SpeculationStatistics
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
  return plan.numBeams === 1 ? withoutBeams(model, prompt, plan) : withBeams(model, prompt, plan)
}

async function withoutBeams(model: GenerativeModel, prompt: GenerationPrompt, plan: GenerationPlan): Promise<GenerationResult> {
  const texts = new GrowingTexts(prompt, plan), found = texts.tokens.map((): GeneratedToken[] => [])
  const speculation: SpeculationStatistics = { steps: 0, drafted: 0, accepted: 0 }
  for await (const token of streamedTokens(model, prompt, plan, texts, speculation)) {
    found[token.sequence]!.push(token)
    plan.options.onToken?.(token)
  }
  const newTokens = found.map(tokens => tokens.map(({ token }) => token))
  const kept = <K extends 'logprob' | 'topLogprobs' | 'scores' | 'logits'>(name: K) => found.map(tokens => tokens.map(token => token[name]!))
  return {
    // transformers takes a padding token of 0 for none where there are beams, and fills with the end token.
      sequences: rectangle(prompt, newTokens, plan.pad), newTokens, finishReasons: newTokens.map(tokens => finishReason(tokens, plan)),
    ...(plan.logprobs ? { logprobs: kept('logprob') } : {}), ...(plan.topLogprobs > 0 ? { topLogprobs: kept('topLogprobs') } : {}),
    ...(plan.outputScores ? { scores: kept('scores') } : {}), ...(plan.outputLogits ? { logits: kept('logits') } : {}),
    ...(plan.doSample ? { seed: plan.seed } : {}), ...(plan.speculates ? { speculation } : {}),
  }
}

async function withBeams(model: GenerativeModel, prompt: GenerationPrompt, plan: GenerationPlan): Promise<GenerationResult> {
  plan.checkAborted()
  const run = new DecodingRun(model, prompt, plan)
  try {
    const found = (await beamSearch(run, prompt, plan)).flatMap((beams, sentence) => {
      const text = prompt.texts[sentence]!
      return Array.from({ length: plan.numReturnSequences }, (_, i) => {
        const { tokens, logprobs, scores, score } = beams[i] ?? { tokens: text, logprobs: [], scores: [], score: -Infinity }
        return { tokens: tokens.slice(text.length), logprobs: [...logprobs], scores: [...scores], score }
      })
    })
    const newTokens = found.map(beam => beam.tokens)
    return {
      // transformers takes a padding token of 0 for none where there are beams, and fills with the end token.
      sequences: rectangle(prompt, newTokens, plan.pad || (plan.ends[0] ?? 0)), newTokens, finishReasons: newTokens.map(tokens => finishReason(tokens, plan)),
      sequencesScores: found.map(beam => beam.score), ...(plan.logprobs ? { logprobs: found.map(beam => beam.logprobs) } : {}),
      ...(plan.outputScores ? { scores: found.map(beam => beam.scores) } : {}), ...(plan.doSample ? { seed: plan.seed } : {}),
    }
  } finally {
    run.dispose()
  }
}

/** @internal Reads and checks what a generation starts from. */
export async function prepareGeneration(
  model: GenerativeModel, inputs: GenerationInputs | TokenRows, given: GenerationOptions,
): Promise<{ prompt: GenerationPrompt, plan: GenerationPlan }> {
  const options = withDefaults(model, given)
  checkNames(options)
  const prompt = await readInputs(model, 'inputIds' in inputs ? inputs : { inputIds: inputs }, options)
  const plan = planGeneration(model, prompt, options)
  requireGuidance(model, prompt, plan)
  return { prompt, plan }
}

/** @internal Tokens as they are chosen, without beams, with their text where a tokenizer is given. Whoever stops early frees the caches by it. */
export async function* streamedTokens(
  model: GenerativeModel, prompt: GenerationPrompt, plan: GenerationPlan, texts: GrowingTexts, statistics: SpeculationStatistics = { steps: 0, drafted: 0, accepted: 0 },
): AsyncGenerator<StreamedToken, void, undefined> {
  const { tokenizer } = plan.options
  const deltas = tokenizer && new TextDeltas(texts, tokenizer, !model.isEncoderDecoder)
  plan.checkAborted()
  const run = decodingRun(model, prompt, plan)
  const turns = new EventLoopTurns()
  let failed = false
  try {
    if (plan.speculates && !run.canVerify) throw new ConfigError(`${model.constructor.name} cannot check guesses: leave out assistantModel and promptLookupNumTokens.`)
    const steps = plan.speculates ? speculativeTokens(run, prompt, plan, texts, statistics)
      : plan.onHost ? selectedTokens(run, prompt, plan, texts) : likeliestTokens(run, prompt, plan, texts)
    for await (const tokens of steps) {
      for (const token of tokens) yield deltas?.of(token) ?? token
      await turns.giveIfDue()   // a signal or a timer may want to end it
    }
  } catch (error) {
    failed = !(error instanceof AbortedError)
    throw error
  } finally {
    if (failed) run.dispose()
    else run.finish(texts.tokens[0]!)
  }
}

function finishReason(tokens: readonly number[], { ends, maxNewTokens }: GenerationPlan): FinishReason {
  return ends.includes(tokens.at(-1)!) ? 'eos' : tokens.length >= maxNewTokens ? 'length' : 'stop'
}

function rectangle({ ids, width, texts }: GenerationPrompt, newTokens: readonly (readonly number[])[], pad: number): number[][] {
  const samples = newTokens.length / texts.length, longest = Math.max(...newTokens.map(tokens => tokens.length))
  return newTokens.map((tokens, i) => {
    const input = Math.floor(i / samples)
    return [...ids.subarray(input * width, (input + 1) * width), ...tokens, ...new Array<number>(longest - tokens.length).fill(pad)]
  })
}
