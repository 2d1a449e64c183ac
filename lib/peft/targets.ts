import { ConfigError } from '../errors.js'
import type { Module } from '../nn/module.js'
import { classOf } from '../models/registry.js'
import { isLinear } from './baseLayer.js'
import type { IA3Config, LoraConfig, TargetingConfig } from './config.js'
import { type Place, placesWithin } from './places.js'

// Which modules an adapter changes: the rules of peft's target_modules, by names of modules.

/** What peft takes where target_modules is not given, by type of model; `ia3` with the feed-forward ones last. */
const lists: Readonly<Record<string, { lora: readonly string[], ia3?: readonly string[], feedforward?: readonly string[] }>> = {
  t5: { lora: ['q', 'v'], ia3: ['k', 'v', 'wo'], feedforward: ['wo'] },
  mt5: { lora: ['q', 'v'], ia3: ['k', 'v', 'wi_1'], feedforward: [] },
  bart: { lora: ['q_proj', 'v_proj'], ia3: ['q_proj', 'v_proj', 'fc2'], feedforward: ['fc2'] },
  gpt2: { lora: ['c_attn'], ia3: ['c_attn', 'mlp.c_proj'], feedforward: ['mlp.c_proj'] },
  bloom: { lora: ['query_key_value'], ia3: ['query_key_value', 'mlp.dense_4h_to_h'], feedforward: ['mlp.dense_4h_to_h'] },
  opt: { lora: ['q_proj', 'v_proj'], ia3: ['q_proj', 'k_proj', 'fc2'], feedforward: ['fc2'] },
  gptj: { lora: ['q_proj', 'v_proj'], ia3: ['q_proj', 'v_proj', 'fc_out'], feedforward: ['fc_out'] },
  gpt_neox: { lora: ['query_key_value'], ia3: ['query_key_value', 'dense_4h_to_h'], feedforward: ['dense_4h_to_h'] },
  falcon: { lora: ['query_key_value'], ia3: ['query_key_value', 'dense_4h_to_h'], feedforward: ['dense_4h_to_h'] },
  bert: { lora: ['query', 'value'], ia3: ['key', 'value', 'output.dense'], feedforward: ['output.dense'] },
  roberta: { lora: ['query', 'value'], ia3: ['key', 'value', 'output.dense'], feedforward: ['output.dense'] },
  'xlm-roberta': { lora: ['query', 'value'] },
  llama: { lora: ['q_proj', 'v_proj'], ia3: ['k_proj', 'v_proj', 'down_proj'], feedforward: ['down_proj'] },
  mistral: { lora: ['q_proj', 'v_proj'], ia3: ['k_proj', 'v_proj', 'down_proj'], feedforward: ['down_proj'] },
  mixtral: { lora: ['q_proj', 'v_proj'], ia3: ['k_proj', 'v_proj', 'w2'], feedforward: ['w2'] },
  gemma: { lora: ['q_proj', 'v_proj'], ia3: ['q_proj', 'v_proj', 'down_proj'], feedforward: ['down_proj'] },
  gemma2: { lora: ['q_proj', 'v_proj'], ia3: ['q_proj', 'v_proj', 'down_proj'], feedforward: ['down_proj'] },
  qwen2: { lora: ['q_proj', 'v_proj'], ia3: ['q_proj', 'v_proj', 'down_proj'], feedforward: ['down_proj'] },
  qwen3: { lora: ['q_proj', 'v_proj'], ia3: ['q_proj', 'v_proj', 'down_proj'], feedforward: ['down_proj'] },
  phi: { lora: ['q_proj', 'v_proj', 'fc1', 'fc2'], ia3: ['q_proj', 'v_proj', 'fc2'], feedforward: ['fc2'] },
}

/** Output layers over the vocabulary, which 'all-linear' leaves out: get_output_embeddings of transformers. */
export const outputLayers = new Set(['lm_head', 'lm_head.decoder', 'embed_out', 'cls.predictions.decoder', 'predictions.decoder', 'vocab_projector'])

/** The type of a model, under which peft keeps its lists. */
export const modelTypeOf = (model: Module): string => classOf(model)?.modelType ?? model.constructor.name

/**
 * The configuration with its targets spelled out: peft's list for the type of model, and the layers of 'all-linear' by name.
 * @throws ConfigError if the targets are not given, and there is no list for the model
 */
export function withTargets<C extends TargetingConfig>(model: Module, config: C): C {
  const type = modelTypeOf(model), list = Object.hasOwn(lists, type) ? lists[type] : undefined
  const missing = (name: string): ConfigError => new ConfigError(`adapter: ${name} is not given, and there is no usual choice for ${type}. `
    + `Give names of linear layers, such as ${[...lastNames(model)].slice(0, 6).join(', ')}, or 'all-linear'.`)
  let { target_modules: targets } = config
  if (targets === null) {
    targets = (config.peft_type === 'IA3' ? list?.ia3 : config.peft_type === 'LORA' ? list?.lora : undefined) ?? null
    if (targets === null) throw missing('target_modules')
  }
  if (typeof targets === 'string' && targets.toLowerCase() === 'all-linear') targets = allLinear(model, config)
  if (config.peft_type !== 'IA3') return { ...config, target_modules: targets }
  const feedforward = (config as IA3Config).feedforward_modules ?? list?.feedforward
  if (feedforward === undefined) throw missing('feedforward_modules')
  return { ...config, target_modules: targets, feedforward_modules: feedforward }
}

