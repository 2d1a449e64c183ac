import { BartForCausalLM, BartForConditionalGeneration, BartForQuestionAnswering, BartForSequenceClassification, BartModel, bartFamily } from './bart.js'
import type { BartConfig } from './bartConfiguration.js'
import type { PretrainedConfig } from './configuration.js'
import type { PretrainedClass } from './pretrained.js'

// mBART (Liu et al. 2020, https://arxiv.org/abs/2001.08210): BART for many languages. Each sublayer's norm is before it, one more is behind the last layer. Texts end with
// the end token and that of their language; a target begins with its language's token.

type Given = Partial<BartConfig> & PretrainedConfig

/** Encoder and decoder without a head. */
export class MBartModel extends BartModel {
  constructor(config: Given = {}) { super({ ...config, model_type: 'mbart' }) }
}

/** Translation between many languages. */
export class MBartForConditionalGeneration extends BartForConditionalGeneration {
  constructor(config: Given = {}) { super({ ...config, model_type: 'mbart' }) }
}

/** Classes of texts, from the decoder's state at the last end token. */
export class MBartForSequenceClassification extends BartForSequenceClassification {
  constructor(config: Given = {}) { super({ ...config, model_type: 'mbart' }) }
}

/** Where the answer to a question lies in the text behind it. */
export class MBartForQuestionAnswering extends BartForQuestionAnswering {
  constructor(config: Given = {}) { super({ ...config, model_type: 'mbart' }) }
}

/** The decoder alone as a language model. */
export class MBartForCausalLM extends BartForCausalLM {
  constructor(config: Given = {}) { super({ ...config, model_type: 'mbart' }) }
}

export const mbartClasses: readonly PretrainedClass[] = bartFamily('mbart', [
  ['MBartForConditionalGeneration', 'seq2seq-lm', MBartForConditionalGeneration], ['MBartForSequenceClassification', 'sequence-classification', MBartForSequenceClassification],
  ['MBartForQuestionAnswering', 'question-answering', MBartForQuestionAnswering], ['MBartForCausalLM', 'causal-lm', MBartForCausalLM], ['MBartModel', 'base', MBartModel],
])
