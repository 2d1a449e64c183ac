import { ConfigError } from '../errors.js'
import type { Activation, GateActivation } from '../ops/codes.js'

/** config.json of a model, under the names of transformers. */
export type PretrainedConfig = Readonly<Record<string, unknown>>

/**
 * The configuration with defaults for what it does not say.
 * @param usual options that change what is computed and have one value here
 * @param nullable keys for which null is a value of its own, which says that there is none: it is not the same as a key that is missing
 * @throws ConfigError for other values of usual options, all listed, and for numbers that are none
 */
export function completed<C extends object>(
  model: string, config: PretrainedConfig, defaults: C, usual: PretrainedConfig = {}, nullable: readonly (string & keyof C)[] = [],
): C & PretrainedConfig {
  const unsupported = Object.entries(usual).filter(([key, value]) => !same(config[key] ?? value, value)).map(([key]) => `${key}: ${JSON.stringify(config[key])}`)
  if (unsupported.length > 0) throw new ConfigError(`${model}: ${unsupported.join(', ')} is not supported`)
  const given = (value: unknown): boolean => value !== undefined && value !== null
  const wrong = Object.entries(defaults).filter(([key, value]) => given(value) && given(config[key]) && typeof config[key] !== typeof value)
  if (wrong.length > 0)
    throw new ConfigError(`${model}: ${wrong.map(([key, value]) => `${key} is ${JSON.stringify(config[key])}, expected a ${typeof value}`).join('; ')}`)
  const said = Object.entries(config).filter(([key, value]) => given(value) || !(key in defaults) || (value === null && nullable.includes(key as string & keyof C)))
  return { ...defaults, ...Object.fromEntries(said) } as C & PretrainedConfig
}

/** The configuration under a family's own names: transformers takes the common ones as well (`attribute_map`), and where both are given these count. */
export function renamed(config: PretrainedConfig, names: Readonly<Record<string, string>>): PretrainedConfig {
  const own = Object.entries(config).filter(([key]) => !Object.hasOwn(names, key))
  const given = Object.entries(names).filter(([key]) => config[key] !== undefined && config[key] !== null)
  return { ...Object.fromEntries(own), ...Object.fromEntries(given.map(([key, name]) => [name, config[key]])) }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Sizes that have to be positive whole numbers. @throws ConfigError */
export function checkSizes(model: string, config: PretrainedConfig, ...keys: readonly string[]): void {
  for (const key of keys)
    if (!Number.isInteger(config[key]) || (config[key] as number) < 1) throw new ConfigError(`${model}: ${key} is ${JSON.stringify(config[key])}, expected a positive integer`)
}

/** The row of a token embedding that takes no gradient: that of `pad_token_id`; below 0 it counts from the end. */
export function paddingOf(config: PretrainedConfig): { paddingIndex?: number } {
  const { pad_token_id: pad, vocab_size: rows } = config
  return typeof pad === 'number' ? { paddingIndex: pad < 0 ? pad + (rows as number) : pad } : {}
}

/** Activations that are computed with the product in front of them, under their names in transformers. */
export const activationNames: Readonly<Record<string, Activation & GateActivation>> = {
  gelu_new: 'geluTanh', gelu_pytorch_tanh: 'geluTanh', gelu_fast: 'geluTanh', gelu: 'gelu', relu: 'relu', silu: 'silu', swish: 'silu',
}
