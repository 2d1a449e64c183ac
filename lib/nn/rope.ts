import { ConfigError } from '../errors.js'

type Json = Readonly<Record<string, unknown>>

/** How rotary angles follow from positions: `rope_parameters` of a configuration, or its older `rope_theta` and `rope_scaling`. */
export interface RopeParameters {
  type: 'default' | 'linear' | 'dynamic' | 'llama3' | 'yarn' | 'longrope' | 'proportional'
  theta: number
  /** Share of a head's coordinates that turn; with 'proportional' of its frequencies, while the others stand still. */
  partialFactor: number
  /** Longest sequence of the model, and of the one before its context was extended. */
  maxPositions: number
  originalMaxPositions: number
  factor: number
  attentionFactor: number | undefined
  /** 'llama3' */
  lowFrequencyFactor: number
  highFrequencyFactor: number
  /** 'yarn' */
  betaFast: number
  betaSlow: number
  mscale: number | undefined
  mscaleAllDim: number | undefined
  truncate: boolean
  /** 'longrope': a factor for each frequency. */
  shortFactor: readonly number[]
  longFactor: readonly number[]
}

const needed: Readonly<Record<RopeParameters['type'], readonly string[]>> = {
  default: [], linear: ['factor'], dynamic: ['factor'], llama3: ['factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings'],
  yarn: ['factor'], longrope: ['short_factor', 'long_factor'], proportional: [],
}

/**
 * Reads the rotary parameters of a Hugging Face configuration, of transformers 5 or earlier.
 * @param theta base where the configuration names none
 * @throws ConfigError for a type that is not known, and for what it lacks
 */
export function ropeParameters(model: string, config: Json, theta = 10000): RopeParameters {
  const given = { ...(config['rope_scaling'] as Json | null | undefined), ...(config['rope_parameters'] as Json | null | undefined) } as Json
  const known = Object.keys(needed)
  const type = given['rope_type'] ?? given['type'] ?? 'default'
  if (typeof type !== 'string' || !known.includes(type)) throw new ConfigError(`${model}: rope_type is ${JSON.stringify(type)}, expected one of: ${known.join(', ')}`)
  const lacking = needed[type as RopeParameters['type']].filter(key => given[key] === undefined || given[key] === null)
  if (lacking.length > 0) throw new ConfigError(`${model}: rope_type '${type}' needs ${lacking.join(', ')}`)
  const number = <D extends number | undefined>(key: string, fallback: D): number | D => {
    const value = given[key] ?? config[key]
    if (value === undefined || value === null) return fallback
    if (typeof value !== 'number' || !Number.isFinite(value)) throw new ConfigError(`${model}: ${key} of its rotary positions is ${JSON.stringify(value)}, expected a number`)
    return value
  }
  const maxPositions = number('max_position_embeddings', 2048)
  // Where both have it, that beside the rotary parameters holds (Phi-3).
  const beside = config['original_max_position_embeddings']
  const originalMaxPositions = typeof beside === 'number' ? beside : number('original_max_position_embeddings', maxPositions)
  return {
    type: type as RopeParameters['type'], theta: number('rope_theta', theta), partialFactor: number('partial_rotary_factor', 1), maxPositions, originalMaxPositions,
    factor: number('factor', type === 'longrope' ? maxPositions / originalMaxPositions : 1), attentionFactor: number('attention_factor', undefined),
    lowFrequencyFactor: number('low_freq_factor', 1), highFrequencyFactor: number('high_freq_factor', 4),
    betaFast: number('beta_fast', 32), betaSlow: number('beta_slow', 1), mscale: number('mscale', undefined), mscaleAllDim: number('mscale_all_dim', undefined),
    truncate: given['truncate'] !== false, shortFactor: list(given['short_factor']), longFactor: list(given['long_factor']),
  }
}

/**
 * The same for a family whose heads turn as a whole: as in transformers, a part that is named for the plain kind says nothing.
 * @throws ConfigError for a part of the heads and another kind, of which transformers has no such model
 */
