import type { Module } from '#lib/nn/module.js'
import { tensor } from '#lib/tensor/create.js'
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
