import { BartForCausalLM, BartForConditionalGeneration, BartModel, bartFamily } from './bart.js'
import type { BartConfig } from './bartConfiguration.js'
import type { PretrainedConfig } from './configuration.js'
import type { PretrainedClass } from './pretrained.js'

// PEGASUS (Zhang et al. 2019, https://arxiv.org/abs/1912.08777): trained to write the sentences that were taken out of a text, for summaries. Sinusoidal positions, each
// sublayer's norm before it, one more behind the last layer.

type Given = Partial<BartConfig> & PretrainedConfig

/** Encoder and decoder without a head. */
export class PegasusModel extends BartModel {
  constructor(config: Given = {}) { super({ ...config, model_type: 'pegasus' }) }
}

/** Summaries. */
export class PegasusForConditionalGeneration extends BartForConditionalGeneration {
  constructor(config: Given = {}) { super({ ...config, model_type: 'pegasus' }) }
}

/** The decoder alone as a language model. */
export class PegasusForCausalLM extends BartForCausalLM {
  constructor(config: Given = {}) { super({ ...config, model_type: 'pegasus' }) }
}

export const pegasusClasses: readonly PretrainedClass[] = bartFamily('pegasus', [
  ['PegasusForConditionalGeneration', 'seq2seq-lm', PegasusForConditionalGeneration], ['PegasusForCausalLM', 'causal-lm', PegasusForCausalLM], ['PegasusModel', 'base', PegasusModel],
])