function allLinear(model: Module, { task_type }: TargetingConfig): string[] {
  const names = [...placesWithin(model)].filter(([, module]) => isLinear(module)).map(([name]) => name)
  const output = names.filter(name => outputLayers.has(name))
  const head = output.length === 0 && task_type === 'SEQ_CLS' ? ['score', 'classifier'].find(name => names.includes(name)) : undefined
  return names.filter(name => !outputLayers.has(name) && name !== head).sort()
}

/**
 * The modules that the configuration targets.
 * @throws ConfigError if there are none, or a pattern is no regular expression
 */
export function targetsIn(model: Module, config: TargetingConfig): Place[] {
  const matches = matcher(config)
  const found = [...placesWithin(model)].filter(([name]) => matches(name))
  if (found.length === 0) {
    const { exclude_modules: excluded, modules_to_save: saved } = config
    throw new ConfigError(`adapter: no module matches target_modules ${JSON.stringify(config.target_modules)}`
      + `${excluded?.length ? ` without exclude_modules ${JSON.stringify(excluded)}` : ''}${saved?.length ? ` and outside of modules_to_save ${JSON.stringify(saved)}` : ''}`
      + `${'layers_to_transform' in config && config.layers_to_transform !== null ? ` in the layers ${JSON.stringify(config.layers_to_transform)}` : ''}. `
      + `Linear layers of this model are called ${[...lastNames(model)].join(', ')}.`)
  }
  return found
}

function matcher(config: TargetingConfig): (name: string) => boolean {
  const { target_modules: targets, exclude_modules: excluded, modules_to_save: saved } = config
  const isTarget = named('target_modules', targets!), isExcluded = excluded?.length ? named('exclude_modules', excluded) : () => false
  // Modules that are trained whole hold no adapters.
  const isSaved = (saved ?? []).map(name => expression('modules_to_save', `(^|.*\\.)${name}($|\\..*)`, '^'))
  const { layers_to_transform: layers = null, layers_pattern: pattern = null } = config as Partial<LoraConfig>
  return name => {
    if (isExcluded(name) || isSaved.some(saves => saves.test(name)) || !isTarget(name)) return false
    if (layers === null || [layers].flat().length === 0 || typeof targets === 'string' || targets!.includes(name)) return true
    const layer = layerOf(name, pattern)
    return layer !== undefined && [layers].flat().includes(layer)
  }
}

/** Which layer a module belongs to: the first number behind a name, or behind one of the given names. */
export function layerOf(name: string, pattern: string | readonly string[] | null = null): number | undefined {
  const patterns = pattern === null || pattern.length === 0 ? ['^.*?\\.[^.]*\\.(\\d+)\\.'] : [pattern].flat().map(p => `^(?:|.*?\\.)${p}\\.(\\d+)\\.`)
  for (const p of patterns) {
    const match = expression('layers_pattern', p).exec(name)
    if (match) return Number(match.at(-1))
  }
  return undefined
}

/** One text is a regular expression for the whole name; a list has names, and ends of names behind a dot. */
function named(key: string, names: string | readonly string[]): (name: string) => boolean {
  if (typeof names === 'string') {
    const whole = expression(key, names, '^', '$')
    return name => whole.test(name)
  }
  return name => names.some(end => name === end || name.endsWith(`.${end}`))
}

/** Rank or alpha of a layer: that of the first pattern that matches the end of its name. */
export function byPattern(key: string, patterns: Readonly<Record<string, number>>, name: string, usual: number): number {
  for (const [pattern, value] of Object.entries(patterns)) if (expression(key, `(.*\\.)?(${pattern})`, '^', '$').test(name)) return value
  return usual
}

/** Whether IA3 scales the input of a target. */
export function isFeedForward({ feedforward_modules: names }: IA3Config, name: string): boolean {
  return typeof names === 'string' ? expression('feedforward_modules', names, '^', '$').test(name) : names!.some(end => name.endsWith(end))
}

/** A regular expression of Python's; named groups are written otherwise there. @throws ConfigError if it is none */
function expression(key: string, pattern: string, begin = '', end = ''): RegExp {
  try {
    return new RegExp(`${begin}(?:${pattern.replaceAll('(?P<', '(?<')})${end}`, 's')
  } catch (cause) {
    throw new ConfigError(`adapter: ${key} has '${pattern}', which is no regular expression that JavaScript knows (${(cause as Error).message})`, { cause })
  }
}

/** Last parts of the names of linear layers. */
const lastNames = (model: Module): Set<string> =>
  new Set([...placesWithin(model)].filter(([, module]) => isLinear(module)).map(([name]) => name.split('.').at(-1)!))
