import { Transformer, type TransformerOptions } from '#lib/models/transformer.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { type Adapter, ids } from './adapter.js'
import type { Case } from './case.js'

export const encoderDecoderModels: Record<string, (c: Case) => Adapter> = {
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
}
