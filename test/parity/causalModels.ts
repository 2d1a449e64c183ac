import type { CausalLanguageModel } from '#lib/models/causalLanguageModel.js'
import type { Decoder } from '#lib/models/decoder.js'
import type { DecoderForQuestionAnswering, DecoderForSequenceClassification, DecoderForTokenClassification } from '#lib/models/decoderHeads.js'
import type { GPT2DoubleHeads } from '#lib/models/gpt2DoubleHeads.js'
import { answerLoss } from '#lib/models/labels.js'
import type { Mixtral } from '#lib/models/mixtral.js'
import type { QwenMixture } from '#lib/models/qwenMixture.js'
import { add } from '#lib/ops/add.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { mul } from '#lib/ops/mul.js'
import { tensor } from '#lib/tensor/create.js'
import { ids, type Run, shifted } from './adapter.js'
import type { Case } from './case.js'

const inputsOf = (c: Case) => ({ attentionMask: c.inputs.has('attention_mask') ? ids(c, 'attention_mask') : undefined })

/** How a causal model is run, whatever its family. */
const causal: Run<CausalLanguageModel> = (c, model) => {
  const logits = model.forward(ids(c, 'input_ids'), inputsOf(c))
  return { logits, loss: crossEntropy(logits, shifted(c)) }
}

/** One whose router has a loss of its own, where the configuration asks for it. */
const mixture: Run<Mixtral | QwenMixture> = (c, model) => {
  if (!c.config['output_router_logits']) return causal(c, model)
  const { logits, auxLoss } = model.routed(ids(c, 'input_ids'), inputsOf(c))
  return { logits, aux_loss: auxLoss, loss: add(crossEntropy(logits, shifted(c)), mul(auxLoss, model.config.router_aux_loss_coef)) }
}

/** The layers alone. */
const layers: Run<Decoder> = (c, model) => ({ last_hidden_state: model.forward(ids(c, 'input_ids'), inputsOf(c)) })

const labels = (c: Case) => {
  const { shape, data, dtype } = c.inputs.get('labels')!
  return dtype.startsWith('F') ? tensor(Float32Array.from(data), shape) : ids(c, 'labels')
}

const sequence: Run<DecoderForSequenceClassification> = (c, model) => ({
  logits: model.forward(ids(c, 'input_ids'), inputsOf(c)), loss: model.loss({ ids: ids(c, 'input_ids'), labels: labels(c), ...inputsOf(c) }),
})

const tokens: Run<DecoderForTokenClassification> = (c, model) => {
  const logits = model.forward(ids(c, 'input_ids'), inputsOf(c))
  return { logits, loss: crossEntropy(logits, labels(c)) }
}

const answers: Run<DecoderForQuestionAnswering> = (c, model) => {
  const { startLogits, endLogits } = model.forward(ids(c, 'input_ids'), inputsOf(c))
  return { start_logits: startLogits, end_logits: endLogits, loss: answerLoss({ startLogits, endLogits }, ids(c, 'start_positions'), ids(c, 'end_positions')) }
}

/** The next token and the choice among texts; transformers' training adds both losses. */
const doubleHeads: Run<GPT2DoubleHeads> = (c, model) => {
  const { shape, data } = c.inputs.get('labels')!, T = shape.at(-1)!
  const inputs = { ids: ids(c, 'input_ids'), choiceTokens: c.inputs.has('mc_token_ids') ? ids(c, 'mc_token_ids') : undefined,
    attentionMask: c.inputs.has('attention_mask') ? ids(c, 'attention_mask') : undefined }
  const next = tensor(Int32Array.from(data as ArrayLike<number>, (_, i) => i % T === T - 1 ? -100 : data[i + 1]!), shape), { logits, choiceLogits } = model.choose(inputs)
  const { loss, choiceLoss } = model.choiceLosses({ ...inputs, labels: next, choiceLabels: ids(c, 'mc_labels') })
  return { logits, mc_logits: choiceLogits, lm_loss: loss, mc_loss: choiceLoss, loss: add(loss, choiceLoss) }
}

/** The layers of a family, and the heads that transformers gives it. */
const family = (name: string) => ({
  [`${name}Model`]: layers, [`${name}ForSequenceClassification`]: sequence, [`${name}ForTokenClassification`]: tokens, [`${name}ForQuestionAnswering`]: answers,
})

export const causalModels: Readonly<Record<string, Run<never>>> = {
  GPT2LMHeadModel: causal, GPT2DoubleHeadsModel: doubleHeads, LlamaForCausalLM: causal, MistralForCausalLM: causal, Qwen2ForCausalLM: causal, Qwen3ForCausalLM: causal,
  ...family('GPT2'), ...family('Llama'), ...family('Mistral'), ...family('Qwen2'), ...family('Qwen3'),
  OPTForCausalLM: causal, GPTNeoXForCausalLM: causal, GPTJForCausalLM: causal, BloomForCausalLM: causal, FalconForCausalLM: causal,
  ...family('OPT'), ...family('GPTNeoX'), ...family('GPTJ'), ...family('Bloom'), ...family('Falcon'),
  GemmaForCausalLM: causal, Gemma2ForCausalLM: causal, Phi3ForCausalLM: causal, MixtralForCausalLM: mixture, Qwen2MoeForCausalLM: mixture, Qwen3MoeForCausalLM: mixture,
  ...family('Gemma'), ...family('Gemma2'), ...family('Phi3'), ...family('Mixtral'), ...family('Qwen2Moe'), ...family('Qwen3Moe'),
}
