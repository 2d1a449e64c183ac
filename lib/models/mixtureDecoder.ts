import type { PartsOf } from '../io/safetensorsParts.js'
import type { DecoderContext } from '../nn/groupedQueryAttention.js'
import { Embedding, Linear, RMSNorm } from '../nn/layers.js'
import { loadBalancingLoss } from '../nn/mixtureOfExperts.js'
import type { Module } from '../nn/module.js'
import { throughLayer } from '../nn/recompute.js'
import { type RopeParameters, wholeHeadRope } from '../nn/rope.js'
import { RotaryPositions } from '../nn/rotaryPositions.js'
import { add } from '../ops/add.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { mul } from '../ops/mul.js'
import { split } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { paddingOf, type PretrainedConfig } from './configuration.js'
import { Decoder, type DecoderInputs, type DecoderStep } from './decoder.js'
import type { OutputLayer } from './outputLayer.js'

// What Mixtral and Qwen's mixtures have alike: everything but the layers.

export interface MixtureConfig {
  vocab_size: number
  hidden_size: number
  num_hidden_layers: number
  head_dim: number
  max_position_embeddings: number
  rms_norm_eps: number
  initializer_range: number
  tie_word_embeddings: boolean
  num_experts_per_tok: number
  /** Whether `loss` has the part that keeps experts equally used, times `router_aux_loss_coef`. */
  output_router_logits: boolean
  router_aux_loss_coef: number
}

export interface MixtureLayer extends Module {
  /** Positions that a query sees; 0: all. */
  readonly window: number
  /** E; 0 for a layer that has no router. */
  readonly experts: number
  /** @returns `[B, T, C]`, or with `router` `[B, T, C + E]`: what its router gave comes last, so that a layer has one output, which can be recomputed */
  forward(x: Tensor, context: DecoderContext, router?: boolean): Tensor
}

/** The layers of a decoder whose feed-forward layers are mixtures of experts. */
export abstract class MixtureDecoder<C extends MixtureConfig & PretrainedConfig> extends Decoder {
  readonly embed_tokens: Embedding
  readonly layers: MixtureLayer[]
  readonly norm: RMSNorm
  private readonly rope: RopeParameters
  private readonly rotary: RotaryPositions

  /** @param theta base of the rotary angles where the configuration names none */
  protected constructor(model: string, readonly config: C, layer: (index: number) => MixtureLayer, theta: number) {
    super()
    const c = config
    this.embed_tokens = new Embedding(c.vocab_size, c.hidden_size, { initialization: { kind: 'normal', std: c.initializer_range }, ...paddingOf(c) })
    this.layers = Array.from({ length: c.num_hidden_layers }, (_, i) => layer(i))
    this.norm = new RMSNorm(c.hidden_size, { eps: c.rms_norm_eps })
    this.rope = wholeHeadRope(model, c, theta)
    this.rotary = new RotaryPositions(this.rope, c.head_dim)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.hidden_size }
  get layerCount(): number { return this.config.num_hidden_layers }
  override windowOf(layer: number): number { return this.layers[layer]!.window }
  /** What it was trained for; 'dynamic' positions stretch with the sequence. */
  get maxPositions(): number { return this.rope.type === 'dynamic' ? Infinity : this.config.max_position_embeddings }

  protected override get packs(): boolean { return this.rotary.isFixed }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    return this.norm.forward(this.through(this.layers, this.embed_tokens.forward(ids), step, (layer, y, cache, _, start) => layer.forward(y, { ...this.contextOf(step, start), cache })))
  }

  /** Hidden states as from `forward`, and the loss that is least where experts are used alike. */
  routed(ids: Tensor, inputs: DecoderInputs = {}): { hidden: Tensor, auxLoss: Tensor } {
    const step = this.whole(ids, inputs), { start } = step, logits: Tensor[] = []
    let x = this.embed_tokens.forward(ids)
    for (const layer of this.layers) {
      const run = (y: Tensor, places: Tensor | number = start): Tensor => layer.forward(y, this.contextOf(step, places), true)
      const both = throughLayer(this.activationCheckpointing, (y, places) => run(y!, places), ...(typeof start === 'number' ? [x] : [x, start]))
      x = both
      if (layer.experts > 0) {
        const [next, router] = split(both, [this.config.hidden_size, layer.experts], -1) as [Tensor, Tensor]
        x = next
        logits.push(router)
      }
    }
    return { hidden: this.norm.forward(x), auxLoss: loadBalancingLoss(logits, this.config.num_experts_per_tok, inputs.attentionMask) }
  }

  private contextOf({ end, keyPadding, offsets }: DecoderStep, start: number | Tensor): DecoderContext {
    return { turn: this.rotary.at(start, end), keyPadding, offsets }
  }
}

/** A causal model over such layers. */
export abstract class MixtureLanguageModel<C extends MixtureConfig & PretrainedConfig> extends CausalLanguageModel {
  readonly config: C
  readonly lm_head: Linear | undefined

  constructor(readonly model: MixtureDecoder<C>) {
    super()
    const c = this.config = model.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.hidden_size, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): MixtureDecoder<C> { return this.model }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.model.embed_tokens.weight } }

  /** Logits `[B, T, V]` as from `forward`, and the loss that is least where experts are used alike. @param attentionMask 1 where there is a token, `[B, T]` */
  routed(ids: Tensor, options: DecoderInputs = {}): { logits: Tensor, auxLoss: Tensor } {
    const { hidden, auxLoss } = this.model.routed(ids, options)
    return { logits: this.project(hidden), auxLoss }
  }

  /** Cross-entropy as of any causal model; with `output_router_logits` and the loss of the routers, times `router_aux_loss_coef`. */
  override loss(batch: DecoderInputs & { ids: Tensor, labels: Tensor },
    options: { reduction?: 'mean' | 'sum', labelSmoothing?: number } = {}): Tensor {
    if (!this.config.output_router_logits) return super.loss(batch, options)
    return scope(() => {
      const { logits, auxLoss } = this.routed(batch.ids, batch)
      return add(crossEntropy(logits, batch.labels, options), mul(auxLoss, this.config.router_aux_loss_coef))
    })
  }
}

/**
 * Files have each expert apart, as models here do; transformers 5 can also save those of a layer as one: gate and up of the first, of the second …, `[E, 2 F, C]`,
 * and down, `[E, C, F]`.
 */
export const expertsApart = (gate: string, up: string, down: string): PartsOf => (name, shape) => {
  const [, lead, kind] = /^(.*\.experts\.)(gate_up_proj|down_proj)$/.exec(name) ?? [], [E, rows, columns] = shape as [number, number, number]
  if (lead === undefined || shape.length !== 3) return undefined
  const part = (weight: string, count: number) => (e: number) => ({ name: `${lead}${e}.${weight}.weight`, shape: [count, columns] })
  const parts = kind === 'down_proj' ? [part(down, rows)] : [part(gate, rows / 2), part(up, rows / 2)]
  return Array.from({ length: E }, (_, e) => parts.map(of => of(e))).flat()
}
