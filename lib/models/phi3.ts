import { ConfigError } from '../errors.js'
import { FusedGatedFeedForward } from '../nn/gatedFeedForward.js'
import { decoderAttention, type DecoderContext, turnedAttention } from '../nn/groupedQueryAttention.js'
import type { CacheOptions } from '../nn/keyValueCache.js'
import { Dropout, Embedding, Linear, RMSNorm } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { intoStream } from '../nn/precision.js'
import { ropeParameters, type RopeParameters } from '../nn/rope.js'
import { RotaryPositions } from '../nn/rotaryPositions.js'
import { add } from '../ops/add.js'
import { concat } from '../ops/concat.js'
import { clone } from '../ops/copy.js'
import { indexSelect } from '../ops/indexSelect.js'
import { reshape, slice, split } from '../ops/view.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { gateOf } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import { checkSizes, completed, paddingOf, type PretrainedConfig } from './configuration.js'
import { Decoder, DecoderState, type DecoderStep } from './decoder.js'
import { headClasses } from './decoderHeads.js'
import type { OutputLayer } from './outputLayer.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

/** Configuration under the names of `config.json`; further keys are those of rotary positions (`rope_parameters`, or `rope_theta` and `rope_scaling`). */
export interface Phi3Config {
  vocab_size: number
  hidden_size: number
  intermediate_size: number
  num_hidden_layers: number
  num_attention_heads: number
  /** Default `num_attention_heads`. */
  num_key_value_heads: number
  /** Default `hidden_size / num_attention_heads`. */
  head_dim: number
  hidden_act: string
  max_position_embeddings: number
  /** Longest sequence whose angles are divided by the short factors. */
  original_max_position_embeddings: number
  rms_norm_eps: number
  initializer_range: number
  resid_pdrop: number
  /** Kept for the file's sake: transformers drops no embedding either. */
  embd_pdrop: number
  attention_dropout: number
  tie_word_embeddings: boolean
  pad_token_id: number | null
  /** Positions that a query sees; null: all. */
  sliding_window: number | null
}

const defaults = {
  vocab_size: 32064, hidden_size: 3072, intermediate_size: 8192, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: undefined, head_dim: undefined,
  hidden_act: 'silu', max_position_embeddings: 4096, original_max_position_embeddings: 4096, rms_norm_eps: 1e-5, initializer_range: 0.02, resid_pdrop: 0, embd_pdrop: 0,
  attention_dropout: 0, tie_word_embeddings: false, pad_token_id: 32000, sliding_window: null,
}

function complete(config: PretrainedConfig): Phi3Config & PretrainedConfig {
  const c = completed('phi3', config, defaults, { quantization_config: null }, ['pad_token_id'])
  checkSizes('phi3', c, 'vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'max_position_embeddings',
    'original_max_position_embeddings')
  const heads = c.num_attention_heads
  const all = { ...c, num_key_value_heads: c.num_key_value_heads ?? heads, head_dim: c.head_dim ?? c.hidden_size / heads } as unknown as Phi3Config & PretrainedConfig
  checkSizes('phi3', all, 'num_key_value_heads', 'head_dim')
  if (heads % all.num_key_value_heads !== 0)
    throw new ConfigError(`phi3: ${heads} heads of queries cannot share ${all.num_key_value_heads} heads of keys and values`)
  return all
}

/** Older files call LongRoPE 'su', some 'yarn'. */
function positionsOf(c: Phi3Config & PretrainedConfig): RopeParameters {
  const given = { ...(c['rope_scaling'] as object | null | undefined), ...(c['rope_parameters'] as object | null | undefined) } as PretrainedConfig
  const type = given['rope_type'] ?? given['type'] ?? 'default'
  const known = type === 'su' || type === 'yarn' ? 'longrope' : type
  if (known !== 'default' && known !== 'longrope') throw new ConfigError(`phi3: rope_type is ${JSON.stringify(type)}, expected 'default' or 'longrope'`)
  return ropeParameters('phi3', { ...c, rope_scaling: null, rope_parameters: { ...given, rope_type: known } })
}

class Attention extends Module {
  readonly qkv_proj: Linear
  readonly o_proj: Linear

