import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openSafetensors } from '#lib/io/safetensorsShards.js'
import type { Expected } from './compare.js'

/** A case as `../shared/parity/README.md` describes it. */
export interface Case {
  directory: string
  name: string
  class: string
  kind?: string
  training?: Training
  generate?: { name: string, options: Record<string, unknown>, inputs: Record<string, string> }[]
  config: Record<string, unknown>
  weights: Map<string, { shape: readonly number[], data: Float32Array }>
  inputs: Map<string, Expected & { dtype: string }>
  expected: Map<string, Expected>
}

export interface Training {
  steps: number
  batch: number
  clip: number
  accumulate: number
  optimizer: string
  schedule: string
  lr: number
  betas?: [number, number]
  eps?: number
  momentum?: number
  nesterov?: boolean
  weight_decay?: string
}

async function tensors(path: string): Promise<Map<string, Expected & { dtype: string }>> {
  const file = await openSafetensors(path)
  try {
    const all = new Map<string, Expected & { dtype: string }>()
    for (const [name, { shape, dtype }] of file.tensors) {
      const data = dtype.startsWith('I') || dtype === 'BOOL' || dtype === 'U8' ? Float64Array.from(await file.array(name) as ArrayLike<number | bigint>, Number) : await file.float32(name)
      all.set(name, { shape, data, dtype })
    }
    return all
  } finally {
    await file.close()
  }
}

export async function readCase(directory: string): Promise<Case> {
  const json = async (name: string) => JSON.parse(await readFile(join(directory, name), 'utf8')) as Record<string, unknown>
  const description = await json('case.json') as unknown as Omit<Case, 'directory' | 'config' | 'weights' | 'inputs' | 'expected'>
  const base = existsSync(join(directory, 'adapter')) ? 'base' : '.'   // of an adapter, the model that it is for
  return {
    ...description, directory, config: await json(join(base, 'config.json')), weights: await tensors(join(directory, base, 'model.safetensors')) as unknown as Case['weights'],
    inputs: await tensors(join(directory, 'inputs.safetensors')), expected: await tensors(join(directory, 'expected.safetensors')),
  }
}
