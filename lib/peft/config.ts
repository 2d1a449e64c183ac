import { ConfigError } from '../errors.js'
import { closest } from '../spelling.js'

// adapter_config.json, key by key as peft writes it. What changes numbers is honoured or refused by name; nothing is ignored in silence.

export type PeftType = 'LORA' | 'IA3' | 'PROMPT_TUNING' | 'PREFIX_TUNING' | 'BOTTLENECK'
export type TaskType = 'CAUSAL_LM' | 'SEQ_2_SEQ_LM' | 'SEQ_CLS' | 'TOKEN_CLS' | 'QUESTION_ANS' | 'FEATURE_EXTRACTION'

interface CommonConfig {
  task_type: TaskType | null
  base_model_name_or_path: string | null
  revision: string | null
  auto_mapping: object | null
  /** Loaded to be used, not trained. */
  inference_mode: boolean
  /** Modules that are trained whole, as copies, beside the adapter: every module whose name ends so. */
  modules_to_save: readonly string[] | null
}

interface TargetedConfig extends CommonConfig {
  /** Names, or ends of names behind a dot; one text: a regular expression for the whole name, or 'all-linear'. Default: what peft takes for the type of model. */
  target_modules: string | readonly string[] | null
  exclude_modules: string | readonly string[] | null
}

/** Low-rank updates of weights. @see Hu et al. 2021, https://arxiv.org/abs/2106.09685 */
export interface LoraConfig extends TargetedConfig {
  peft_type: 'LORA'
  /** Rank. */
  r: number
  /** The update is scaled by lora_alpha / r. */
  lora_alpha: number
  lora_dropout: number
  /** Whether weights are stored `[in, out]`. Corrected for each layer by what the layer is, as in peft. */
  fan_in_fan_out: boolean
  /** Biases of the base that are trained along. */
  bias: 'none' | 'all' | 'lora_only'
  /** Scale by lora_alpha / sqrt(r). @see Kalajdzievski 2023, https://arxiv.org/abs/2312.03732 */
  use_rslora: boolean
  /** Train directions and magnitudes apart. @see Liu et al. 2024, https://arxiv.org/abs/2402.09353 */
  use_dora: boolean
  /** The second factor has a bias. */
  lora_bias: boolean
  /** true: A as in Linear, B zero; 'gaussian': A normal with standard deviation 1 / r; 'orthogonal', 'olora', 'pissa'; false: both random, for tests. */
  init_lora_weights: boolean | string
  layers_to_transform: number | readonly number[] | null
  /** Name of the list of layers that `layers_to_transform` counts in; default: any. */
  layers_pattern: string | readonly string[] | null
  /** Ranks, and alphas, of layers by a regular expression for the end of the name. */
  rank_pattern: Readonly<Record<string, number>>
  alpha_pattern: Readonly<Record<string, number>>
}

/** Learned factors of keys, values and inner activations. @see Liu et al. 2022, https://arxiv.org/abs/2205.05638 */
export interface IA3Config extends TargetedConfig {
  peft_type: 'IA3'
  /** Targets whose input is scaled instead of their output: ends of names, or a regular expression. */
  feedforward_modules: string | readonly string[] | null
  fan_in_fan_out: boolean
  /** Ones; false: random, for tests. */
  init_ia3_weights: boolean
}

interface PromptLearningConfig extends CommonConfig {
  num_virtual_tokens: number
  /** Width, layers and heads of the base; taken from its configuration unless given. */
  token_dim: number | null
  num_layers: number | null
  num_attention_heads: number | null
  /** 2 for models with encoder and decoder. */
  num_transformer_submodules: number | null
}

/** Learned embeddings in front of the text. @see Lester et al. 2021, https://arxiv.org/abs/2104.08691 */
export interface PromptTuningConfig extends PromptLearningConfig {
  peft_type: 'PROMPT_TUNING'
  prompt_tuning_init: 'RANDOM' | 'TEXT' | 'SAMPLE_VOCAB'
  prompt_tuning_init_text: string | null
  tokenizer_name_or_path: string | null
  tokenizer_kwargs: object | null
}

