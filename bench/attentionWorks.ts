import { backward } from '#lib/autograd/backward.js'
import { attention } from '#lib/ops/attention.js'
import { tensor } from '#lib/tensor/create.js'
import { cpu } from '#lib/tensor/device.js'
import { noGrad, scope } from '#lib/tensor/scope.js'
import { normal } from './inputs.js'
import type { Work } from './works.js'

const kinds = ['full', 'causal', 'padded'] as const
type Kind = typeof kinds[number]

/** H 8, B 1 (4 for 128 positions). Half of the scores count where it is causal, three quarters where the last quarter of the keys is padding; the backward pass has 2.5 times
 * the products of the forward one. */
function attended(S: number, D: number, kind: Kind, gradients: boolean): Work {
  const B = S <= 128 ? 4 : 1, H = 8, [q, k, v, dy] = [normal(B, S, H, D), normal(B, S, H, D), normal(B, S, H, D), normal(B, S, H, D)] as const
  const keyPadding = kind === 'padded' ? tensor(Uint8Array.from({ length: B * S }, (_, i) => i % S < 0.75 * S ? 1 : 0), [B, S], { dtype: 'bool' }).keep() : undefined
  const options = { causal: kind === 'causal', ...(keyPadding ? { keyPadding } : {}) }, share = { full: 1, causal: 0.5, padded: 0.75 }[kind]
  const forward = 4 * B * H * S * S * D * share
  if (!gradients) return { flop: forward, run: () => scope(async () => { noGrad(() => { attention(q, k, v, options) }); await cpu.synchronize() }) }
  for (const t of [q, k, v]) t.requiresGrad = true
  return {
    flop: 3.5 * forward,
    run: () => scope(async () => {
      for (const t of [q, k, v]) { t.grad?.dispose(); t.grad = undefined }
      backward(attention(q, k, v, options), dy)
      await cpu.synchronize()
    }),
  }
}

/** attention-S-dD-kind-forward and …-forward-backward. */
export const attentionWorks: Readonly<Record<string, () => Work>> = Object.fromEntries(
  [128, 512, 1024, 2048, 4096].flatMap(S => [32, 64, 128].flatMap(D => kinds.flatMap(kind => ([[false, 'forward'], [true, 'forward-backward']] as const).map(([gradients, what]) =>
    [`attention-${S}-d${D}-${kind}-${what}`, () => attended(S, D, kind, gradients)] as const)))))

export const usualAttention = ['512-d64-full', '2048-d64-causal'].flatMap(name => ['forward', 'forward-backward'].map(what => `attention-${name}-${what}`))