  constructor(private readonly c: Phi3Config) {
    super()
    const initialization = { kind: 'normal', std: c.initializer_range } as const, heads = c.num_attention_heads, groups = c.num_key_value_heads
    this.qkv_proj = new Linear(c.hidden_size, (heads + 2 * groups) * c.head_dim, { bias: false, initialization })
    this.o_proj = new Linear(heads * c.head_dim, c.hidden_size, { bias: false, initialization, ...intoStream })
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    const { num_attention_heads: H, num_key_value_heads: G, head_dim: D, sliding_window, attention_dropout } = this.c, [B, T] = x.shape as [number, number]
    const [q, k, v] = split(this.qkv_proj.forward(x), [H * D, G * D, G * D], -1).map(part => reshape(part, [B, T, part.shape[2]! / D, D])) as [Tensor, Tensor, Tensor]
    const y = turnedAttention(q, k, v, context, { window: sliding_window ?? 0, dropout: this.training ? attention_dropout : 0 })
    return this.o_proj.forward(reshape(y, [B, T, H * D]))
  }
}

class Layer extends Module {
  readonly input_layernorm: RMSNorm
  readonly self_attn: Attention
  readonly post_attention_layernorm: RMSNorm
  readonly mlp: FusedGatedFeedForward
  private readonly dropout: Dropout

  constructor(private readonly c: Phi3Config) {
    super()
    const eps = c.rms_norm_eps
    this.input_layernorm = new RMSNorm(c.hidden_size, { eps })
    this.self_attn = new Attention(c)
    this.post_attention_layernorm = new RMSNorm(c.hidden_size, { eps })
    this.mlp = new FusedGatedFeedForward(c.hidden_size, c.intermediate_size, gateOf('phi3', 'hidden_act', c.hidden_act), c.initializer_range)
    this.dropout = new Dropout(c.resid_pdrop)
  }

  forward(x: Tensor /* B T C */, context: DecoderContext): Tensor {
    return scope(() => {
      const attended = decoderAttention((z, kept) => this.self_attn.forward(this.input_layernorm.forward(z), kept), x, context)
      const { y, sum } = this.post_attention_layernorm.add(x, attended, this.training ? this.c.resid_pdrop : 0)
      return add(sum, this.dropout.forward(this.mlp.forward(y)))
    })
  }
}

/** The layers of Phi-3. */
export class Phi3Model extends Decoder {
  readonly config: Phi3Config & PretrainedConfig
  readonly embed_tokens: Embedding
  readonly layers: Layer[]
  readonly norm: RMSNorm
  private readonly rope: RopeParameters
  private readonly rotary: RotaryPositions

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<Phi3Config> & PretrainedConfig = {}) {
    super()
    const c = this.config = complete(config)
    this.embed_tokens = new Embedding(c.vocab_size, c.hidden_size, { initialization: { kind: 'normal', std: c.initializer_range }, ...paddingOf(c) })
    this.layers = Array.from({ length: c.num_hidden_layers }, () => new Layer(c))
    this.norm = new RMSNorm(c.hidden_size, { eps: c.rms_norm_eps })
    this.rope = positionsOf(c)
    this.rotary = new RotaryPositions(this.rope, c.head_dim)
  }

  get vocabSize(): number { return this.config.vocab_size }
  get width(): number { return this.config.hidden_size }
  get layerCount(): number { return this.config.num_hidden_layers }
  get maxPositions(): number { return this.config.max_position_embeddings }

  override windowOf(): number { return this.config.sliding_window ?? 0 }

  /** Where a long sequence has other angles than a short one, the state can turn the keys anew. */
  override begin(promptMask?: Tensor, cache?: CacheOptions): DecoderState {
    if (this.rope.type !== 'longrope') return super.begin(promptMask, cache)
    return new GrowingState(this.layers.map(() => this.windowOf()), this.rope.originalMaxPositions, promptMask, cache)
  }

  override advance(ids: Tensor, state: DecoderState): Tensor {
    if (!(state instanceof GrowingState)) return super.advance(ids, state)
    return slice(super.advance(state.taken(ids), state), 1, -ids.shape[1]!)
  }

  protected override get packs(): boolean { return this.rotary.isFixed }

  protected hidden(ids: Tensor, step: DecoderStep): Tensor {
    const { keyPadding, offsets, end } = step
    const x = this.through(this.layers, this.embed_tokens.forward(ids), step, (layer, y, cache, _, start) => layer.forward(y, { turn: this.rotary.at(start, end), cache, keyPadding, offsets }))
    return this.norm.forward(x)
  }
}

