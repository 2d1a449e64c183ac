import { AbortedError, ConfigError } from '../errors.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { CacheOptions } from '../nn/keyValueCache.js'
import type { DType } from '../tensor/dtype.js'
import { context } from '../tensor/scope.js'
import type { GenerationPrompt } from './inputs.js'
import type { GenerationOptions } from './options.js'
import { isCount, isToken, requireOption, tokenList, type LogitsProcessor } from './processors/logitsProcessor.js'
import { type ProcessorLimits, processorsFrom } from './processors/processorsFrom.js'
import { mostDrafted } from './speculative/speculative.js'
import { maxTimeCriterion, stopStringCriterion } from './stoppingCriteria.js'

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
  /** Of each new token its log-probability is kept. */
  readonly logprobs: boolean
  /** How many likeliest tokens are kept with theirs. */
  readonly topLogprobs: number
  readonly outputScores: boolean
  readonly outputLogits: boolean
  readonly cache: CacheOptions
  /** Whether tokens are guessed and checked several at a time. */
  readonly speculates: boolean
  /** Whether all logits have to be read, and tokens are chosen on the host. */
  readonly onHost: boolean
  /** Of the `autocast` that surrounds the call. */
  readonly precision: DType
  /** Whether a sequence is finished, after its last token. */
  isFinished(tokens: readonly number[], sequence: number, promptLength: number): boolean
  /** @throws AbortedError if the caller's signal has fired */
  checkAborted(): void
}

/** @throws ConfigError for an option that is out of its range, or that does not go with another */
export function planGeneration(model: GenerativeModel, prompt: GenerationPrompt, options: GenerationOptions): GenerationPlan {
  const {
    numBeams = 1, numBeamGroups = 1, numReturnSequences = 1, lengthPenalty = 1, earlyStopping = false, outputScores = false, outputLogits = false,
    logprobs = false, maxTime, signal, seed = Math.floor(Math.random() * 2 ** 32),
  } = options
  requireOption(isCount(numBeams) && numBeams > 0, 'numBeams', 'a whole number > 0', numBeams)
  requireOption(isCount(numReturnSequences) && numReturnSequences > 0, 'numReturnSequences', 'a whole number > 0', numReturnSequences)
  const divides = isCount(numBeamGroups) && numBeamGroups > 0 && numBeams % numBeamGroups === 0
  requireOption(divides, 'numBeamGroups', `a divisor of numBeams, which is ${numBeams}`, numBeamGroups)
  requireOption(Number.isFinite(lengthPenalty), 'lengthPenalty', 'a finite number', lengthPenalty)
  requireOption([true, false, 'never'].includes(earlyStopping), 'earlyStopping', "true, false or 'never'", earlyStopping)
  requireOption(isToken(seed), 'seed', 'an integer from 0 to 2^53 - 1', seed)
  requireOption(typeof logprobs === 'boolean' || (isCount(logprobs) && logprobs <= model.vocabSize), 'logprobs', `a boolean, or a number up to ${model.vocabSize}`, logprobs)
  const { prefillChunkSize = 1 } = options
  requireOption(isCount(prefillChunkSize) && prefillChunkSize > 0, 'prefillChunkSize', 'a whole number > 0', prefillChunkSize)
  if (maxTime !== undefined) requireOption(maxTime > 0, 'maxTime', 'seconds > 0', maxTime)
  if (options.padTokenId !== undefined) requireOption(isToken(options.padTokenId), 'padTokenId', 'a token id', options.padTokenId)

  const maxNewTokens = newTokens(model, prompt, options)
  // Rows may have prompts of different lengths: a limit in new tokens holds for all of them.
  const ends = options.eosTokenId === undefined ? [] : tokenList(options.eosTokenId, 'eosTokenId'), { constraint } = options
  const limited: GenerationOptions & ProcessorLimits = { ...options, maxNewTokens, maxLength: undefined, vocabSize: model.vocabSize,
    ...(constraint ? { logitsProcessors: [...options.logitsProcessors ?? [], constraint.processor(ends, maxNewTokens)] } : {}) }
  const processors = processorsFrom(limited)
  const doSample = options.doSample ?? false
  if (numBeams === 1 && !doSample && numReturnSequences > 1) {
    throw new ConfigError(`numReturnSequences is ${numReturnSequences}, but the likeliest token is always the same: add numBeams or doSample: true.`)
  }
  if (numBeams > 1) requireMemory(model, prompt, numBeams)
  if (numBeams > 1 && (outputLogits || typeof logprobs === 'number' || options.onToken)) {
    throw new ConfigError(`${outputLogits ? 'outputLogits' : options.onToken ? 'onToken' : 'logprobs as a number'} goes with numBeams: 1 only; beams have sequencesScores, logprobs: true and outputScores.`)
  }
  if (numBeams > 1 && numReturnSequences > numBeams) {
    throw new ConfigError(`numReturnSequences is ${numReturnSequences}, but there are only ${numBeams} beams.`)
  }
  if (numBeamGroups > 1 && doSample) throw new ConfigError('numBeamGroups does not go with doSample: true.')
  if ((options.diversityPenalty ?? 0) !== 0 && numBeamGroups === 1) {
    throw new ConfigError('diversityPenalty is for groups of beams: add numBeamGroups.')
  }

  const speculates = requireSpeculation(model, prompt, options), draftTokens = options.promptLookupNumTokens ?? options.numAssistantTokens ?? 20
  const grows = (options.numAssistantTokensSchedule ?? 'constant') !== 'constant'
  const criteria = [...options.stoppingCriteria ?? []]
  requireOption(criteria.every(criterion => typeof criterion === 'function'), 'stoppingCriteria', 'a list of functions', options.stoppingCriteria)
  if (options.stopStrings?.length) criteria.push(stopStringCriterion(options.stopStrings, options.tokenizer))
  if (constraint) criteria.push(constraint.criterion())
  if (maxTime !== undefined) criteria.push(maxTimeCriterion(maxTime))

  return {
    options, maxNewTokens, numBeams, numBeamGroups, numReturnSequences, lengthPenalty, earlyStopping, doSample, ends, processors, seed,
    outputScores, outputLogits, speculates, cache: { ...cacheOptions(model, prompt, limited), ...(speculates ? { reserve: (grows ? Math.max(draftTokens, mostDrafted) : draftTokens) + 1 } : {}) }, logprobs: logprobs !== false, topLogprobs: typeof logprobs === 'number' ? logprobs : 0,
    onHost: doSample || processors.length > 0 || outputScores || outputLogits || typeof logprobs === 'number', precision: context().precision,
    pad: options.padTokenId ?? ends[0] ?? 0,
    shortlist: shortlistOf(limited, model.vocabSize),
    isFinished: (tokens, sequence, promptLength) =>
      ends.includes(tokens.at(-1)!) || criteria.some(criterion => criterion(tokens, { sequence, promptLength })),
    checkAborted() {
      if (signal?.aborted) throw new AbortedError('the generation was aborted by its signal', { cause: signal.reason })
    },
  }
}

