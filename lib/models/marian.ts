import { BartForCausalLM, BartForConditionalGeneration, BartModel, bartFamily } from './bart.js'
import type { BartConfig } from './bartConfiguration.js'
import type { PretrainedConfig } from './configuration.js'
import type { Parameter } from '../nn/parameter.js'
import type { PretrainedClass } from './pretrained.js'

// Marian (Junczys-Dowmunt et al. 2018, https://arxiv.org/abs/1804.00344), the translation models of OPUS: the paper's encoder-decoder with sinusoidal positions, and a
// bias of the logits. Source and target may have vocabularies of their own.

type Given = Partial<BartConfig> & PretrainedConfig

/** Encoder and decoder without a head. */
export class MarianModel extends BartModel {
  constructor(config: Given = {}) { super({ ...config, model_type: 'marian' }) }
}

/** Translation. */
export class MarianMTModel extends BartForConditionalGeneration {
  constructor(config: Given = {}) { super({ ...config, model_type: 'marian' }) }

  /** Without the sinusoids, which files of this model do not have. */
  override stateDict(): Map<string, Parameter> { return new Map([...super.stateDict()].filter(([name]) => !name.endsWith('.embed_positions.weight'))) }
}

/** The decoder alone as a language model. */
export class MarianForCausalLM extends BartForCausalLM {
  constructor(config: Given = {}) { super({ ...config, model_type: 'marian' }) }
}

export const marianClasses: readonly PretrainedClass[] = bartFamily('marian', [
  ['MarianMTModel', 'seq2seq-lm', MarianMTModel], ['MarianForCausalLM', 'causal-lm', MarianForCausalLM], ['MarianModel', 'base', MarianModel],
])
