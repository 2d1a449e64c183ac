import { ConfigError } from '../errors.js'
import { closest } from '../spelling.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { CacheKind } from '../nn/keyValueCache.js'
import type { Constraint } from './constraints/constraint.js'
import type { StreamedToken } from './streamedTokens.js'
import type { PromptCache } from './promptCache.js'
import type { GenerationLimits, LogitsOptions } from './processors/processorsFrom.js'
import type { StoppingCriterion, TextDecoder } from './stoppingCriteria.js'

/** How far a generation has come; given to `onStep` after each token. */
export interface GenerationProgress {
  /** Tokens generated so far, of each unfinished sequence. */
  step: number
  /** Sequences, or with beams sentences, that go on. */
  unfinished: number
}

/**
 * Options of `generate`, named as in transformers' GenerationConfig, in camelCase. What is not given comes from the `generation_config.json` that the
 * model was loaded with, then from here. Other than there, `topK` has no default (transformers: 50) and the length is bounded by the model alone (20 new tokens).
 */
export interface GenerationOptions extends LogitsOptions, GenerationLimits {
  /** Most tokens of a sequence, prompt or start token included. `maxNewTokens` wins. Default: what the model has positions for. */
  maxLength?: number | undefined
  /** Most tokens beside the prompt. */
  maxNewTokens?: number | undefined
  /** Seconds after which all sequences end with the token that they have just got. */
  maxTime?: number | undefined
  /** Sample (true), or take the likeliest (false, the default). */
  doSample?: boolean | undefined
  /** Beams of each sentence; 1, the default, is no beam search. */
  numBeams?: number | undefined
  /** Diverse beam search: groups of beams, each kept from what earlier ones choose by `diversityPenalty`. Default 1. */
  numBeamGroups?: number | undefined
  /** How many sequences of each sentence are returned: the best beams, or independent samples. Default 1. */
  numReturnSequences?: number | undefined
  /** Beams: scores are divided by (generated length ^ lengthPenalty). Above 0 it favours long texts. Default 1. */
  lengthPenalty?: number | undefined
  /** Beams: true ends with numBeams finished ones, false when better ones are unlikely (default), 'never' when none can come. */
  earlyStopping?: boolean | 'never' | undefined
  /** Begins the decoder's text, encoder-decoder models only: one token, or one for each sentence. Default: `bosTokenId`. */
  decoderStartTokenId?: number | readonly number[] | undefined
  bosTokenId?: number | undefined
  /** What ends a text: a token, or several. */
  eosTokenId?: number | readonly number[] | undefined
  /** Fills up sequences that are shorter than others. Default: the first end token, or 0. */
  padTokenId?: number | undefined
  /** End a text when one of them says so, after each of its tokens. */
  stoppingCriteria?: readonly StoppingCriterion[] | undefined
  /** End a text with the token that completes one of these; needs `tokenizer`. */
  stopStrings?: string | readonly string[] | undefined
  /** Decodes: for `stopStrings`, and for the text of `generateStream` and `onToken`. */
  tokenizer?: TextDecoder | undefined
  /** Of sampling: the same seed, model, inputs and options give the same tokens. Default: another one each time; the result names it. */
  seed?: number | undefined
  /** Keeps the new text within a language; whole if maxNewTokens tokens are enough for its shortest continuation, byte by byte. */
  constraint?: Constraint | undefined
  /** Also return the log-probability of each new token (true), and of the so many likeliest tokens in its place (a number). */
  logprobs?: boolean | number | undefined
  /** Also return the scores of the whole vocabulary behind each new token: after the logits processors, of beams as log-probabilities. */
  outputScores?: boolean | undefined
  /** Also return the logits of the whole vocabulary behind each new token, as the model gave them. Not with beams. */
  outputLogits?: boolean | undefined
  /**
   * How keys and values are kept: in memory that grows ('dynamic', the default), reserved at once ('static'), or as int8 ('quantized', a fourth of the memory, and
   * not quite the same numbers). Layers with a sliding window hold no more than that in any case. For decoder-only models.
   */
  cacheImplementation?: CacheKind | undefined
  /** Positions of a static cache. Default: what the generation needs. */
  maxCacheLen?: number | undefined
  /** Keeps keys and values for the next generation, whose prompt begins with this text: for one prompt and one sequence. */
  promptCache?: PromptCache | undefined
  /** A smaller model of the same vocabulary that guesses tokens for this one to check, several in one pass: faster where it is often right, never other tokens. */
  assistantModel?: GenerativeModel | undefined
  /** How many tokens it guesses at a time. Default 20. */
  numAssistantTokens?: number | undefined
  /** 'constant' (default), or 'heuristic': two more after a draft that was right, one less after another. */
  numAssistantTokensSchedule?: 'constant' | 'heuristic' | 'heuristic_transient' | undefined
  /** A guess less probable than this is the last of its draft. Default 0.4. */
  assistantConfidenceThreshold?: number | undefined
  /** Guesses so many tokens by what followed the same words earlier in the text, without a second model. */
  promptLookupNumTokens?: number | undefined
  /** How many of the last tokens are looked for at most. Default 2. */
  maxMatchingNgramSize?: number | undefined
  /** Feeds prompts in pieces of so many tokens, which bounds the memory of long ones. */
  prefillChunkSize?: number | undefined
  /**
   * Classifier-free guidance: what speaks for the prompt, and not for `negativePromptIds` of the inputs, counts so many times; 1 (the default): as it is. Each step
   * costs two passes. Without beams, for models without an encoder.
   */
  guidanceScale?: number | undefined
  /** Ends the generation with AbortedError before its next token. */
  signal?: AbortSignal | undefined
  /** Called after each token. */
  onStep?: ((progress: GenerationProgress) => void) | undefined
  /** Called with each token as soon as it is chosen, and the text that it makes certain. Not with beams, which are not certain before their end. */
  onToken?: ((token: StreamedToken) => void) | undefined
}

