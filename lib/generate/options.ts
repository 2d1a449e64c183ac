import { AbortedError, ConfigError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { DType } from '../tensor/dtype.js'
import { context } from '../tensor/scope.js'
import type { GenerationPrompt } from './inputs.js'
import { isCount, isToken, requireOption, tokenList, type LogitsProcessor } from './processors/logitsProcessor.js'
import { processorsFrom, type GenerationLimits, type LogitsOptions } from './processors/processorsFrom.js'
import { stopStringCriterion, type StoppingCriterion, type TextDecoder } from './stoppingCriteria.js'

/** How far a generation has come; given to `onStep` after each token. */
export interface GenerationProgress {
  /** Tokens generated so far, of each unfinished sequence. */
  step: number
  /** Sequences, or with beams sentences, that go on. */
  unfinished: number
}

/** Options of `generate`, named as in transformers' GenerationConfig, in camelCase. */
export interface GenerationOptions extends LogitsOptions, GenerationLimits {
  /** Most tokens of a sequence, prompt or start token included. `maxNewTokens` wins. Default: what the model has positions for. */
  maxLength?: number | undefined
  /** Most tokens beside the prompt. */
  maxNewTokens?: number | undefined
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
  /** Begins the decoder's text, encoder-decoder models only. Default: `bosTokenId`. */
  decoderStartTokenId?: number | undefined
  bosTokenId?: number | undefined
  /** What ends a text: a token, or several. */
  eosTokenId?: number | readonly number[] | undefined
  /** Fills up sequences that are shorter than others. Default: the first end token, or 0. */
  padTokenId?: number | undefined
  /** End a text when one of them says so, after each of its tokens. */
  stoppingCriteria?: readonly StoppingCriterion[] | undefined
  /** End a text behind one of these; needs `tokenizer`. */
  stopStrings?: readonly string[] | undefined
  /** Decodes: for `stopStrings`, and for the text of `generateStream`. */
  tokenizer?: TextDecoder | undefined
  /** Of sampling: the same seed, model, inputs and options give the same tokens. Default: another one each time; the result names it. */
  seed?: number | undefined
  /** Also return the log-probability of each token. */
  outputScores?: boolean | undefined
  /** Ends the generation with AbortedError before its next token. */
  signal?: AbortSignal | undefined
  /** Called after each token. */
  onStep?: ((progress: GenerationProgress) => void) | undefined
}

const known: Record<keyof GenerationOptions, true> = {
  maxLength: true, maxNewTokens: true, minLength: true, minNewTokens: true, doSample: true, numBeams: true, numBeamGroups: true,
  diversityPenalty: true, numReturnSequences: true, lengthPenalty: true, earlyStopping: true, temperature: true, topK: true, topP: true,
  topH: true, minP: true, typicalP: true, epsilonCutoff: true, etaCutoff: true, repetitionPenalty: true, encoderRepetitionPenalty: true, presencePenalty: true, frequencyPenalty: true,
  noRepeatNgramSize: true, encoderNoRepeatNgramSize: true, badWordsIds: true, sequenceBias: true, prefixAllowedTokens: true, forcedBosTokenId: true,
  forcedEosTokenId: true, suppressTokens: true, beginSuppressTokens: true, exponentialDecayLengthPenalty: true, removeInvalidValues: true,
  renormalizeLogits: true, logitsProcessors: true, decoderStartTokenId: true, bosTokenId: true, eosTokenId: true, padTokenId: true,
  stoppingCriteria: true, stopStrings: true, tokenizer: true, seed: true, outputScores: true, signal: true, onStep: true,
}

/** The options of one generation, complete and checked. */
export interface GenerationPlan {
  readonly options: GenerationOptions
  readonly maxNewTokens: number
  readonly numBeams: number
  readonly numBeamGroups: number
  readonly numReturnSequences: number
  readonly lengthPenalty: number
  readonly earlyStopping: boolean | 'never'
  readonly doSample: boolean
  readonly ends: readonly number[]
  readonly pad: number
  readonly processors: readonly LogitsProcessor[]
  /** Set where the `topK` likeliest logits are all that sampling has to see: then the processors concern those alone. */
  readonly shortlist: number | undefined
  readonly seed: number
  readonly outputScores: boolean
  /** Of the `autocast` that surrounds the call. */
  readonly precision: DType
  /** Whether a sequence is finished, after its last token. */
  isFinished(tokens: readonly number[], sequence: number, promptLength: number): boolean
  /** @throws AbortedError if the caller's signal has fired */
  checkAborted(): void
}

/** @throws ConfigError for an option that is unknown or out of its range */
export function checkNames(options: GenerationOptions): void {
  const unknown = Object.keys(options).filter(name => !(name in known))
  if (unknown.length === 0) return
  const camel = unknown.map(name => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())).filter(name => name in known)
  const remedy = camel.length ? `Write ${camel.join(', ')}.` : `Known are ${Object.keys(known).join(', ')}.`
  throw new ConfigError(`generate: unknown option ${unknown.join(', ')}. ${remedy}`)
}

