import { MersenneTwister } from '../../data/mersenneTwister.js'
import { ConfigError } from '../../errors.js'
import { closest } from '../../spelling.js'
import { isCount, perRow, requireOption, type LogitsProcessor } from './logitsProcessor.js'

/**
 * A watermark: what came before decides which tokens are green, and their logits get a bias. Whoever knows the settings counts green tokens (`detectWatermark`).
 * @see Kirchenbauer et al. 2023, https://arxiv.org/abs/2301.10226 (left hash), https://arxiv.org/abs/2306.04634 (self hash)
 */
export interface WatermarkingConfig {
  /** Share of the vocabulary that is green, between 0 and 1. Default 0.25. */
  greenlistRatio?: number
  /** Added to the logits of green tokens. Default 2. */
  bias?: number
  /** The secret. Default 15485863, the millionth prime. */
  hashingKey?: number
  /** What the green tokens follow from: the token before ('lefthash', the default), or a token itself and those before it ('selfhash'), for the 40 likeliest tokens alone. */
  seedingScheme?: 'lefthash' | 'selfhash'
  /** How many tokens before it 'selfhash' looks at. Default 1. */
  contextWidth?: number
}

const defaults: Required<WatermarkingConfig> = { greenlistRatio: 0.25, bias: 2, hashingKey: 15485863, seedingScheme: 'lefthash', contextWidth: 1 }
const tableSize = 1_000_003
/** Candidates that 'selfhash' tries. */
const tried = 40

/** Which tokens are green behind which others, with the numbers that transformers gets from torch's generator on a CPU. */
export class GreenLists {
  readonly config: Required<WatermarkingConfig>
  private table: Int32Array | undefined

  /** @param vocabulary V of the model @throws ConfigError for a setting that is unknown or out of range */
  constructor(config: WatermarkingConfig, private readonly vocabulary: number) {
    const known = Object.keys(defaults), unknown = Object.keys(config).filter(key => !known.includes(key))
    if (unknown.length > 0) {
      const meant = closest(unknown[0]!, known)
      throw new ConfigError(`watermarkingConfig: unknown setting ${unknown.join(', ')}${meant === undefined ? '' : `; do you mean ${meant}?`} Known are ${known.join(', ')}.`)
    }
    const c = this.config = { ...defaults, ...config }
    requireOption(c.greenlistRatio > 0 && c.greenlistRatio < 1, 'watermarkingConfig.greenlistRatio', 'a number between 0 and 1', c.greenlistRatio)
    requireOption(Number.isFinite(c.bias), 'watermarkingConfig.bias', 'a finite number', c.bias)
    requireOption(isCount(c.hashingKey), 'watermarkingConfig.hashingKey', 'a whole number', c.hashingKey)
    requireOption(['lefthash', 'selfhash'].includes(c.seedingScheme), 'watermarkingConfig.seedingScheme', "'lefthash' or 'selfhash'", c.seedingScheme)
    requireOption(isCount(c.contextWidth) && c.contextWidth > 0, 'watermarkingConfig.contextWidth', 'a whole number > 0', c.contextWidth)
  }

  /** The green tokens behind `tokens`, of which the last is, with 'selfhash', the candidate itself. */
  behind(tokens: ArrayLike<number>): Int32Array {
    return permutation(this.vocabulary, this.seed(tokens), Math.trunc(this.vocabulary * this.config.greenlistRatio))
  }

  /** In the 64-bit integers of torch, which wrap around. */
  private seed(tokens: ArrayLike<number>): bigint {
    const { hashingKey, seedingScheme, contextWidth } = this.config, key = BigInt(hashingKey), last = tokens[tokens.length - 1]!
    let seed = key * BigInt(last)
    if (seedingScheme === 'selfhash') {
      const table = this.table ??= permutation(tableSize, key, tableSize), place = (token: number) => BigInt(table[token % tableSize]! + 1)
      const products = Array.from(tokens).slice(-contextWidth).map(token => BigInt.asIntN(64, BigInt.asIntN(64, key * place(token)) * place(last)))
      seed = products.reduce((least, product) => product < least ? product : least)
    }
    const modulus = 2n ** 64n - 1n
    return ((seed % modulus) + modulus) % modulus
  }
}

/** The first `count` of a permutation of 0 … n - 1, as torch.randperm draws it. */
function permutation(n: number, seed: bigint, count: number): Int32Array {
  const random = new MersenneTwister(Number(seed & 0xffffffffn)), order = Int32Array.from({ length: n }, (_, i) => i)
  for (let i = 0; i < Math.min(count, n - 1); i++) {
    const other = i + random.uint32() % (n - i), here = order[i]!
    order[i] = order[other]!
    order[other] = here
  }
  return order.subarray(0, count)
}

/** Adds the bias to green tokens. A text shorter than the context is left as it is. @param vocabulary V of the model @throws ConfigError */
export function watermark(config: WatermarkingConfig, vocabulary: number): LogitsProcessor {
  const lists = new GreenLists(config, vocabulary), { bias, seedingScheme, contextWidth } = lists.config
  return perRow((logits, previous) => {
    if (previous.length < contextWidth) return
    const tokens = seedingScheme === 'selfhash' ? greenCandidates(lists, logits, previous) : lists.behind(previous)
    for (const token of tokens) logits[token] = logits[token]! + bias
  })
}

/** Of the likeliest tokens those that are green behind themselves. */
function greenCandidates(lists: GreenLists, logits: Float32Array, previous: ArrayLike<number>): number[] {
  const likeliest = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, tried)
  return likeliest.filter(token => lists.behind([...Array.from(previous), token]).includes(token))
}

export interface WatermarkEvidence {
  /** Tokens that were counted, and how many of them are green. */
  tokens: number
  greenTokens: number
  /** By how many standard deviations there are more green tokens than in a text without a watermark. */
  zScore: number
  /** Whether zScore is above the threshold. */
  isWatermarked: boolean
}

/**
 * Looks for a watermark in a text.
 * @param ids of the generated text; a prompt in front of it weakens the evidence
 * @param vocabulary V of the model that may have written it
 * @param options zThreshold: default 3; ignoreRepeated: counts an n-gram once, however often it comes
 * @throws ConfigError for settings that are out of range, and a text that is too short
 */
export function detectWatermark(
  ids: readonly number[], vocabulary: number, config: WatermarkingConfig = {}, { zThreshold = 3, ignoreRepeated = false } = {},
): WatermarkEvidence {
  const lists = new GreenLists(config, vocabulary), { seedingScheme, contextWidth, greenlistRatio: share } = lists.config
  const itself = seedingScheme === 'selfhash', n = contextWidth + (itself ? 0 : 1)
  if (ids.length <= contextWidth) throw new ConfigError(`detectWatermark: the text has ${ids.length} tokens, expected more than ${contextWidth}, the context of a token.`)
  const grams = Array.from({ length: ids.length - n + 1 }, (_, i) => ids.slice(i, i + n))
  const counted = ignoreRepeated ? [...new Map(grams.map(gram => [gram.join(' '), gram])).values()] : grams
  const greenTokens = counted.filter(gram => lists.behind(itself ? gram : gram.slice(0, -1)).includes(gram.at(-1)!)).length
  const zScore = (greenTokens - share * counted.length) / Math.sqrt(counted.length * share * (1 - share))
  return { tokens: counted.length, greenTokens, zScore, isWatermarked: zScore > zThreshold }
}