const known: Record<keyof GenerationOptions, true> = {
  maxLength: true, maxNewTokens: true, maxTime: true, minLength: true, minNewTokens: true, doSample: true, numBeams: true, numBeamGroups: true,
  diversityPenalty: true, numReturnSequences: true, lengthPenalty: true, earlyStopping: true, temperature: true, topK: true, topP: true,
  topH: true, minP: true, typicalP: true, epsilonCutoff: true, etaCutoff: true, repetitionPenalty: true, encoderRepetitionPenalty: true, presencePenalty: true, frequencyPenalty: true,
  noRepeatNgramSize: true, encoderNoRepeatNgramSize: true, badWordsIds: true, sequenceBias: true, prefixAllowedTokens: true, forcedBosTokenId: true,
  forcedEosTokenId: true, suppressTokens: true, beginSuppressTokens: true, guidanceScale: true, watermarkingConfig: true, exponentialDecayLengthPenalty: true, removeInvalidValues: true,
  renormalizeLogits: true, logitsProcessors: true, decoderStartTokenId: true, bosTokenId: true, eosTokenId: true, padTokenId: true,
  stoppingCriteria: true, stopStrings: true, tokenizer: true, seed: true, constraint: true, logprobs: true, outputScores: true, outputLogits: true, prefillChunkSize: true,
  assistantModel: true, numAssistantTokens: true, numAssistantTokensSchedule: true, assistantConfidenceThreshold: true, promptLookupNumTokens: true,
  maxMatchingNgramSize: true, cacheImplementation: true, maxCacheLen: true, promptCache: true,  signal: true, onStep: true, onToken: true,
}

/** Options of transformers that are not built: the values at which they say nothing, and what they would do. */
const notBuilt: Readonly<Record<string, readonly [neutral: readonly unknown[], what: string]>> = {
  penaltyAlpha: [[0], 'contrastive search'], dolaLayers: [[], 'contrasting layers (DoLa)'],
  constraints: [[], 'constrained beam search; prefixAllowedTokens constrains what may follow'],
  forceWordsIds: [[], 'constrained beam search; prefixAllowedTokens constrains what may follow'],
  lowMemory: [[false], 'contrastive search'], tokenHealing: [[false], 'healing of the last token of the prompt'],
  useMtp: [[false], 'multi-token prediction heads'], assistantEarlyExit: [[], 'drafts by earlier layers'], isAssistant: [[false], 'a mark of the draft model'],
  assistantLookbehind: [[10], 'draft models of another vocabulary'], targetLookbehind: [[10], 'draft models of another vocabulary'],
  assistantEnsembleWeight: [[], 'mixing the distributions of two models'], speculationType: [[], 'other ways to draft'],
  outputAttentions: [[false], 'attention weights'], outputHiddenStates: [[false], 'hidden states'],
  useCache: [[true], 'generation without a cache (the tokens would be the same)'],
  returnDictInGenerate: [[true], 'a result that is no object'],
  cacheConfig: [[], 'other codes than int8 with a scale for each head and position'],
  compileConfig: [[], 'compilation'], disableCompile: [[true, false], 'compilation'], continuousBatchingConfig: [[], 'continuous batching inside of generate'],
}

/** Where the option comes from is said by `of`. @throws ConfigError for options that are unknown or not built, all named */
export function checkNames(options: object, of = 'generate'): void {
  const missing = Object.entries(options).flatMap(([name, value]) => {
    const entry = Object.hasOwn(notBuilt, name) ? notBuilt[name] : undefined
    return !entry || value === undefined || value === null || entry[0].includes(value) ? [] : [`${name}: ${JSON.stringify(value)} (${entry[1]})`]
  })
  if (missing.length > 0) throw new ConfigError(`${of}: not supported is ${missing.join(', ')}. Leave it out.`)
  const unknown = Object.keys(options).filter(name => !isKnown(name) && !Object.hasOwn(notBuilt, name))
  if (unknown.length === 0) return
  const meant = unknown.map(name => isKnown(camelCase(name)) ? camelCase(name) : closest(name, Object.keys(known))).filter(name => name !== undefined)
  throw new ConfigError(`${of}: unknown option ${unknown.join(', ')}. ${meant.length > 0 ? `Write ${meant.join(', ')}.` : `Known are ${Object.keys(known).join(', ')}.`}`)
}

const isKnown = (name: string): boolean => Object.hasOwn(known, name)
export const isGenerationOption = (name: string): boolean => isKnown(name) || Object.hasOwn(notBuilt, name)
export const camelCase = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
