import type { PretrainedConfig } from './configuration.js'
import { headClasses } from './decoderHeads.js'
import { GPT2, GPT2Model } from './gpt2.js'
import { GPT2DoubleHeads } from './gpt2DoubleHeads.js'
import { pretrainedClass, type PretrainedClass } from './pretrained.js'

const configuration = ({ config }: GPT2 | GPT2DoubleHeads | GPT2Model): PretrainedConfig => ({ ...config, n_ctx: config.n_positions })
const causalMask = /(^|\.)attn\.(masked_)?bias$/   // which old files hold

const layers = pretrainedClass({
  architecture: 'GPT2Model', modelType: 'gpt2', task: 'base', prefix: 'transformer', Model: GPT2Model, config: configuration, ignored: causalMask,
})

const generative = {
  modelType: 'gpt2', prefix: 'transformer', config: configuration, ignored: causalMask,
  tied: (model: GPT2 | GPT2DoubleHeads): Readonly<Record<string, string>> => model.lm_head ? {} : { 'lm_head.weight': 'transformer.wte.weight' },
} as const

export const gpt2Classes: readonly PretrainedClass[] = [
  pretrainedClass({ ...generative, architecture: 'GPT2LMHeadModel', task: 'causal-lm', Model: GPT2 }),
  pretrainedClass({ ...generative, architecture: 'GPT2DoubleHeadsModel', task: 'multiple-choice', Model: GPT2DoubleHeads }),
  layers, ...headClasses(layers),
]
