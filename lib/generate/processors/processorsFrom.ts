import { ConfigError } from '../../errors.js'
import { logSoftmaxRows } from '../sampling.js'
import { removeInvalidValues } from './invalidValues.js'
import { exponentialDecayLengthPenalty, forcedBos, forcedEos, minLength, minNewTokens } from './length.js'
import { requireOption, tokenList, type LogitsProcessor } from './logitsProcessor.js'
import {
  encoderNoRepeatNgram, encoderRepetitionPenalty, hammingDiversity, noRepeatNgram, presenceAndFrequencyPenalty, repetitionPenalty,
} from './repetition.js'
import {
  badWords, prefixConstrained, sequenceBias, suppressTokens, suppressTokensAtBegin, type AllowedTokens, type SequenceBias,
} from './sequences.js'
import { epsilonCutoff, etaCutoff, minP, temperature, topH, topK, topP, typicalP } from './truncation.js'
import { watermark, type WatermarkingConfig } from './watermark.js'

/** The options of generation that concern the logits, named as in transformers' GenerationConfig, in camelCase. */
export interface LogitsOptions {
  sequenceBias?: readonly SequenceBias[] | undefined
  diversityPenalty?: number | undefined
  encoderRepetitionPenalty?: number | undefined
  repetitionPenalty?: number | undefined
  presencePenalty?: number | undefined
  frequencyPenalty?: number | undefined
  noRepeatNgramSize?: number | undefined
  encoderNoRepeatNgramSize?: number | undefined
  badWordsIds?: readonly (readonly number[])[] | undefined
  /** Tokens, the prompt's among them, before which no text ends. Where `minNewTokens` is given that counts instead, as in transformers. */
  minLength?: number | undefined
  minNewTokens?: number | undefined
  prefixAllowedTokens?: AllowedTokens | undefined
  forcedBosTokenId?: number | undefined
  forcedEosTokenId?: number | readonly number[] | undefined
  removeInvalidValues?: boolean | undefined
  exponentialDecayLengthPenalty?: readonly [start: number, factor: number] | undefined
  suppressTokens?: readonly number[] | undefined
  beginSuppressTokens?: readonly number[] | undefined
  /** The caller's own, applied after those above and before sampling's. */
  logitsProcessors?: readonly LogitsProcessor[] | undefined
  temperature?: number | undefined
  topH?: number | undefined
  topK?: number | undefined
  topP?: number | undefined
  minP?: number | undefined
  typicalP?: number | undefined
  epsilonCutoff?: number | undefined
  etaCutoff?: number | undefined
  /** Marks the text: what came before decides which tokens get a bias. */
  watermarkingConfig?: WatermarkingConfig | undefined
  renormalizeLogits?: boolean | undefined
}

/** What the processors have to know of the rest of the options. */
export interface GenerationLimits {
  doSample?: boolean | undefined
  numBeams?: number | undefined
  eosTokenId?: number | readonly number[] | undefined
  maxLength?: number | undefined
  maxNewTokens?: number | undefined
}

/** And of the model. */
export interface ProcessorLimits extends GenerationLimits {
  /** V, which `watermarkingConfig` needs. */
  vocabSize?: number | undefined
}

const samplingOptions = ['temperature', 'topH', 'topK', 'topP', 'minP', 'typicalP', 'epsilonCutoff', 'etaCutoff'] as const

/**
 * The processors that the options ask for, in the order of transformers 5.23 (the diversity penalty where 4.x had it, the presence and
 * frequency penalties after the repetition penalty). An option at its neutral value (a penalty of 1, a size of 0) adds nothing. Those of
 * sampling are in force with `doSample: true`; with `doSample: false` they are passed over.
 *
 * @throws ConfigError for a value outside of its range, for a missing `eosTokenId` or `maxLength` where an option needs one, and for an
 * option of sampling while `doSample` is not given at all
 */