export function wholeHeadRope(model: string, config: Json, theta?: number): RopeParameters {
  const p = ropeParameters(model, config, theta)
  if (p.partialFactor === 1 || p.type === 'proportional') return p
  if (p.type === 'default') return { ...p, partialFactor: 1 }
  throw new ConfigError(`${model}: partial_rotary_factor is ${p.partialFactor} with rope_type '${p.type}', expected 1: its heads turn as a whole`)
}

const list = (value: unknown): readonly number[] => Array.isArray(value) ? value as number[] : []

/**
 * Angle of a step in position for each pair of a head's coordinates, and the factor that cos and sin are multiplied by.
 * @param width coordinates that turn, R   @param length of the sequence so far: 'dynamic' and 'longrope' depend on it
 * @see Su et al. 2021 (RoFormer); Chen et al. 2023, https://arxiv.org/abs/2306.15595 (linear); Peng et al. 2023, https://arxiv.org/abs/2309.00071 (dynamic, YaRN);
 * Dubey et al. 2024, https://arxiv.org/abs/2407.21783 (llama3); Ding et al. 2024, https://arxiv.org/abs/2402.13753 (LongRoPE)
 */
export function ropeFrequencies(p: RopeParameters, width: number, length: number): { frequencies: Float64Array, scale: number } {
  const powers = (theta: number) => Float64Array.from({ length: width / 2 }, (_, i) => theta ** (-2 * i / width))
  switch (p.type) {
    case 'linear': return { frequencies: powers(p.theta).map(f => f / p.factor), scale: 1 }
    case 'dynamic': {
      const grown = p.factor * Math.max(length, p.maxPositions) / p.maxPositions - (p.factor - 1)
      return { frequencies: powers(p.theta * grown ** (width / (width - 2))), scale: 1 }
    }
    case 'proportional': {
      const turning = Math.floor(p.partialFactor * width / 2)
      return { frequencies: powers(p.theta).map((f, i) => i < turning ? f / p.factor : 0), scale: 1 }
    }
    case 'llama3': return { frequencies: powers(p.theta).map(f => llama3(f, p)), scale: 1 }
    case 'yarn': return yarn(powers(p.theta), width, p)
    case 'longrope': {
      const factors = length > p.originalMaxPositions ? p.longFactor : p.shortFactor
      const scale = p.attentionFactor ?? (p.factor <= 1 ? 1 : Math.sqrt(1 + Math.log(p.factor) / Math.log(p.originalMaxPositions)))
      return { frequencies: powers(p.theta).map((f, i) => f / (factors[i] ?? NaN)), scale }
    }
    default: return { frequencies: powers(p.theta), scale: 1 }
  }
}

/** Slow turns are stretched by the factor, fast ones stay, those between are mixed. */
function llama3(frequency: number, { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions }: RopeParameters): number {
  const turns = originalMaxPositions * frequency / (2 * Math.PI)
  if (turns > high) return frequency
  if (turns < low) return frequency / factor
  const share = (turns - low) / (high - low)
  return (1 - share) * frequency / factor + share * frequency
}

function yarn(frequencies: Float64Array, width: number, p: RopeParameters): { frequencies: Float64Array, scale: number } {
  const pairWithTurns = (turns: number) => width * Math.log(p.originalMaxPositions / (turns * 2 * Math.PI)) / (2 * Math.log(p.theta))
  const [first, last] = [pairWithTurns(p.betaFast), pairWithTurns(p.betaSlow)]
  const from = Math.max(p.truncate ? Math.floor(first) : first, 0), to = Math.min(p.truncate ? Math.ceil(last) : last, width - 1)
  const span = to === from ? 0.001 : to - from
  const mixed = frequencies.map((f, i) => {
    const stretched = Math.min(Math.max((i - from) / span, 0), 1)
    return stretched * f / p.factor + (1 - stretched) * f
  })
  const entropy = (mscale: number) => p.factor <= 1 ? 1 : 0.1 * mscale * Math.log(p.factor) + 1
  const scale = p.attentionFactor ?? (p.mscale && p.mscaleAllDim ? entropy(p.mscale) / entropy(p.mscaleAllDim) : entropy(1))
  return { frequencies: mixed, scale }
}
