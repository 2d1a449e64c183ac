import { readFile } from 'node:fs/promises'
import { DataError } from '../errors.js'
import { Constraint } from '../generate/constraints/constraint.js'
import { generationDefaults } from '../generate/generationConfig.js'
import type { GenerationOptions } from '../generate/options.js'
import { ioError } from '../io/ioError.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { UsageError, type Flag, type Options } from './arguments.js'
import { generativeModel } from './models.js'

/** How to generate, for `generate` and `chat` alike. */
export const generationFlags: Record<string, Flag> = {
  maxNewTokens: { value: 'N', about: 'most new tokens (default 256, or what the model says)' },
  minNewTokens: { value: 'N', about: 'no end before so many' },
  maxTime: { value: 'SECONDS', about: 'longest time' },
  doSample: { about: 'sample instead of taking the likeliest token' },
  temperature: { value: 'X', about: 'of sampling: below 1 is bolder in what is likely' },
  topK: { value: 'N', about: 'sample among the N likeliest' },
  topP: { value: 'P', about: 'sample among the likeliest that make up this probability' },
  minP: { value: 'P', about: 'sample among those with this part of the greatest probability at least' },
  typicalP: { value: 'P', about: 'typical sampling (Meister et al. 2022)' },
  repetitionPenalty: { value: 'X', about: 'above 1 makes what was said less likely' },
  noRepeatNgramSize: { value: 'N', about: 'no N tokens come twice' },
  seed: { value: 'N', about: 'of sampling' },
  stopStrings: { value: 'TEXT', about: 'end behind this text' },
  regex: { value: 'PATTERN', about: 'the answer matches this regular expression' },
  jsonSchema: { value: 'FILE', about: 'the answer is JSON that this schema validates' },
  assistantModel: { value: 'MODEL', about: 'a smaller model of the same vocabulary that guesses tokens: faster, the same text' },
  numAssistantTokens: { value: 'N', about: 'how many it guesses at a time (default 20)' },
  promptLookupNumTokens: { value: 'N', about: 'guess so many tokens by what followed the same words before' },
  cacheImplementation: { value: 'dynamic|static|quantized', about: 'how keys and values are kept (default dynamic)' },
}

/** @throws UsageError for values that are no numbers; what the generation refuses, it says itself */
export async function generationOptions(options: Options, tokenizer: Tokenizer): Promise<GenerationOptions> {
  const numbers = ['temperature', 'topP', 'minP', 'typicalP', 'repetitionPenalty', 'maxTime'] as const
  const counts = ['minNewTokens', 'topK', 'noRepeatNgramSize', 'seed', 'numAssistantTokens', 'promptLookupNumTokens'] as const
  const draft = options.text('assistantModel'), stop = options.text('stopStrings')
  if (options.has('regex') && options.has('jsonSchema')) throw new UsageError('--regex and --json-schema both say what the answer is: give one of them')
  const constraint = options.has('regex') ? Constraint.regex(options.text('regex')!, tokenizer)
    : options.has('jsonSchema') ? Constraint.json(await json(options.text('jsonSchema')!), tokenizer) : undefined
  const given: GenerationOptions = {
    ...Object.fromEntries(numbers.map(name => [name, options.number(name)])), ...Object.fromEntries(counts.map(name => [name, options.count(name)])),
    maxNewTokens: options.count('maxNewTokens', 1), stopStrings: stop === undefined ? undefined : [stop], tokenizer, constraint,
    cacheImplementation: options.word('cacheImplementation', ['dynamic', 'static', 'quantized']),
    ...(options.has('doSample') ? { doSample: options.on('doSample') } : {}), ...(draft === undefined ? {} : { assistantModel: (await generativeModel(draft)).model }),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** The limit that is meant where none is given: the model's, or 256 tokens, as far as there is room. */
export function limit(model: GenerativeModel, options: GenerationOptions, promptLength: number): GenerationOptions {
  const known = generationDefaults(model)
  if (options.maxNewTokens !== undefined || options.maxLength !== undefined || known.maxNewTokens !== undefined || known.maxLength !== undefined) return {}
  const room = model.maxPositions - (model.isEncoderDecoder ? 1 : promptLength) + 1
  return { maxNewTokens: Math.max(1, Math.min(256, room)) }
}

async function json(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => { throw ioError('read', path, error) })
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new DataError(`${path} is not JSON: ${(cause as Error).message}`, { cause })
  }
}
