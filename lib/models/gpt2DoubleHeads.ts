import { ConfigError, ShapeError } from '../errors.js'
import { Dropout, Linear } from '../nn/layers.js'
import { Module } from '../nn/module.js'
import { add } from '../ops/add.js'
import { crossEntropy } from '../ops/crossEntropy.js'
import { indexSelect } from '../ops/indexSelect.js'
import { reshape } from '../ops/view.js'
import { arange } from '../tensor/create.js'
import { scope } from '../tensor/scope.js'
import type { Tensor } from '../tensor/tensor.js'
import { activationFunction } from './activations.js'
import { CausalLanguageModel } from './causalLanguageModel.js'
import type { PretrainedConfig } from './configuration.js'
import { type GPT2Config, GPT2Model } from './gpt2.js'
import type { LabelLossOptions } from './labels.js'
import type { OutputLayer } from './outputLayer.js'

/** Texts to choose from: all are `[B, N, T]`, N choices for each of B. */
export interface ChoiceInputs {
  ids: Tensor
  /** 1 where there is a token. */
  attentionMask?: Tensor | undefined
  /** `[B, N]` int32: the token of each text whose hidden state is judged. Default: the last column. */
  choiceTokens?: Tensor | undefined
}

export interface DoubleHeadsLogits {
  /** Of the next tokens, `[B, N, T, V]`. */
  logits: Tensor
  /** Of the choices, `[B, N]`. */
  choiceLogits: Tensor
}

type Config = GPT2Config & PretrainedConfig

/** What the configuration may say of the head; anything else is refused. */
const expected = { summary_type: 'cls_index', summary_use_proj: true, summary_proj_to_labels: true }

/** One number for a hidden state. */
class ChoiceHead extends Module {
  readonly summary: Linear
  private readonly activation: (x: Tensor) => Tensor
  private readonly first: Dropout
  private readonly last: Dropout

  constructor(c: Config) {
    super()
    for (const [key, value] of Object.entries(expected)) {
      if (c[key] !== undefined && c[key] !== value) throw new ConfigError(`gpt2: ${key} is ${JSON.stringify(c[key])}, which GPT2DoubleHeads does not have; expected ${JSON.stringify(value)}`)
    }
    const { summary_activation: activation, summary_first_dropout: first = 0.1, summary_last_dropout: last = 0 } = c
    this.summary = new Linear(c.n_embd, 1, { bias: true, initialization: { kind: 'normal', std: c.initializer_range } })
    this.activation = activation ? activationFunction('gpt2', 'summary_activation', activation as string) : x => x
    this.first = new Dropout(Number(first))
    this.last = new Dropout(Number(last))
  }

  /** @param x `[R, C]` @returns `[R, 1]` */
  forward(x: Tensor): Tensor { return this.last.forward(this.activation(this.summary.forward(this.first.forward(x)))) }
}

/**
 * GPT-2 with two heads: the next token, and which of N texts is the right one (Radford et al. 2018, section 3.3: RocStories). What generates is the first of them.
 */
export class GPT2DoubleHeads extends CausalLanguageModel {
  readonly config: Config
  readonly transformer: GPT2Model
  readonly lm_head: Linear | undefined
  readonly multiple_choice_head: ChoiceHead

  /** @throws ConfigError for what is not known or does not fit */
  constructor(config: Partial<GPT2Config> & PretrainedConfig = {}) {
    super()
    this.transformer = new GPT2Model(config)
    const c = this.config = this.transformer.config
    this.lm_head = c.tie_word_embeddings ? undefined : new Linear(c.n_embd, c.vocab_size, { bias: false, initialization: { kind: 'normal', std: c.initializer_range } })
    this.multiple_choice_head = new ChoiceHead(c)
  }

  get decoder(): GPT2Model { return this.transformer }
  protected override get output(): OutputLayer { return { layer: this.lm_head, table: this.transformer.wte.weight } }

  /** Both heads on texts to choose from. @throws ShapeError for inputs of another rank or size */
  choose({ ids, attentionMask, choiceTokens }: ChoiceInputs): DoubleHeadsLogits {
    if (ids.rank !== 3) throw new ShapeError(`multiple choice: ids are [${ids.shape.join(', ')}], expected [B, N, T]: N texts to choose from`)
    const [B, N, T] = ids.shape as [number, number, number], C = this.decoder.width
    const fits = (name: string, x: Tensor | undefined, shape: readonly number[]): void => {
      if (x && (x.rank !== shape.length || x.shape.some((n, i) => n !== shape[i]))) throw new ShapeError(`multiple choice: ${name} is [${x.shape.join(', ')}], expected [${shape.join(', ')}] for ids [${ids.shape.join(', ')}]`)
    }
    fits('attentionMask', attentionMask, [B, N, T])
    fits('choiceTokens', choiceTokens, [B, N])
    return scope(() => {
      const x = this.decoder.forward(reshape(ids, [B * N, T]), attentionMask ? { attentionMask: reshape(attentionMask, [B * N, T]) } : {})
      const like = { dtype: 'int32', device: ids.device } as const, begins = arange(B * N * T, { step: T, ...like })
      const places = choiceTokens ? add(begins, reshape(choiceTokens, [B * N])) : arange(B * N * T, { start: T - 1, step: T, ...like })
      const chosen = indexSelect(reshape(x, [B * N * T, C]), places)
      return { logits: reshape(this.project(x), [B, N, T, this.vocabSize]), choiceLogits: reshape(this.multiple_choice_head.forward(chosen), [B, N]) }
    })
  }

  /**
   * Both cross-entropies, from one pass; transformers' training adds them.
   * @param labels `[B, N, T]`, the next tokens themselves, -100 not counted   @param choiceLabels `[B]`, which text is the right one
   */
  choiceLosses({ labels, choiceLabels, ...inputs }: ChoiceInputs & { labels: Tensor, choiceLabels: Tensor }, options: LabelLossOptions = {}): { loss: Tensor, choiceLoss: Tensor } {
    return scope(() => {
      const { logits, choiceLogits } = this.choose(inputs)
      return { loss: crossEntropy(logits, labels, options), choiceLoss: crossEntropy(choiceLogits, choiceLabels, options) }
    })
  }
}
