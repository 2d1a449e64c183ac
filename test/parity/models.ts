import { GPT2, type GPT2Config } from '#lib/models/gpt2.js'
import { Transformer, type TransformerOptions } from '#lib/models/transformer.js'
import type { Module } from '#lib/nn/module.js'
import { tensor } from '#lib/tensor/create.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import type { Case } from './case.js'

/** A model of a case, and how the case's inputs become outputs and a loss. */
export interface Adapter {
  model: Module
  /** Named outputs of the forward pass and, under `loss`, the loss to go backward from. */
  run(): Record<string, Tensor>
}

export function ids(c: Case, name: string): Tensor {
  const input = c.inputs.get(name)
  if (!input) throw new Error(`${c.name} has no input '${name}'`)
  return tensor(Int32Array.from(input.data), input.shape)
}

/** Labels for a causal model: position t is asked for token t + 1, the last one for nothing. */
export function shifted(c: Case, rows?: readonly [number, number]): Tensor {
  const { shape, data } = c.inputs.get('labels')!
  const [B, T] = shape as [number, number], [from, to] = rows ?? [0, B]
  return tensor(Int32Array.from({ length: (to - from) * T }, (_, i) => i % T === T - 1 ? -100 : data[from * T + i + 1]!), [to - from, T])
}

const adapters: Record<string, (c: Case) => Adapter> = {
  'torch.nn.Transformer': c => {
    const k = c.config as Record<string, never>
    const model = new Transformer({
      vocabSize: k['vocab_size'], dModel: k['d_model'], heads: k['nhead'], encoderLayers: k['num_encoder_layers'], decoderLayers: k['num_decoder_layers'],
      feedForward: k['dim_feedforward'], dropout: 0, activation: k['activation'], normFirst: k['norm_first'], finalNorm: true, tied: k['tied'], padId: k['pad_token_id'],
      bosId: k['bos_token_id'],
    } satisfies TransformerOptions)
    return {
      model,
      run() {
        const sourceMask = c.inputs.has('src_mask') ? ids(c, 'src_mask') : undefined
        const memory = model.encode(ids(c, 'src'), sourceMask)
        const logits = model.forward(ids(c, 'src'), ids(c, 'tgt'), { sourceMask })
        return { memory, logits, loss: crossEntropy(logits, ids(c, 'labels'), { labelSmoothing: k['label_smoothing'] ?? 0 }) }
      },
    }
  },
  GPT2LMHeadModel: c => {
    const model = new GPT2({ ...c.config as unknown as GPT2Config, resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 })
    return {
      model,
      run() {
        const logits = model.forward(ids(c, 'input_ids'), { attentionMask: c.inputs.has('attention_mask') ? ids(c, 'attention_mask') : undefined })
        return { logits, loss: crossEntropy(logits, shifted(c)) }
      },
    }
  },
}

/** @throws Error for a class that no model here stands for */
export function adapterFor(c: Case): Adapter {
  const make = adapters[c.class]
  if (!make) throw new Error(`class ${c.class} is not known; known are ${Object.keys(adapters).join(', ')}`)
  const adapter = make(c)
  adapter.model.loadStateDict(c.weights)
  return adapter
}