export function processorsFrom(options: LogitsOptions & ProcessorLimits): LogitsProcessor[] {
  const o = options
  const ends = o.eosTokenId === undefined ? [] : tokenList(o.eosTokenId, 'eosTokenId')
  const list: LogitsProcessor[] = []
  const add = <T>(value: T | undefined, neutral: T | undefined, create: (value: T) => LogitsProcessor) => {
    if (value !== undefined && value !== neutral) list.push(create(value))
  }

  add(o.sequenceBias, undefined, sequenceBias)
  add(o.diversityPenalty, 0, hammingDiversity)
  add(o.encoderRepetitionPenalty, 1, encoderRepetitionPenalty)
  add(o.repetitionPenalty, 1, repetitionPenalty)
  if ((o.presencePenalty ?? 0) !== 0 || (o.frequencyPenalty ?? 0) !== 0) {
    list.push(presenceAndFrequencyPenalty(o.presencePenalty ?? 0, o.frequencyPenalty ?? 0))
  }
  add(o.noRepeatNgramSize, 0, noRepeatNgram)
  add(o.encoderNoRepeatNgramSize, 0, encoderNoRepeatNgram)
  add(o.badWordsIds, undefined, words => badWords(words, ends))
  if (o.minNewTokens === undefined) add(o.minLength, 0, least => minLength(least, ends))
  add(o.minNewTokens, 0, least => minNewTokens(least, ends))
  add(o.prefixAllowedTokens, undefined, prefixConstrained)
  add(o.forcedBosTokenId, undefined, forcedBos)
  add(o.forcedEosTokenId, undefined, tokens => forcedEos(tokens, limitOf(o)))
  add(o.removeInvalidValues, false, () => removeInvalidValues)
  add(o.exponentialDecayLengthPenalty, undefined, penalty => {
    if (ends.length === 0) throw new ConfigError('exponentialDecayLengthPenalty needs eosTokenId, the token that it makes likelier.')
    return exponentialDecayLengthPenalty(penalty, ends)
  })
  add(o.suppressTokens, undefined, suppressTokens)
  add(o.beginSuppressTokens, undefined, tokens => suppressTokensAtBegin(tokens, o.forcedBosTokenId !== undefined))
  for (const processor of o.logitsProcessors ?? []) {
    requireOption(typeof processor === 'function', 'logitsProcessors', 'a list of functions', o.logitsProcessors)
    list.push(processor)
  }
  if (sampling(o)) {
    // Beam sampling must be able to go on beside ending: one token more than there are end tokens.
    const keep = (o.numBeams ?? 1) > 1 ? Math.max(1, ends.length) + 1 : 1
    add(o.temperature, 1, temperature)
    add(o.topH, undefined, topH)
    add(o.topK, 0, k => topK(k, keep))
    add(o.topP, 1, p => topP(p, keep))
    add(o.minP, undefined, p => minP(p, keep))
    add(o.typicalP, 1, mass => typicalP(mass, keep))
    add(o.epsilonCutoff, 0, epsilon => epsilonCutoff(epsilon, keep))
    add(o.etaCutoff, 0, epsilon => etaCutoff(epsilon, keep))
  }
  add(o.watermarkingConfig, undefined, config => {
    if (o.vocabSize === undefined) throw new ConfigError('watermarkingConfig needs vocabSize, of which the green tokens are a part.')
    return watermark(config, o.vocabSize)
  })
  add(o.renormalizeLogits, false, () => (_, logits, { rows, vocabulary }) => logSoftmaxRows(logits, rows, vocabulary))
  return list
}

function sampling(options: LogitsOptions & GenerationLimits): boolean {
  if (options.doSample !== undefined) return options.doSample
  const given = samplingOptions.find(name => options[name] !== undefined)
  if (given !== undefined) throw new ConfigError(`${given} is an option of sampling: add doSample: true, or doSample: false to pass it over.`)
  return false
}

function limitOf({ maxLength, maxNewTokens }: GenerationLimits): { maxLength: number } | { maxNewTokens: number } {
  if (maxNewTokens !== undefined) return { maxNewTokens }
  if (maxLength !== undefined) return { maxLength }
  throw new ConfigError('forcedEosTokenId needs maxLength or maxNewTokens, to know which token is the last.')
}