/** Caches of a sequence whose keys are turned by other angles once it is longer than `limit`; until then it keeps its ids, from which all is computed again. */
class GrowingState extends DecoderState {
  /** `[B, length]` int32 */
  private ids: Tensor | undefined
  private outgrown = false

  constructor(windows: readonly number[], private readonly limit: number, promptMask?: Tensor, cache?: CacheOptions) { super(windows, promptMask, cache) }

  /** What has to be computed for the next `ids`: these, or with them all before. */
  taken(ids: Tensor): Tensor {
    if (this.outgrown) return ids
    const all = this.ids ? concat([this.ids, ids], 1) : clone(ids), begun = this.length > 0
    if (all.shape[1]! <= this.limit) {
      this.remember(all)
      return ids
    }
    this.outgrown = true
    this.remember(undefined)
    if (!begun) return ids
    this.restart()
    return all
  }

  /** What was computed by the longer angles stays longer. */
  override get forgettable(): number { return this.outgrown ? Math.min(super.forgettable, this.length - this.limit - 1) : super.forgettable }

  override forget(count: number): void {
    super.forget(count)
    if (this.ids) this.remember(clone(slice(this.ids, 1, 0, this.length)))
  }

  override trim(columns: number): void {
    super.trim(columns)
    if (this.ids) this.remember(clone(slice(this.ids, 1, columns)))
  }

  override join(): void { throw new ConfigError('phi3: a batch that runs cannot take rows, because with LongRoPE the angles of all follow from the longest. Use generate.') }

  override reorder(rows: Tensor): void {
    super.reorder(rows)
    if (this.ids) this.remember(indexSelect(this.ids, rows))
  }

  override dispose(): void {
    super.dispose()
    this.remember(undefined)
  }

  private remember(ids: Tensor | undefined): void {
    const before = this.ids
    this.ids = ids?.keep()
    before?.dispose()
  }
}

/**
 * Phi-3 (Abdin et al. 2024, https://arxiv.org/abs/2404.14219): LLaMA with queries, keys and values in one product, gate and up likewise, and LongRoPE, whose
 * factors change when a sequence outgrows the length that the model was first trained for.
 */
export class Phi3 extends CausalLanguageModel {
  readonly config: Phi3Config & PretrainedConfig
  readonly model: Phi3Model
  readonly lm_head: Linear | undefined

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<Phi3Config> & PretrainedConfig = {}) {
    super()
    this.model = new Phi3Model(config)
    const c = this.config = this.model.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.hidden_size, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
  }

  get decoder(): Phi3Model { return this.model }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.model.embed_tokens.weight } }
}

/** Phi-3's files say nothing of a width of heads that follows from the others. */
function configuration({ config }: Phi3 | Phi3Model): PretrainedConfig {
  const { head_dim, ...rest } = config
  return head_dim === config.hidden_size / config.num_attention_heads ? rest : config
}

const inOldFiles = /(^|\.)rotary_emb\.inv_freq$/

const layers = pretrainedClass({
  architecture: 'Phi3Model', modelType: 'phi3', task: 'base', prefix: 'model', Model: Phi3Model, config: configuration, ignored: inOldFiles,
})

export const phi3Classes: readonly PretrainedClass[] = [
  pretrainedClass({
    architecture: 'Phi3ForCausalLM', modelType: 'phi3', task: 'causal-lm', prefix: 'model', Model: Phi3, config: configuration, ignored: inOldFiles,
    tied: model => model.lm_head ? {} : { 'lm_head.weight': 'model.embed_tokens.weight' },
  }),
  layers, ...headClasses(layers, { tokens: 'score', answers: false }),
]