/** Learned keys and values in front of those of every layer. @see Li, Liang 2021, https://arxiv.org/abs/2101.00190 */
export interface PrefixTuningConfig extends PromptLearningConfig {
  peft_type: 'PREFIX_TUNING'
  /** Width between the two layers that make the prefix of an embedding, with `prefix_projection`. */
  encoder_hidden_size: number | null
  prefix_projection: boolean
  init_weights: 'zero' | null
}

/**
 * A bottleneck behind the output of each target: y + up(activation(down(y))), with the residual inside. peft has no such adapters; files follow its format.
 * @see Houlsby et al. 2019, https://arxiv.org/abs/1902.00751
 */
export interface BottleneckConfig extends TargetedConfig {
  peft_type: 'BOTTLENECK'
  bottleneck_size: number
  non_linearity: 'relu' | 'gelu' | 'silu' | 'tanh'
  adapter_dropout: number
  /** Of what is added. */
  scaling: number
  layers_to_transform: number | readonly number[] | null
  layers_pattern: string | readonly string[] | null
}

export type PeftConfig = LoraConfig | IA3Config | PromptTuningConfig | PrefixTuningConfig | BottleneckConfig
export type TargetingConfig = LoraConfig | IA3Config | BottleneckConfig
export type PromptConfig = PromptTuningConfig | PrefixTuningConfig
/** A configuration of which only what differs from peft's defaults has to be said. */
export type PeftOptions = { [C in PeftConfig as C['peft_type']]: Pick<C, 'peft_type'> & Partial<C> }[PeftType]

export const isPromptLearning = (config: PeftConfig): config is PromptConfig => config.peft_type === 'PROMPT_TUNING' || config.peft_type === 'PREFIX_TUNING'

type Kind = 'text' | 'flag' | 'size' | 'number' | 'texts' | 'object' | 'layers'
interface Key { value: unknown, kind: Kind, oneOf?: readonly unknown[] }
type Keys = Readonly<Record<string, Key>>

const key = (value: unknown, kind: Kind, oneOf?: readonly unknown[]): Key => ({ value, kind, ...(oneOf ? { oneOf } : {}) })
const common: Keys = {
  auto_mapping: key(null, 'object'), base_model_name_or_path: key(null, 'text'), inference_mode: key(false, 'flag'), modules_to_save: key(null, 'texts'),
  revision: key(null, 'text'), task_type: key(null, 'text', ['CAUSAL_LM', 'SEQ_2_SEQ_LM', 'SEQ_CLS', 'TOKEN_CLS', 'QUESTION_ANS', 'FEATURE_EXTRACTION']),
}
const targeted: Keys = { ...common, target_modules: key(null, 'texts'), exclude_modules: key(null, 'texts') }
const layers: Keys = { layers_to_transform: key(null, 'layers'), layers_pattern: key(null, 'texts') }
const prompts: Keys = {
  ...common, num_virtual_tokens: key(undefined, 'size'), token_dim: key(null, 'size'), num_layers: key(null, 'size'), num_attention_heads: key(null, 'size'),
  num_transformer_submodules: key(null, 'size', [1, 2]),
}

const kinds: Readonly<Record<PeftType, Keys>> = {
  LORA: {
    ...targeted, ...layers, r: key(8, 'size'), lora_alpha: key(8, 'number'), lora_dropout: key(0, 'number'), fan_in_fan_out: key(false, 'flag'),
    bias: key('none', 'text', ['none', 'all', 'lora_only']), use_rslora: key(false, 'flag'), use_dora: key(false, 'flag'), lora_bias: key(false, 'flag'),
    init_lora_weights: key(true, 'text'), rank_pattern: key({}, 'object'), alpha_pattern: key({}, 'object'),
  },
  IA3: { ...targeted, feedforward_modules: key(null, 'texts'), fan_in_fan_out: key(false, 'flag'), init_ia3_weights: key(true, 'flag') },
  PROMPT_TUNING: {
    ...prompts, prompt_tuning_init: key('RANDOM', 'text', ['RANDOM', 'TEXT', 'SAMPLE_VOCAB']), prompt_tuning_init_text: key(null, 'text'),
    tokenizer_name_or_path: key(null, 'text'), tokenizer_kwargs: key(null, 'object'),
  },
  PREFIX_TUNING: { ...prompts, encoder_hidden_size: key(null, 'size'), prefix_projection: key(false, 'flag'), init_weights: key(null, 'text', ['zero']) },
  BOTTLENECK: {
    ...targeted, ...layers, bottleneck_size: key(64, 'size'), non_linearity: key('relu', 'text', ['relu', 'gelu', 'silu', 'tanh']), adapter_dropout: key(0, 'number'),
    scaling: key(1, 'number'),
  },
}

