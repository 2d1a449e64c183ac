import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError } from '../errors.js'
import { ioError, systemCode } from '../io/ioError.js'
import { camelCase, isGenerationOption, type GenerationOptions } from './options.js'

type Json = Readonly<Record<string, unknown>>

/** Those that a model was loaded with. */
const defaults = new WeakMap<object, GenerationOptions>()

/** What `generate` takes for options that are not given: of the model's `generation_config.json`, or what was set since. */
export const generationDefaults = (model: object): GenerationOptions => defaults.get(model) ?? {}

/** Sets what `generate` takes for options that are not given to it. */
export function setGenerationDefaults(model: object, options: GenerationOptions): void { defaults.set(model, defined(options)) }

/** The options of a call, completed by the model's defaults. */
export function withDefaults(model: object, given: GenerationOptions): GenerationOptions {
  const { maxNewTokens, ...others } = generationDefaults(model), explicit = defined(given)
  // A limit of the call is meant to count, whichever of the two kinds the defaults have.
  const limit = maxNewTokens === undefined || explicit.maxLength !== undefined ? {} : { maxNewTokens }
  const options = { ...others, ...limit, ...explicit }
  // Options of sampling in a file say how to sample, not whether to.
  return options.doSample === undefined && samplingOptions.some(name => others[name] !== undefined) && !samplingOptions.some(name => explicit[name] !== undefined)
    ? { ...options, doSample: false } : options
}

const samplingOptions = ['temperature', 'topH', 'topK', 'topP', 'minP', 'typicalP', 'epsilonCutoff', 'etaCutoff'] as const

/**
 * The options in a directory's `generation_config.json`; without that file those in `config.json`, where models before it had them.
 * @param config config.json   @throws CheckpointError for a file that is not JSON
 */
export async function readGenerationConfig(directory: string, config: Json = {}): Promise<GenerationOptions> {
  const path = join(directory, 'generation_config.json')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return generationOptions(config)
    throw ioError('read', path, error)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new CheckpointError(`${path} is not JSON (${(cause as Error).message}). Save or download it again.`, { cause })
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new CheckpointError(`${path}: expected an object.`)
  return generationOptions(json as Json)
}

/** Options under the names of transformers as options of `generate`. Keys that transformers does not know either, and nulls, say nothing. */
export function generationOptions(json: Json): GenerationOptions {
  const said = (key: string, value: unknown) => value !== null && value !== undefined && !(key === 'pad_token_id' && (value as number) < 0)   // old LLaMAs' -1: none
  const options = Object.entries(json).filter(([key, value]) => said(key, value) && isGenerationOption(camelCase(key)) && !ofTheFile.has(key))
  return Object.fromEntries(options.map(([key, value]) => [camelCase(key), key === 'watermarking_config' ? renamed(value as Json, camelCase) : value])) as GenerationOptions
}

/**
 * What a file does not say: how the result is returned, what is ours, and `hybrid` caches, which meant no more than what sliding layers have in any case.
 */
const ofTheFile: ReadonlySet<string> = new Set([
  'cache_implementation', 'return_dict_in_generate', 'output_scores', 'output_logits', 'output_attentions', 'output_hidden_states', 'use_cache', 'logprobs', 'seed',
  'signal', 'tokenizer', 'presence_penalty', 'frequency_penalty',
])

const renamed = (json: Json, name: (key: string) => string): Json => Object.fromEntries(Object.entries(json).map(([key, value]) => [name(key), value]))
const snakeCase = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

/** The defaults of a model as a `generation_config.json`; undefined if it has none. */
export function generationConfigOf(model: object): Json | undefined {
  const { watermarkingConfig, ...options } = generationDefaults(model)
  const entries: [string, unknown][] = Object.entries(options).filter(([, value]) => isJson(value))
  if (watermarkingConfig) entries.push(['watermarkingConfig', renamed({ ...watermarkingConfig }, snakeCase)])
  return entries.length === 0 ? undefined : renamed(Object.fromEntries(entries), snakeCase)
}

const isJson = (value: unknown): boolean => ['number', 'string', 'boolean'].includes(typeof value) || (Array.isArray(value) && value.every(isJson))

/** Without the options that are given as undefined, which would hide the defaults. */
export function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}
