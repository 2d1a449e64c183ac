import { evaluationBatches, Seq2SeqBatches, type Seq2SeqBatch } from '../data/seq2seqBatches.js'
import { ConfigError } from '../errors.js'
import { bleu } from '../eval/bleu.js'
import { chrf } from '../eval/chrf.js'
import { translate } from '../generate/translate.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Module } from '../nn/module.js'
import { tensor } from '../tensor/create.js'
import type { Tensor } from '../tensor/tensor.js'
import type { Metrics, TrainingTask } from './task.js'
import type { TrainingSettings } from './trainingOptions.js'
import type { TranslationData } from './translationData.js'

/** A model with an encoder and a decoder, such as `Transformer`. */
export interface TranslationModel extends Module, GenerativeModel {
  /** Of models that begin a target in a way of their own, such as T5 and BART: the decoder's input for labels `[B, T]`. */
  shiftRight?(labels: Tensor): Tensor
  loss(
    batch: { source: Tensor, sourceMask?: Tensor | undefined, decoderInput: Tensor, labels: Tensor },
    options: { labelSmoothing: number, reduction: 'sum' },
  ): Tensor
}

/** @throws ConfigError if the model is not of that kind */
export function requireTranslationModel(model: Module): asserts model is TranslationModel {
  const { isEncoderDecoder, loss } = model as Partial<TranslationModel>
  if (isEncoderDecoder !== true || typeof loss !== 'function')
    throw new ConfigError(`translation needs a model with encoder and decoder, such as Transformer, BART or T5; ${model.constructor.name} is none.`)
}

/** Training a model to translate. */
export function translationTask(
  model: TranslationModel, { tokenizer, train, validation, ids, bounds }: TranslationData, settings: TrainingSettings,
): TrainingTask<Seq2SeqBatch> {
  const options = { ...ids, ...bounds }
  return {
    batches: new Seq2SeqBatches(train, { ...options, seed: settings.seed }),
    loss: (batch, { labelSmoothing }) => model.loss(tensorsOf(batch, model), { labelSmoothing, reduction: 'sum' }),
    tokens: batch => batch.tokens,
    tokenizer,
    ...(validation ? { evaluationBatches: evaluationBatches(validation.encoded, options) } : {}),
    ...(validation && settings.predictWithGenerate ? { evaluate: scoredTranslations, metricNames: ['bleu', 'chrf'] } : {}),
  }

  async function scoredTranslations({ signal }: { signal: AbortSignal }): Promise<Metrics> {
    const { generationNumBeams: numBeams, generationMaxLength: maxLength } = settings
    const hypotheses = await translate(model, tokenizer, validation!.pairs.map(pair => pair.source), { numBeams, maxLength, policy: 'truncate', signal })
    const references = [validation!.pairs.map(pair => pair.target)]
    return { bleu: bleu(hypotheses, references).score, chrf: chrf(hypotheses, references).score }
  }
}

/** The arrays of a batch on the device. The mask is left out where there is no padding. */
function tensorsOf(batch: Seq2SeqBatch, model: TranslationModel): { source: Tensor, sourceMask: Tensor | undefined, decoderInput: Tensor, labels: Tensor } {
  const { sentences: B, sourceLength: S, targetLength: T, sourceLengths } = batch
  const mask = new Uint8Array(B * S)
  sourceLengths.forEach((length, row) => mask.fill(1, row * S, row * S + length))
  const labels = tensor(batch.labels, [B, T])
  return {
    source: tensor(batch.source, [B, S]), sourceMask: mask.includes(0) ? tensor(mask, [B, S]) : undefined,
    decoderInput: model.shiftRight?.(labels) ?? tensor(batch.decoderInput, [B, T]), labels,
  }
}
