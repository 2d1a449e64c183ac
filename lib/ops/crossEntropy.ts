import { binaryOps, reduceOps } from './codes.js'
import { contiguous } from './copy.js'
import { withRows } from './rows.js'
import { ConfigError, ShapeError } from '../errors.js'
import { Gradient } from '../autograd/gradient.js'
import { nodeOf, recorded } from '../autograd/tape.js'
import { dtypeId } from '../tensor/dtype.js'
import { native } from '../tensor/native.js'
import { empty, emptyLike, type Tensor } from '../tensor/tensor.js'

export interface CrossEntropyOptions {
  /** Part of the target that is spread over all classes. */
  labelSmoothing?: number
  /** Label of positions that do not count. */
  ignoreIndex?: number
  /** Weight of log(sum of e^x)² , which keeps logits near 0 (PaLM: 1e-4). */
  zLoss?: number
  /** 'mean': over the positions that count, 0 if there are none. 'none': a loss for each position, 0 where it does not count. */
  reduction?: 'mean' | 'sum' | 'none'
  /**
   * Lets the backward pass write the gradient over the logits, which are the largest tensor of a language model. Nobody may read them after it; if the op that made
   * them needs them in its own backward, that throws AutogradError. Without effect where they are a leaf, or part of a larger tensor.
   */
  inPlace?: boolean
}

/**
 * -log softmax(logits)[label]: the loss of classification and language models. Probabilities are never stored.
 * @param logits `[…, V]`   @param labels `[…]` int32 or int64
 * @returns float32; `[]`, or the shape of the labels for 'none'. A label outside [0, V) other than `ignoreIndex` rejects the next wait with IndexError
 * @throws ShapeError if the shape of the labels is not that of the logits without V; ConfigError for an option outside of its range
 * @see Szegedy et al. 2016, https://arxiv.org/abs/1512.00567 (label smoothing); Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311, section 5 (z-loss)
 */
export function crossEntropy(
  logits: Tensor, labels: Tensor, { labelSmoothing = 0, ignoreIndex = -100, zLoss = 0, reduction = 'mean', inPlace = false }: CrossEntropyOptions = {},
): Tensor {
  if (labels.rank !== logits.rank - 1 || labels.shape.some((n, d) => n !== logits.shape[d]))
    throw new ShapeError(`crossEntropy: labels are [${labels.shape.join(', ')}], expected the shape of logits [${logits.shape.join(', ')}] without its last dimension`)
  if (!['mean', 'sum', 'none'].includes(reduction)) throw new ConfigError(`crossEntropy: reduction is '${reduction}', expected 'mean', 'sum' or 'none'`)
  return withRows(logits, x => {
    const targets = contiguous(labels)
    const losses = empty(labels.shape, 'float32', x.device), lse = emptyLike(losses), counted = empty([], 'float32', x.device)
    native.crossEntropy(x.handle, targets.handle, losses.raw, lse.raw, counted.raw, labelSmoothing, ignoreIndex, zLoss)
    const loss = reduction === 'none' ? losses : totalLoss(losses, reduction === 'mean' ? counted : undefined)
    recorded(loss, { name: 'crossEntropy', inputs: [x], saved: [x, targets, lse, counted] }, (dy, into, [x_, labels_, lse_, counted_]) => {
      if (inPlace) offerMemory(x, x_!)
      // dy is one number, or one for each row.
      const backward = (scale: number) => { native.crossEntropyBackward(x_!, labels_!, lse_!, scale, into(x), labelSmoothing, ignoreIndex, zLoss) }
      if (reduction === 'mean') withQuotient(dy, counted_!, loss, backward)
      else backward(dy)
    })
    for (const t of [lse, counted]) t.dispose()
    if (losses !== loss) losses.dispose()
    if (targets !== labels) targets.dispose()
    return loss
  })
}

/** Has the gradient of the logits gathered in their own memory, unless another op has begun to gather it elsewhere. */
function offerMemory(logits: Tensor, handle: number): void {
  const node = nodeOf(logits), root = logits.geometry?.root ?? logits
  if (!node || node.gradients[logits.output] || !logits.isContiguous || logits.size !== root.size) return
  node.gradients[logits.output] = Gradient.within(native.view(handle, 0, root.rank, ...root.shape, ...root.strides), root.size)
}

/** @internal The sum of the losses, divided by the number that counts if that is given (which becomes 1 where it was 0). */
export function totalLoss(losses: Tensor, counted: Tensor | undefined): Tensor {
  const sum = empty([], 'float32', losses.device), ones = losses.shape.map(() => 1)
  const target = native.view(sum.raw, 0, ones.length, ...ones, ...ones)
  native.reduce(losses.raw, target, reduceOps.sum)
  native.destroy(target)
  if (counted) {
    native.scalarBinary(counted.raw, counted.raw, binaryOps.max, 1, false)
    native.binary(sum.raw, counted.raw, sum.raw, binaryOps.div)
  }
  return sum
}

/** @internal */
export function withQuotient(a: number, b: number, { dtype, device }: Tensor, use: (quotient: number) => void): void {
  const quotient = native.alloc(dtypeId(dtype), device.index, 0)
  try {
    native.binary(a, b, quotient, binaryOps.div)
    use(quotient)
  } finally {
    native.destroy(quotient)
  }
}
