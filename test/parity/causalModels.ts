import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { Decoder } from '#lib/models/decoder.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { ids, type Run, shifted } from './adapter.js'
import type { Case } from './case.js'

const inputsOf = (c: Case) => ({ attentionMask: c.inputs.has('attention_mask') ? ids(c, 'attention_mask') : undefined })

/** How a causal model is run, whatever its family. */
const causal: Run<CausalLanguageModel> = (c, model) => {
  const logits = model.forward(ids(c, 'input_ids'), inputsOf(c))
  return { logits, loss: crossEntropy(logits, shifted(c)) }
}

/** The layers alone. */
const layers: Run<Decoder> = (c, model) => ({ last_hidden_state: model.forward(ids(c, 'input_ids'), inputsOf(c)) })

export const causalModels: Readonly<Record<string, Run<never>>> = {
  GPT2LMHeadModel: causal, LlamaForCausalLM: causal, MistralForCausalLM: causal, Qwen2ForCausalLM: causal, Qwen3ForCausalLM: causal,
  GPT2Model: layers, LlamaModel: layers, MistralModel: layers, Qwen2Model: layers, Qwen3Model: layers,
}
