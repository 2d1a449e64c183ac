import type { PretrainedConfig } from '../models/configuration.js'

/** Keys whose values transformers reads as floating numbers alone: it refuses a 0 that is meant as 0.0. JavaScript has one kind of number, so that the key has to tell. */
const keys = [
  'encoder_layerdrop', 'decoder_layerdrop', 'attn_logit_softcapping', 'final_logit_softcapping', 'init_std', 'initializer_factor', 'initializer_range', 'layer_norm_eps',
  'layer_norm_epsilon', 'rms_norm_eps', 'router_aux_loss_coef', 'router_jitter_noise', 'factor', 'attention_factor', 'low_freq_factor', 'high_freq_factor', 'mscale', 'mscale_all_dim',
]
const floats = new RegExp(`^(\\s*"(?:${keys.join('|')})": -?\\d+)(,?)$`, 'gm')

/** The text of a config.json. */
export const configText = (config: PretrainedConfig): string => `${JSON.stringify(config, undefined, 2).replace(floats, '$1.0$2')}\n`
