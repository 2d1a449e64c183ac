import { CheckpointError } from '../errors.js'
import type { TensorReader } from '../io/safetensors.js'
import { dtypeOfTensor } from '../io/safetensorsDtypes.js'
import type { TensorToSave } from '../io/safetensorsWriter.js'
import type { Module } from '../nn/module.js'
import type { Parameter } from '../nn/parameter.js'
import type { Tensor } from '../tensor/tensor.js'

/** Tensors as a file takes them; each is read from the device when its turn comes. @param dtype that float32 values are rounded to */
export function tensorsToSave(tensors: ReadonlyMap<string, Tensor>, dtype: 'float32' | 'float16' | 'bfloat16' = 'float32'): TensorToSave[] {
  return [...tensors].map(([name, t]) => ({ name, dtype: dtypeOfTensor[dtype], shape: t.shape, data: () => t.data() as Promise<Float32Array> }))
}

/** What a file need not have in common with the model that it is loaded into. */
export interface Leniency {
  /** The file is of the same layers with another head: what it lacks is drawn, what the model lacks is left. */
  otherHead?: boolean
  /** Tensors of another shape are left, and the parameters drawn. */
  otherSizes?: boolean
}

/** Names of parameters that were drawn and not loaded, and of tensors that were not used. */
export interface LoadReport { drawn: string[], unused: string[] }

/**
 * Reads the parameters of a model from a file. Names and shapes are compared before anything is changed.
 * @param names the model's names of the file's tensors; default: they are the same
 * @throws CheckpointError that lists all that is missing, unexpected or of another shape, or stored twice with different values
 */
export async function loadParameters(
  model: Module, reader: TensorReader, names?: ReadonlyMap<string, string>, { otherHead = false, otherSizes = false }: Leniency = {},
): Promise<LoadReport> {
  const given = names ?? new Map([...reader.tensors.keys()].map(name => [name, name]))
  const every = new Map(model.namedParameters({ once: false })), problems: string[] = []
  const filled = new Map<Parameter, string>(), refused = new Set<Parameter>(), twice: [string, string][] = []
  const report: LoadReport = { drawn: [], unused: [] }
  for (const [inFile, name] of given) {
    const { shape } = reader.tensors.get(inFile)!, p = every.get(name), sizes = `[${shape.join(', ')}]`
    if (!p) {
      if (otherHead) report.unused.push(inFile)
      else problems.push(`unexpected: ${inFile} ${sizes}`)
    } else if (!sameShape(p.shape, shape)) {
      refused.add(p)
      if (otherSizes) report.unused.push(inFile)
      else problems.push(`${inFile} is ${sizes}, the model has [${p.shape.join(', ')}]`)
    } else if (filled.has(p)) twice.push([filled.get(p)!, inFile])
    else filled.set(p, inFile)
  }
  for (const [name, p] of model.namedParameters()) {
    if (filled.has(p)) continue
    if (otherHead || refused.has(p)) report.drawn.push(name)
    else problems.push(`missing: ${name} [${p.shape.join(', ')}]`)
  }
  // A file that shares nothing with the model is of another model, not of another head.
  if (otherHead && filled.size === 0) problems.push('no tensor has the name of a parameter')
  if (problems.length > 0) {
    throw new CheckpointError(`${reader.path}: the weights do not fit the model. ${problems.join('; ')}. `
      + 'Were they saved from another configuration?')
  }
  for (const [one, other] of twice) {
    const [a, b] = [await reader.float32(one), await reader.float32(other)]
    if (a.some((value, i) => value !== b[i])) {
      throw new CheckpointError(`${reader.path}: ${one} and ${other} differ, but the model has one weight for both. `
        + 'An output layer of its own is not supported.')
    }
  }
  for (const [p, inFile] of filled) await fill(p, reader, inFile)
  for (const [, p] of model.namedParameters()) p.drawMissing()
  return report
}

const partElements = 1 << 21

/** Reads a parameter part by part, so that the file is never held a second time. */
async function fill(p: Parameter, reader: TensorReader, name: string): Promise<void> {
  const { dtype } = reader.tensors.get(name)!
  const stored = dtype === 'F32' ? 'float32' : dtype === 'F16' ? 'float16' : dtype === 'BF16' ? 'bfloat16' : undefined
  if (!stored) {
    p.assign(await reader.float32(name))
    return
  }
  const part = stored === 'float32' ? new Float32Array(Math.min(p.size, partElements)) : new Uint16Array(Math.min(p.size, partElements))
  for (let from = 0; from < p.size; from += partElements) {
    const bits = part.subarray(0, Math.min(partElements, p.size - from))
    await reader.readInto(name, new Uint8Array(bits.buffer, 0, bits.byteLength), from * bits.BYTES_PER_ELEMENT)
    p.assignPart(from, bits, stored)
  }
}

/** Every tensor of a file, as float32. */
export async function allValues(reader: TensorReader): Promise<Map<string, { shape: readonly number[], data: Float32Array }>> {
  const values = new Map<string, { shape: readonly number[], data: Float32Array }>()
  for (const [name, { shape }] of reader.tensors) values.set(name, { shape, data: await reader.float32(name) })
  return values
}

export const sameShape = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((size, d) => size === b[d])
