import { backward } from '#lib/autograd/backward.js'
import { GPT2 } from '#lib/models/gpt2.js'
import { Transformer } from '#lib/models/transformer.js'
import { AdamW } from '#lib/optim/adamW.js'
import { Random } from '#lib/data/random.js'
import { tensor } from '#lib/tensor/create.js'
import { autocast, scope } from '#lib/tensor/scope.js'
import type { Module } from '#lib/nn/module.js'
import type { Tensor } from '#lib/tensor/tensor.js'

/** A training step of a model: forward, loss, backward, AdamW, gradients freed. The same models and batches as the PyTorch peer. */
export interface TrainingStep { model: Module, step: () => Promise<void>, units: number, unit: string }

export const stepNames = ['base', 'tiny', 'nanogpt', 'gpt2'] as const
export type StepName = typeof stepNames[number]

const random = new Random(0, 'bench')
const ids = (rows: number, columns: number, vocabulary: number): Int32Array => Int32Array.from({ length: rows * columns }, () => random.integer(vocabulary))

function stepOf(model: Module, loss: () => Tensor, units: number, unit: string, precision: 'float32' | 'bfloat16'): TrainingStep {
  const optimizer = new AdamW(model, { learningRate: 1e-4 })
  return {
    model, units, unit,
    async step() {
      await scope(async () => {
        const value = autocast(precision, loss)
        backward(value)
        optimizer.step()
        optimizer.zeroGrad()
        await value.item()
      })
    },
  }
}

function translation(dModel: number, heads: number, layers: number, feedForward: number, B: number, S: number, V: number, precision: 'float32' | 'bfloat16'): TrainingStep {
  const model = new Transformer({ vocabSize: V, dModel, heads, layers, feedForward, finalNorm: true })
  const source = tensor(ids(B, S, V), [B, S]), decoderInput = tensor(ids(B, S, V), [B, S]), labels = tensor(ids(B, S, V), [B, S])
  return stepOf(model, () => model.loss({ source, decoderInput, labels }), B * S, 'target tokens', precision)
}

function language(n_embd: number, n_head: number, n_layer: number, B: number, T: number, V: number, precision: 'float32' | 'bfloat16'): TrainingStep {
  const model = new GPT2({ vocab_size: V, n_positions: T, n_embd, n_head, n_layer, activation_function: 'gelu', attn_pdrop: 0, resid_pdrop: 0, embd_pdrop: 0 })
  const input = tensor(ids(B, T, V), [B, T]), labels = tensor(ids(B, T, V), [B, T])
  return stepOf(model, () => model.loss({ ids: input, labels }), B * T, 'tokens', precision)
}

export function trainingStep(name: StepName, precision: 'float32' | 'bfloat16' = 'float32'): TrainingStep {
  switch (name) {
    case 'base': return translation(512, 8, 6, 2048, 16, 32, 10000, precision)
    case 'tiny': return translation(128, 4, 4, 256, 64, 16, 8000, precision)
    case 'nanogpt': return language(128, 4, 4, 12, 64, 65, precision)
    case 'gpt2': return language(768, 12, 12, 2, 256, 50257, precision)
  }
}