/** @throws ConfigError for an option that is out of its range, or that does not go with another */
export function planGeneration(model: GenerativeModel, prompt: GenerationPrompt, options: GenerationOptions): GenerationPlan {
  const {
    numBeams = 1, numBeamGroups = 1, numReturnSequences = 1, lengthPenalty = 1, earlyStopping = false, outputScores = false, signal,
    seed = Math.floor(Math.random() * 2 ** 32),
  } = options
  requireOption(isCount(numBeams) && numBeams > 0, 'numBeams', 'a whole number > 0', numBeams)
  requireOption(isCount(numReturnSequences) && numReturnSequences > 0, 'numReturnSequences', 'a whole number > 0', numReturnSequences)
  const divides = isCount(numBeamGroups) && numBeamGroups > 0 && numBeams % numBeamGroups === 0
  requireOption(divides, 'numBeamGroups', `a divisor of numBeams, which is ${numBeams}`, numBeamGroups)
  requireOption(Number.isFinite(lengthPenalty), 'lengthPenalty', 'a finite number', lengthPenalty)
  requireOption([true, false, 'never'].includes(earlyStopping), 'earlyStopping', "true, false or 'never'", earlyStopping)
  requireOption(isToken(seed), 'seed', 'an integer from 0 to 2^53 - 1', seed)
  if (options.padTokenId !== undefined) requireOption(isToken(options.padTokenId), 'padTokenId', 'a token id', options.padTokenId)

  const maxNewTokens = newTokens(model, prompt, options)
  // Rows may have prompts of different lengths: a limit in new tokens holds for all of them.
  const limited: GenerationOptions = { ...options, maxNewTokens, maxLength: undefined }
  const processors = processorsFrom(limited)
  const doSample = options.doSample ?? false
  if (numBeams === 1 && !doSample && numReturnSequences > 1) {
    throw new ConfigError(`numReturnSequences is ${numReturnSequences}, but the likeliest token is always the same: add numBeams or doSample: true.`)
  }
  if (numBeams > 1 && numReturnSequences > numBeams) {
    throw new ConfigError(`numReturnSequences is ${numReturnSequences}, but there are only ${numBeams} beams.`)
  }
  if (numBeamGroups > 1 && doSample) throw new ConfigError('numBeamGroups does not go with doSample: true.')
  if ((options.diversityPenalty ?? 0) !== 0 && numBeamGroups === 1) {
    throw new ConfigError('diversityPenalty is for groups of beams: add numBeamGroups.')
  }

  const ends = options.eosTokenId === undefined ? [] : tokenList(options.eosTokenId, 'eosTokenId')
  const criteria = [...options.stoppingCriteria ?? []]
  requireOption(criteria.every(criterion => typeof criterion === 'function'), 'stoppingCriteria', 'a list of functions', options.stoppingCriteria)
  if (options.stopStrings?.length) criteria.push(stopStringCriterion(options.stopStrings, options.tokenizer))

  return {
    options, maxNewTokens, numBeams, numBeamGroups, numReturnSequences, lengthPenalty, earlyStopping, doSample, ends, processors, seed,
    outputScores, precision: context().precision,
    pad: options.padTokenId ?? ends[0] ?? 0,
    shortlist: shortlistOf(limited, model.vocabSize),
    isFinished: (tokens, sequence, promptLength) =>
      ends.includes(tokens.at(-1)!) || criteria.some(criterion => criterion(tokens, { sequence, promptLength })),
    checkAborted() {
      if (signal?.aborted) throw new AbortedError('the generation was aborted by its signal', { cause: signal.reason })
    },
  }
}

function newTokens({ maxPositions }: GenerativeModel, { width }: GenerationPrompt, { maxNewTokens, maxLength }: GenerationOptions): number {
  if (maxNewTokens !== undefined) {
    requireOption(isCount(maxNewTokens) && maxNewTokens > 0, 'maxNewTokens', 'a whole number > 0', maxNewTokens)
  } else if (maxLength !== undefined) {
    requireOption(isCount(maxLength) && maxLength > width, 'maxLength', `a whole number above ${width}, the length of the prompt`, maxLength)
  } else if (width >= maxPositions) {
    throw new ConfigError(`the prompt has ${width} tokens, and the model positions for ${maxPositions}. Shorten it.`)
  }
  const count = maxNewTokens ?? (maxLength ?? maxPositions) - width
  if (count === Infinity) throw new ConfigError('maxNewTokens or maxLength is needed: this model sets no limit by itself.')
  // The last token is never fed back, so it needs no position.
  if (width + count - 1 > maxPositions) {
    throw new ConfigError(`a prompt of ${width} tokens and ${count} new ones do not fit into the ${maxPositions} positions of the model. `
      + `Use maxNewTokens of at most ${Math.max(0, maxPositions - width + 1)}${width > maxPositions ? ', after shortening the prompt' : ''}.`)
  }
  return count
}

/** What cuts off or rescales logits by value alone, after topK has done so: such processors need not see the tokens that topK excludes. */
const afterTopK = ['temperature', 'topK', 'topP', 'minP', 'typicalP', 'epsilonCutoff', 'etaCutoff'] as const

function shortlistOf(options: GenerationOptions, vocabulary: number): number | undefined {
  const { doSample, topK, topH, renormalizeLogits, numBeams = 1 } = options
  if (!doSample || numBeams > 1 || topH !== undefined || renormalizeLogits || !topK || topK >= vocabulary) return undefined
  const others: GenerationOptions = { ...options }
  for (const name of afterTopK) delete others[name]
  return processorsFrom(others).length === 0 ? topK : undefined
}