/** Keys of peft that are written with the value that stands for "not used", and refused with any other: each would compute something else. */
const unused: Readonly<Partial<Record<PeftType, Readonly<Record<string, unknown>>>>> = {
  LORA: {
    alora_invocation_tokens: null, arrow_config: null, corda_config: null, ensure_weight_tying: false, eva_config: null, kasa_config: null, layer_replication: null,
    loftq_config: {}, lora_ga_config: null, megatron_config: null, monteclora_config: null, target_parameters: null, trainable_token_indices: null, use_bdlora: null,
    use_qalora: false, velora_config: null,
  },
}

/** Keys that say something about what is refused or not used here anyway, and are written as peft does. */
const idle: Readonly<Partial<Record<PeftType, Readonly<Record<string, unknown>>>>> = { LORA: { megatron_core: 'megatron.core', qalora_group_size: 16 } }

/** Ways in which peft begins that take data, other libraries, or a base that is changed by what was seen: an adapter that began so cannot be made here. */
const initializations = [true, false, 'gaussian', 'orthogonal', 'olora', 'pissa']

const version = '0.21.2'

/**
 * A configuration with peft's defaults for what it does not say.
 * @param config what adapter_config.json holds, or options @param loading it comes from a file whose weights follow: how they began matters only where the base was changed
 * @throws ConfigError for keys that are not known, values out of range, and everything that is not supported, all listed
 */
export function completedConfig(config: object, { loading = false } = {}): PeftConfig {
  const { peft_type, peft_version, runtime_config, ...given } = config as Record<string, unknown>
  void peft_version   // who wrote it
  if (typeof peft_type !== 'string' || !Object.hasOwn(kinds, peft_type)) {
    throw new ConfigError(`adapter: peft_type is ${JSON.stringify(peft_type) ?? 'missing'}, which is not supported; known are ${Object.keys(kinds).join(', ')}`
      + ' (rsLoRA and DoRA are LORA with use_rslora, use_dora; Houlsby adapters are BOTTLENECK)')
  }
  const type = peft_type as PeftType, known = kinds[type], off = unused[type] ?? {}, problems: string[] = []
  for (const [name, value] of Object.entries({ ...given, ...(isGiven(runtime_config) ? { runtime_config } : {}) })) {
    if (Object.hasOwn(known, name)) problems.push(...wrong(name, value, known[name]!))
    else if (!Object.hasOwn(idle[type] ?? {}, name) && isGiven(value)) {
      const meant = closest(name, Object.keys(known))
      problems.push(Object.hasOwn(off, name) ? `${name}: ${JSON.stringify(value)} is not supported` : `${name} is not a key of ${type}${meant === undefined ? '' : `; do you mean ${meant}?`}`)
    }
  }
  const defaults = Object.fromEntries(Object.entries(known).map(([name, { value }]) => [name, value]))
  const said = Object.fromEntries(Object.entries(given).filter(([name, value]) => Object.hasOwn(known, name) && value !== undefined && (value !== null || defaults[name] === null)))
  const complete = { peft_type: type, ...defaults, ...said } as unknown as PeftConfig
  if (problems.length === 0) problems.push(...contradictions(complete, loading))
  if (problems.length > 0) throw new ConfigError(`adapter (${type}): ${problems.join('; ')}`)
  return complete
}