/** @returns whether the options ask for guesses @throws ConfigError for what does not go with them */
function requireSpeculation({ vocabSize, sourceVocabSize, isEncoderDecoder }: GenerativeModel, { texts, source }: GenerationPrompt, options: GenerationOptions): boolean {
  const { assistantModel, promptLookupNumTokens, numAssistantTokens = 20, numAssistantTokensSchedule: schedule = 'constant', maxMatchingNgramSize = 2, assistantConfidenceThreshold = 0.4 } = options
  requireOption(isCount(numAssistantTokens) && numAssistantTokens > 0, 'numAssistantTokens', 'a whole number > 0', numAssistantTokens)
  requireOption(['constant', 'heuristic', 'heuristic_transient'].includes(schedule), 'numAssistantTokensSchedule', "'constant' or 'heuristic'", schedule)
  requireOption(isCount(maxMatchingNgramSize) && maxMatchingNgramSize > 0, 'maxMatchingNgramSize', 'a whole number > 0', maxMatchingNgramSize)
  requireOption(assistantConfidenceThreshold >= 0 && assistantConfidenceThreshold <= 1, 'assistantConfidenceThreshold', 'a number from 0 to 1', assistantConfidenceThreshold)
  if (promptLookupNumTokens !== undefined) requireOption(isCount(promptLookupNumTokens) && promptLookupNumTokens > 0, 'promptLookupNumTokens', 'a whole number > 0', promptLookupNumTokens)
  if (!assistantModel && promptLookupNumTokens === undefined) return false
  const name = assistantModel ? 'assistantModel' : 'promptLookupNumTokens'
  if (assistantModel && promptLookupNumTokens !== undefined) throw new ConfigError('assistantModel and promptLookupNumTokens both guess: give one of them.')
  if ((options.numBeams ?? 1) > 1 || (options.numReturnSequences ?? 1) > 1 || texts.length > 1) throw new ConfigError(`${name} is for one prompt and one sequence, without beams.`)
  if (!assistantModel) return true
  const kind = (encodes: boolean): string => encodes ? 'has an encoder' : 'has no encoder'
  if (assistantModel.isEncoderDecoder !== isEncoderDecoder) throw new ConfigError(`assistantModel ${kind(assistantModel.isEncoderDecoder)}, the model ${kind(isEncoderDecoder)}: what they read differs. Use a smaller model of the same kind.`)
  for (const [its, own] of [[assistantModel.vocabSize, vocabSize], [assistantModel.sourceVocabSize ?? assistantModel.vocabSize, sourceVocabSize ?? vocabSize]] as const)
    if (its !== own) throw new ConfigError(`assistantModel has a vocabulary of ${its}, the model one of ${own}. It has to have the same tokenizer.`)
  if (source && source.width > assistantModel.maxPositions)
    throw new ConfigError(`the source has ${source.width} tokens, and assistantModel positions for ${assistantModel.maxPositions}. Use another one, or promptLookupNumTokens.`)
  return true
}

