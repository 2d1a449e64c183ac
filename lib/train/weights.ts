import { CheckpointError } from '../errors.js'
import type { TensorReader } from '../io/safetensors.js'
import { dtypeOfTensor } from '../io/safetensorsDtypes.js'
import type { TensorToSave } from '../io/safetensorsWriter.js'
import type { Module } from '../nn/module.js'
import type { Tensor } from '../tensor/tensor.js'

/** Tensors as a file takes them; each is read from the device when its turn comes. @param dtype that float32 values are rounded to */
export function tensorsToSave(tensors: ReadonlyMap<string, Tensor>, dtype: 'float32' | 'float16' | 'bfloat16' = 'float32'): TensorToSave[] {
  return [...tensors].map(([name, t]) => ({ name, dtype: dtypeOfTensor[dtype], shape: t.shape, data: () => t.data() as Promise<Float32Array> }))
}

/**
 * Reads the parameters of a model from a file. Names and shapes are compared before anything is changed.
 * @param names of the file's tensors by the model's names; default: they are the same
 * @throws CheckpointError that lists all that is missing, unexpected or of another shape
 */
export async function loadParameters(model: Module, reader: TensorReader, names?: ReadonlyMap<string, string>): Promise<void> {
  const given = names ?? new Map([...reader.tensors.keys()].map(name => [name, name]))
  const every = new Map(model.namedParameters({ once: false })), problems: string[] = []
  const filled = new Set<Tensor>()
  for (const [name, inFile] of given) {
    const { shape } = reader.tensors.get(inFile)!, p = every.get(name)
    if (!p) problems.push(`unexpected: ${inFile} [${shape.join(', ')}]`)
    else {
      filled.add(p)
      if (!sameShape(p.shape, shape)) problems.push(`${inFile} is [${shape.join(', ')}], the model has [${p.shape.join(', ')}]`)
    }
  }
  for (const [name, p] of model.namedParameters()) if (!filled.has(p)) problems.push(`missing: ${name} [${p.shape.join(', ')}]`)
  if (problems.length > 0) {
    throw new CheckpointError(`${reader.path}: the weights do not fit the model. ${problems.join('; ')}. `
      + 'Were they saved from another configuration?')
  }
  for (const [name, inFile] of given) every.get(name)!.assign(await reader.float32(inFile))
}

/** Every tensor of a file, as float32. */
export async function allValues(reader: TensorReader): Promise<Map<string, { shape: readonly number[], data: Float32Array }>> {
  const values = new Map<string, { shape: readonly number[], data: Float32Array }>()
  for (const [name, { shape }] of reader.tensors) values.set(name, { shape, data: await reader.float32(name) })
  return values
}

export const sameShape = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((size, d) => size === b[d])
