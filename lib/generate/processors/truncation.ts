import { descending, distribution, topK as largest } from '../sampling.js'
import { isCount, perRow, requireOption, type LogitsProcessor } from './logitsProcessor.js'

/**
 * What is applied before sampling: temperature, and the ways to cut off the unlikely tail. Probabilities and their sums are float64.
 * Each keeps `minTokensToKeep` tokens whatever happens (beam sampling needs one beside the end tokens). A row of which all tokens are
 * excluded already stays as it is. All equal transformers 5.23; among tokens with exactly equal logits the lower ids stay.
 */

/** Divides the logits. */
export function temperature(value: number): LogitsProcessor {
  requireOption(value > 0 && Number.isFinite(value), 'temperature', 'a number > 0 (for the likeliest token always, use doSample: false)', value)
  return (_, logits) => {
    for (let i = 0; i < logits.length; i++) logits[i] = logits[i]! / value
  }
}

/** Keeps the `k` likeliest tokens, and those that are exactly as likely as the last of them. */
export function topK(k: number, minTokensToKeep = 1): LogitsProcessor {
  requireOption(isCount(k) && k > 0, 'topK', 'a whole number > 0', k)
  return perRow(logits => {
    const indices = largest(logits, Math.max(k, minTokensToKeep))
    excludeBelow(logits, logits[indices.at(-1)!]!)
  })
}

/** Nucleus sampling (Holtzman et al. 2020): keeps the likeliest tokens until their mass reaches `p`. */
export function topP(p: number, minTokensToKeep = 1): LogitsProcessor {
  requireOption(p >= 0 && p <= 1, 'topP', 'a number from 0 to 1', p)
  return perRow(logits => {
    const normal = distribution(logits)
    if (normal === undefined) return
    const kept: number[] = []
    let mass = 0
    for (const token of descending(logits)) {
      if (mass >= p && kept.length >= minTokensToKeep) break
      kept.push(token)
      mass += Math.exp(logits[token]! - normal.max) / normal.total
    }
    keepOnly(logits, kept)
  })
}

/** Keeps tokens of at least `p` times the probability of the likeliest (Nguyen et al. 2024). */
export function minP(p: number, minTokensToKeep = 1): LogitsProcessor {
  requireOption(p >= 0 && p <= 1, 'minP', 'a number from 0 to 1', p)
  return perRow(logits => {
    const normal = distribution(logits)
    if (normal === undefined) return
    excludeUnlikely(logits, largest(logits, minTokensToKeep), token => Math.exp(logits[token]! - normal.max) < p)
  })
}

/** Keeps the likeliest of the first 100 tokens until their part of the entropy exceeds `share` of it (top-H, Baghaei Potraghloo et al. 2025). */
export function topH(share: number): LogitsProcessor {
  requireOption(share > 0 && share <= 1, 'topH', 'a number above 0, at most 1', share)
  return perRow(logits => {
    const tokens = largest(logits, 100)
    const normal = distribution(Array.from(tokens, token => logits[token]!))
    if (normal === undefined) return
    const terms = Array.from(tokens, token => {
      const probability = Math.exp(logits[token]! - normal.max) / normal.total
      return probability === 0 ? 0 : -probability * Math.log(probability)
    })
    const limit = share * terms.reduce((sum, term) => sum + term, 0)
    const kept: number[] = []
    let entropy = 0
    for (const [rank, term] of terms.entries()) {
      entropy += term
      if (rank > 0 && entropy > limit) break
      kept.push(tokens[rank]!)
    }
    keepOnly(logits, kept)
  })
}

/** Typical sampling (Meister et al. 2022): keeps the tokens whose information is closest to the entropy, until their mass reaches `mass`. */
export function typicalP(mass: number, minTokensToKeep = 1): LogitsProcessor {
  requireOption(mass > 0 && mass < 1, 'typicalP', 'a number above 0 and below 1', mass)
  return perRow(logits => {
    const normal = distribution(logits)
    if (normal === undefined) return
    const shift = normal.max + Math.log(normal.total), entropy = entropyOf(logits, shift)
    const closeness = Float64Array.from(logits, logit => -Math.abs(shift - logit - entropy))
    const kept: number[] = []
    let reached = 0, least = 0
    for (const token of descending(closeness)) {
      const done = reached >= mass
      if (done && kept.length >= minTokensToKeep) break
      kept.push(token)
      reached += Math.exp(logits[token]! - shift)
      if (!done) least = closeness[token]!
    }
    excludeUnlikely(logits, Int32Array.from(kept), token => closeness[token]! < least)
  })
}

/** Epsilon sampling (Hewitt et al. 2022): drops tokens less likely than `epsilon`. */
export function epsilonCutoff(epsilon: number, minTokensToKeep = 1): LogitsProcessor {
  requireOption(epsilon > 0 && epsilon < 1, 'epsilonCutoff', 'a number above 0 and below 1', epsilon)
  return dropBelow(() => epsilon, minTokensToKeep)
}

/** Eta sampling (Hewitt et al. 2022): as epsilon sampling, with a bound that falls with the entropy. */
export function etaCutoff(epsilon: number, minTokensToKeep = 1): LogitsProcessor {
  requireOption(epsilon > 0 && epsilon < 1, 'etaCutoff', 'a number above 0 and below 1', epsilon)
  return dropBelow((logits, shift) => Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropyOf(logits, shift))), minTokensToKeep)
}

function dropBelow(bound: (logits: Float32Array, shift: number) => number, minTokensToKeep: number): LogitsProcessor {
  return perRow(logits => {
    const normal = distribution(logits)
    if (normal === undefined) return
    const shift = normal.max + Math.log(normal.total), least = bound(logits, shift)
    excludeUnlikely(logits, largest(logits, minTokensToKeep), token => Math.exp(logits[token]! - shift) < least)
  })
}

/** In nats. `shift` is the logarithm of the sum of exponentials. */
function entropyOf(logits: Float32Array, shift: number): number {
  let entropy = 0
  for (const logit of logits) if (logit !== -Infinity) entropy += (shift - logit) * Math.exp(logit - shift)
  return entropy
}

function excludeBelow(logits: Float32Array, least: number): void {
  for (let token = 0; token < logits.length; token++) if (logits[token]! < least) logits[token] = -Infinity
}

/** Excludes what is unlikely, apart from `kept`. */
function excludeUnlikely(logits: Float32Array, kept: Int32Array, isUnlikely: (token: number) => boolean): void {
  const values = Float32Array.from(kept, token => logits[token]!)
  for (let token = 0; token < logits.length; token++) if (isUnlikely(token)) logits[token] = -Infinity
  kept.forEach((token, i) => { logits[token] = values[i]! })
}

function keepOnly(logits: Float32Array, kept: readonly number[]): void {
  const values = kept.map(token => logits[token]!)
  logits.fill(-Infinity)
  kept.forEach((token, i) => { logits[token] = values[i]! })
}