/** What peft writes into adapter_config.json. */
export function configToSave(config: PeftConfig): Record<string, unknown> {
  const type = config.peft_type
  const all: Record<string, unknown> = { ...config, ...unused[type], ...idle[type], peft_version: version, inference_mode: true }
  return Object.fromEntries(Object.entries(all).sort(([a], [b]) => a < b ? -1 : 1))
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null && value !== false && !(typeof value === 'object' && Object.keys(value).length === 0)

const tests: Readonly<Record<Kind, { accepts: string, test(value: unknown): boolean }>> = {
  text: { accepts: 'a text', test: value => typeof value === 'string' },
  flag: { accepts: 'true or false', test: value => typeof value === 'boolean' },
  size: { accepts: 'a positive integer', test: value => Number.isInteger(value) && (value as number) > 0 },
  number: { accepts: 'a number from 0', test: value => typeof value === 'number' && value >= 0 && Number.isFinite(value) },
  texts: { accepts: 'a text or a list of texts', test: value => typeof value === 'string' || (Array.isArray(value) && value.every(item => typeof item === 'string')) },
  object: { accepts: 'an object', test: value => typeof value === 'object' },
  layers: { accepts: 'a layer or a list of layers', test: value => [value].flat().every(layer => Number.isInteger(layer) && (layer as number) >= 0) },
}

function* wrong(name: string, value: unknown, { kind, oneOf }: Key): Generator<string> {
  if (value === undefined || value === null || (name === 'init_lora_weights' && typeof value === 'boolean')) return
  if (!tests[kind].test(value)) yield `${name} is ${JSON.stringify(value)}, expected ${tests[kind].accepts}`
  else if (oneOf && !oneOf.includes(value)) yield `${name} is ${JSON.stringify(value)}, expected one of: ${oneOf.join(', ')}`
}

function* contradictions(c: PeftConfig, loading: boolean): Generator<string> {
  if (c.peft_type === 'LORA') {
    if (c.lora_dropout >= 1) yield `lora_dropout is ${c.lora_dropout}, expected a number below 1`
    const supported = loading ? [...initializations, 'eva'] : initializations
    if (!supported.includes(c.init_lora_weights)) yield `init_lora_weights: '${c.init_lora_weights}' is not supported, expected one of: ${supported.join(', ')}`
    for (const [pattern, value] of Object.entries({ ...c.rank_pattern }))
      if (!Number.isInteger(value) || value < 1) yield `rank_pattern has the rank ${JSON.stringify(value)} for ${pattern}, expected a positive integer`
    if (c.use_dora && c.lora_bias) yield 'use_dora and lora_bias do not go together'
    if (isGiven(c.layers_pattern) && c.layers_to_transform === null) yield 'layers_pattern needs layers_to_transform'
    if (typeof c.target_modules === 'string' && c.layers_to_transform !== null) yield 'layers_to_transform is for target_modules as a list; a regular expression says the layers itself'
  }
  if (c.peft_type === 'IA3' && Array.isArray(c.feedforward_modules) && Array.isArray(c.target_modules)) {
    const others = (c.feedforward_modules as string[]).filter(name => !(c.target_modules as string[]).includes(name))
    if (others.length > 0) yield `feedforward_modules has ${others.join(', ')}, which target_modules has not`
  }
  if (c.peft_type === 'BOTTLENECK' && c.adapter_dropout >= 1) yield `adapter_dropout is ${c.adapter_dropout}, expected a number below 1`
  if (isPromptLearning(c) && (c.num_virtual_tokens as number | undefined) === undefined) yield 'num_virtual_tokens is missing'
  if (c.peft_type === 'PROMPT_TUNING' && c.prompt_tuning_init === 'TEXT' && c.prompt_tuning_init_text === null) yield "prompt_tuning_init 'TEXT' needs prompt_tuning_init_text"
  if (c.peft_type === 'PREFIX_TUNING' && c.prefix_projection && c.encoder_hidden_size === null && !loading) yield 'prefix_projection needs encoder_hidden_size'
}