const cacheKinds = ['dynamic', 'static', 'quantized']

function cacheOptions({ isEncoderDecoder }: GenerativeModel, { width, texts, mask }: GenerationPrompt, options: GenerationOptions): CacheOptions {
  const { cacheImplementation: kind, maxCacheLen, maxNewTokens = 0, numBeams = 1, numReturnSequences = 1, promptCache } = options
  requireOption(kind === undefined || cacheKinds.includes(kind), 'cacheImplementation', `one of ${cacheKinds.join(', ')}`, kind)
  if (promptCache && (isEncoderDecoder || numBeams > 1 || numReturnSequences > 1 || texts.length > 1 || mask))
    throw new ConfigError('promptCache is for one prompt without padding, one sequence, and models without an encoder.')
  if (maxCacheLen === undefined) return kind && kind !== 'dynamic' ? { kind, ...(kind === 'static' ? { maxLength: width + maxNewTokens - 1 } : {}) } : {}
  if (kind !== 'static') throw new ConfigError("maxCacheLen is for cacheImplementation: 'static'; others grow.")
  const needed = width + maxNewTokens - 1
  requireOption(isCount(maxCacheLen) && maxCacheLen >= needed, 'maxCacheLen', `at least ${needed}, for a prompt of ${width} tokens and ${maxNewTokens} new ones`, maxCacheLen)
  return { kind, maxLength: maxCacheLen }
}

/** Bytes that one step of a beam search may take: log-probabilities, and the candidates that are compared, of which each is an object. */
const mostBeamBytes = 2 ** 29

function requireMemory({ vocabSize }: GenerativeModel, { texts }: GenerationPrompt, numBeams: number): void {
  const bytes = (beams: number) => texts.length * beams * (64 * Math.min(2 * beams, vocabSize) + 8 * vocabSize)
  const useful = Math.max(vocabSize, 1024)
  if (numBeams > useful) throw new ConfigError(`numBeams is ${numBeams}, with a vocabulary of ${vocabSize}: at most ${useful} are of use.`)
  if (bytes(numBeams) <= mostBeamBytes) return
  let most = 1
  while (bytes(2 * most) <= mostBeamBytes) most *= 2
  throw new ConfigError(`numBeams is ${numBeams}: with a vocabulary of ${vocabSize} each step would take ${(bytes(numBeams) / 2 ** 30).toFixed(1)} GiB of memory`
    + `${texts.length > 1 ? ` for a batch of ${texts.length}` : ''}, the bound is 0.5 GiB. Use ${most} beams at most${texts.length > 1 ? ', or smaller batches' : ''}.`)
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
  const { doSample, topK, topH, renormalizeLogits, outputScores, outputLogits, logprobs, numBeams = 1 } = options
  if (!doSample || outputScores || outputLogits || typeof logprobs === 'number' || numBeams > 1 || topH !== undefined || renormalizeLogits || !topK || topK >= vocabulary) return undefined
  const others: GenerationOptions & ProcessorLimits = { ...options, vocabSize: vocabulary }
  for (const name of afterTopK) delete others[name]
  return processorsFrom(others).length === 0 ? topK : undefined
}
