import { ConfigError } from '../errors.js'
import { Embedding, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import { Random } from '../data/random.js'
import { tanh } from '../ops/unary.js'
import { generator } from '../tensor/random.js'
import type { Tensor } from '../tensor/tensor.js'
import type { PrefixTuningConfig, PromptConfig, PromptTuningConfig } from './config.js'

/** What turns a text into ids: a tokenizer. */
export interface TextEncoder { encode(text: string): { ids: ArrayLike<number> } }

/** Sizes of a base model, as far as virtual tokens need them. */
export interface PromptSizes { vocabulary: Parameter, layers: number, heads: number, headDim: number, submodules: number }

/** The vectors of virtual tokens. */
export class PromptEncoder extends Module {
  readonly embedding: Embedding
  readonly transform: ProjectionLayers | undefined

  /** @param sizes of the base @param tokenizer for prompt_tuning_init 'TEXT' */
  constructor(readonly config: PromptConfig, { vocabulary, ...sizes }: PromptSizes, tokenizer?: TextEncoder) {
    super()
    const P = config.num_virtual_tokens
    if (config.peft_type === 'PREFIX_TUNING') {
      const width = 2 * sizes.layers * sizes.heads * sizes.headDim, { prefix_projection, encoder_hidden_size, init_weights, inference_mode } = config
      const projected = prefix_projection && !inference_mode   // what is saved of a projection is its result
      this.embedding = new Embedding(P, projected ? config.token_dim! : width)
      this.transform = projected ? new ProjectionLayers(config.token_dim!, encoder_hidden_size!, width) : undefined
      if (init_weights === 'zero') for (const p of this.transform?.last.parameters() ?? [this.embedding.weight]) p.initialize({ kind: 'zeros' })
    } else {
      this.embedding = new Embedding(P * sizes.submodules, vocabulary.shape[1]!)
      const rows = firstRows(config, P * sizes.submodules, vocabulary.shape[0]!, tokenizer)
      if (rows) {
        const C = vocabulary.shape[1]!, table = vocabulary.dataSync() as Float32Array, values = new Float32Array(rows.length * C)
        rows.forEach((id, i) => { values.set(table.subarray(id * C, (id + 1) * C), i * C) })
        this.embedding.weight.assign(values)
      }
    }
  }

  /** `[P, …]` */
  forward(): Tensor { return this.transform ? this.transform.forward(this.embedding.weight) : this.embedding.weight }
}

class ProjectionLayers extends Module {
  readonly 0: Linear
  readonly 2: Linear

  constructor(width: number, inner: number, out: number) {
    super()
    this[0] = new Linear(width, inner)
    this[2] = new Linear(inner, out)
  }

  get last(): Linear { return this[2] }
  forward(x: Tensor): Tensor { return this[2].forward(tanh(this[0].forward(x))) }
}

/** Rows of the vocabulary that virtual tokens begin as; undefined for random ones. */
function firstRows(config: PromptTuningConfig, count: number, vocabulary: number, tokenizer: TextEncoder | undefined): number[] | undefined {
  if (config.inference_mode || config.prompt_tuning_init === 'RANDOM') return undefined
  if (config.prompt_tuning_init === 'SAMPLE_VOCAB') {
    const { seed, index } = generator.nextParameter(), random = new Random(seed, 'sampled prompt', index)
    return Array.from({ length: count }, () => random.integer(vocabulary))
  }
  if (!tokenizer) throw new ConfigError("adapter: prompt_tuning_init 'TEXT' needs a tokenizer: getPeftModel(model, config, { tokenizer })")
  const ids = Array.from(tokenizer.encode(config.prompt_tuning_init_text!).ids)
  if (ids.length === 0) throw new ConfigError('adapter: prompt_tuning_init_text has no tokens')
  return Array.from({ length: count }, (_, i) => ids[i % ids.length]!)
}

/** Where the configuration does not say, the sizes that the base says. */
export function withSizes<C extends PromptConfig>(config: C, { layers, heads, headDim, vocabulary, submodules }: PromptSizes): C {
  const width = config.peft_type === 'PREFIX_TUNING' ? heads * headDim : vocabulary.shape[1]!
  const complete = {
    ...config, num_layers: config.num_layers ?? layers, num_attention_heads: config.num_attention_heads ?? heads, token_dim: config.token_dim ?? width,
    num_transformer_submodules: config.num_transformer_submodules ?? submodules,
    ...config.peft_type === 'PREFIX_TUNING' ? { encoder_hidden_size: (config as PrefixTuningConfig).encoder_hidden_size ?? width } : {},
  }
  const problems = [
    ...complete.num_layers === layers ? [] : [`num_layers is ${complete.num_layers}, the model has ${layers}`],
    ...complete.token_dim === width ? [] : [`token_dim is ${complete.token_dim}, the model has ${width}`],
    ...complete.num_transformer_submodules === submodules ? [] : [`num_transformer_submodules is ${complete.num_transformer_submodules}, expected ${submodules}`],
    ...config.peft_type === 'PROMPT_TUNING' || complete.num_attention_heads === heads ? [] : [`num_attention_heads is ${complete.num_attention_heads}, the model has ${heads} heads of keys`],
  ]
  if (problems.length > 0) throw new ConfigError(`adapter (${config.peft_type}): ${problems.join('; ')}`)
  return complete
}
