import { ConfigError } from '../errors.js'
import { concat } from '../ops/concat.js'
import { cast } from '../ops/copy.js'
import { scatterAdd } from '../ops/gather.js'
import { indexSelect } from '../ops/indexSelect.js'
import { div, mul } from '../ops/mul.js'
import { isRecorded } from '../ops/recording.js'
import { sum } from '../ops/reduce.js'
import { softmax } from '../ops/softmax.js'
import { topK } from '../ops/topK.js'
import { uniform } from '../ops/uniform.js'
import { expand, reshape, split } from '../ops/view.js'
import { ones, tensor, zeros } from '../tensor/create.js'
import { noGrad, scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { Linear } from './layers.js'
import { Module } from './module.js'
import { intoStream, rounded } from './precision.js'

export interface MixtureOptions {
  /** C */
  width: number
  /** How many experts see a token, k. */
  perToken: number
  /** Whether the weights of the chosen ones add up to 1. Default true. */
  normalised?: boolean
  /** In training tokens are multiplied by numbers up to so much above or below 1. Default 0. */
  jitter?: number
  /** Standard deviation of the first weights of the router. */
  std: number
}

/** A feed-forward layer of rows `[N, C]`. */
export type Expert = Module & { forward(x: Tensor): Tensor }

/**
 * y = sum over the k experts e of highest probability p = softmax(W x) of p[e] / (sum of these p) · expert e (x). Experts compute the tokens that chose them and no others.
 * Which these are, the host has to know: a pass waits for the router of each layer.
 * @see Shazeer et al. 2017, https://arxiv.org/abs/1701.06538; Jiang et al. 2024, https://arxiv.org/abs/2401.04088, section 2.1
 */
export class MixtureOfExperts extends Module {
  readonly gate: Linear

  /** @throws ConfigError if there are less experts than a token needs */
  constructor(readonly experts: readonly Expert[], private readonly options: MixtureOptions) {
    super()
    const { width, perToken, std } = options
    if (!Number.isInteger(perToken) || perToken < 1 || perToken > experts.length)
      throw new ConfigError(`mixture of experts: each token is for ${perToken} experts, expected an integer from 1 to ${experts.length}, the number of experts`)
    this.gate = new Linear(width, experts.length, { bias: false, initialization: { kind: 'normal', std }, ...intoStream })
  }

  /** @param x `[…, C]` @returns y `[…, C]`, and what the router gave each token, `[…, E]` */
  forward(given: Tensor): { y: Tensor, logits: Tensor } {
    return scope(() => {
      const { perToken: k, normalised = true, jitter = 0 } = this.options, { shape, device } = given, C = shape.at(-1)!, N = given.size / C
      const x = this.training && jitter > 0 ? mul(given, cast(uniform(shape, { low: 1 - jitter, high: 1 + jitter, device }), given.dtype)) : given
      const rows = rounded(reshape(x, [N, C])), logits = this.gate.forward(rows), { values, indices } = topK(softmax(logits), k)
      const weights = normalised ? div(values, sum(values, -1, { keepDim: true })) : values
      const { tokens, places, counts } = byExpert(indices.dataSync() as Int32Array, k, this.experts.length)
      // An expert that nobody chose has gradients of zero: it computes no row.
      const used = [...this.experts.keys()].filter(e => counts[e]! > 0 || isRecorded(...this.experts[e]!.parameters()))
      const parts = split(indexSelect(rows, tensor(tokens, null, { device })), used.map(e => counts[e]!), 0)
      const all = concat(used.map((e, i) => this.experts[e]!.forward(parts[i]!)), 0)
      const chosen = reshape(cast(indexSelect(all, tensor(places, null, { device })), 'float32'), [N, k, C])
      const y = cast(sum(mul(chosen, reshape(weights, [N, k, 1])), 1), given.dtype)
      return { y: reshape(y, shape), logits: reshape(logits, [...shape.slice(0, -1), this.experts.length]) }
    })
  }
}

/**
 * Sorts choices by expert, those of an expert by token.
 * @param chosen expert of each choice, `[N k]`: a token has k in a row
 * @returns tokens of the choices in that order, the place that each choice has in it, and how many each expert has
 */
function byExpert(chosen: Int32Array, k: number, experts: number): { tokens: Int32Array, places: Int32Array, counts: number[] } {
  const counts = new Array<number>(experts).fill(0)
  for (const e of chosen) counts[e]!++
  const next = counts.map((_, e) => counts.slice(0, e).reduce((a, n) => a + n, 0))
  const tokens = new Int32Array(chosen.length), places = new Int32Array(chosen.length)
  chosen.forEach((e, choice) => {
    const place = next[e]!++
    tokens[place] = Math.floor(choice / k)
    places[choice] = place
  })
  return { tokens, places, counts }
}

/**
 * E · sum over experts of (share of choices, times k) · (mean probability), over the tokens of all layers: least where experts are used alike.
 * @param logits of each layer's router, `[B, T, E]`   @param attentionMask 1 where there is a token, `[B, T]`
 * @returns float32 `[]`
 * @see Fedus et al. 2021, https://arxiv.org/abs/2101.03961, equations 4 to 6
 */
export function loadBalancingLoss(logits: readonly Tensor[], perToken: number, attentionMask?: Tensor): Tensor {
  return scope(() => {
    const [B, T, E] = logits[0]!.shape as [number, number, number], N = B * T, { device } = logits[0]!
    const counted = attentionMask ? reshape(cast(attentionMask, 'float32'), [N, 1]) : ones([N, 1], { device })
    const layers = logits.map(each => {
      const probabilities = softmax(cast(reshape(each, [N, E]), 'float32'))
      const choices = noGrad(() => sum(scatterAdd(zeros([N, E], { device }), topK(probabilities, perToken).indices, expand(counted, [N, perToken])), 0))
      return { choices, probability: sum(mul(probabilities, counted), 0) }
    })
    const tokens = mul(sum(counted), logits.length)
    const mean = (parts: Tensor[]): Tensor => div(sum(concat(parts.map(part => reshape(part, [1, E])), 0), 0), tokens)
    return mul(sum(mul(mean(layers.map(l => l.choices)), mean(layers.map(l => l.probability)))), E)
  })
}
