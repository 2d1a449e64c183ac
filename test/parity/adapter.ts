import type { Module } from '#lib/nn/module.js'
import { tensor } from '#lib/tensor/create.js'
import type { Tensor } from '#lib/tensor/tensor.js'
import type { Case } from './case.js'

/** Named outputs of a model for the inputs of a case and, where the case has one, under `loss`, the loss to go backward from. */
export type Run<M extends Module> = (c: Case, model: M) => Record<string, Tensor>

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
