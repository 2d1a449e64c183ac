import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { PretrainedConfig } from '#lib/models/configuration.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Llama } from '#lib/models/llama.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { type Adapter, ids, shifted } from './adapter.js'
import type { Case } from './case.js'

/** How a causal model is run, whatever its family. */
const causal = (Model: new (config: PretrainedConfig) => CausalLanguageModel) => (c: Case): Adapter => {
  const model = new Model(c.config)
  return {
    model,
    run() {
      const logits = model.forward(ids(c, 'input_ids'), { attentionMask: c.inputs.has('attention_mask') ? ids(c, 'attention_mask') : undefined })
      return { logits, loss: crossEntropy(logits, shifted(c)) }
    },
  }
}

export const causalModels: Record<string, (c: Case) => Adapter> = {
  GPT2LMHeadModel: c => causal(GPT2)({ ...c, config: { ...c.config, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 } }),
  LlamaForCausalLM: causal(Llama),
  MistralForCausalLM: causal(Llama),
  Qwen2ForCausalLM: causal(Llama),
  Qwen3ForCausalLM: causal(Llama),
}
