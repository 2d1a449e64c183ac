import type { Transformer } from '#lib/models/transformer.js'
import { crossEntropy } from '#lib/ops/crossEntropy.js'
import { ids, type Run } from './adapter.js'

const torchTransformer: Run<Transformer> = (c, model) => {
  const sourceMask = c.inputs.has('src_mask') ? ids(c, 'src_mask') : undefined
  const memory = model.encode(ids(c, 'src'), sourceMask)
  const logits = model.forward(ids(c, 'src'), ids(c, 'tgt'), { sourceMask })
  return { memory, logits, loss: crossEntropy(logits, ids(c, 'labels'), { labelSmoothing: c.config['label_smoothing'] as number ?? 0 }) }
}

export const encoderDecoderModels: Readonly<Record<string, Run<never>>> = { 'torch.nn.Transformer': torchTransformer }
