import { CheckpointError } from '../errors.js'
import { atomicFile } from './atomicFile.js'
import { toBfloat16, toFloat16 } from './halfFloats.js'
import { shown } from './headerText.js'
import { byteLengthOf, dtypeNames, safetensorsDtypes, type ElementArray, type SafetensorsDtype } from './safetensorsDtypes.js'
import { formatHeader, type TensorInfo } from './safetensorsHeader.js'

/** Elements in an array of the dtype, bytes as they are to be stored, or float32 values for F16 and BF16, which are rounded to nearest even. */
export type TensorData = ElementArray

/** A tensor to save. A function for `data` is called when its turn comes, so that one tensor at a time is in memory; it may give pieces. */
export interface TensorToSave {
  readonly name: string
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  readonly data: TensorData | (() => TensorData | Promise<TensorData> | AsyncIterable<TensorData>)
}

/**
 * Writes a safetensors file, atomically (`atomicFile`), with the bytes that the format's own library would write: tensors by descending
 * alignment, then by name.
 *
 * @param metadata texts; by default `{ format: 'pt' }`, which transformers asks for
 * @throws CheckpointError if the system refuses, or if names, shapes and data do not belong together. The old file is as it was then.
 */
export async function writeSafetensors(
  path: string, tensors: Iterable<TensorToSave>, { metadata = { format: 'pt' } }: { metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const { header, inOrder } = plan(path, [...tensors], metadata)
  await atomicFile(path, async append => {
    await append(header)
    for (const { tensor, info } of inOrder) {
      let written = 0
      for await (const piece of piecesOf(tensor)) {
        const bytes = bytesOf(path, tensor, piece)
        written += bytes.byteLength
        if (written > info.end - info.begin) break
        await append(bytes)
      }
      if (written !== info.end - info.begin) {
        throw new CheckpointError(`cannot write ${path}: ${shown(tensor.name)} (${tensor.dtype} [${tensor.shape.join(', ')}]) takes `
          + `${info.end - info.begin} bytes, but its data has ${written > info.end - info.begin ? 'more' : written}.`)
      }
    }
  })
}

/** Bytes that a tensor will take in the file. @throws CheckpointError for an unknown dtype or an impossible shape */
export function savedBytes(path: string, { name, dtype, shape }: TensorToSave): number {
  if (!Object.hasOwn(safetensorsDtypes, dtype)) {
    throw new CheckpointError(`cannot write ${path}: ${shown(name)} has the unknown dtype ${shown(String(dtype))}; `
      + `known are ${dtypeNames.join(', ')}.`)
  }
  const bytes = shape.every(size => Number.isSafeInteger(size) && size >= 0) ? byteLengthOf(dtype, shape) : undefined
  if (bytes === undefined) throw new CheckpointError(`cannot write ${path}: ${shown(name)} has the impossible shape [${shape.join(', ')}].`)
  return bytes
}

function plan(path: string, tensors: TensorToSave[], metadata: Readonly<Record<string, string>>) {
  const alignment = new Map(dtypeNames.map((name, rank) => [name, rank]))
  const inUtf8 = new Map(tensors.map(({ name }) => [name, Buffer.from(name, 'utf8')]))
  if (inUtf8.size < tensors.length) {
    const twice = tensors.find(({ name }, i) => tensors.findIndex(other => other.name === name) < i)!
    throw new CheckpointError(`cannot write ${path}: there are two tensors ${shown(twice.name)}.`)
  }
  for (const text of [...inUtf8.keys(), ...Object.keys(metadata), ...Object.values(metadata)]) {
    if (typeof text !== 'string' || /\p{Surrogate}/u.test(text)) {
      throw new CheckpointError(`cannot write ${path}: ${shown(String(text))} is no well-formed text.`)
    }
  }
  if (inUtf8.has('__metadata__')) throw new CheckpointError(`cannot write ${path}: the format keeps the name __metadata__ for itself.`)

  let reached = 0
  const sized = tensors.map(tensor => ({ tensor, bytes: savedBytes(path, tensor) }))
  sized.sort(({ tensor: a }, { tensor: b }) =>
    alignment.get(b.dtype)! - alignment.get(a.dtype)! || Buffer.compare(inUtf8.get(a.name)!, inUtf8.get(b.name)!))
  const inOrder = sized.map(({ tensor, bytes }) => {
    const info: TensorInfo = { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, begin: reached, end: reached += bytes }
    return { tensor, info }
  })
  return { header: formatHeader(inOrder.map(({ info }) => info), metadata, path), inOrder }
}

async function* piecesOf({ data }: TensorToSave): AsyncGenerator<TensorData> {
  const given = await (typeof data === 'function' ? data() : data)
  if (Symbol.asyncIterator in given) yield* given
  else yield given
}

function bytesOf(path: string, { name, dtype }: TensorToSave, piece: TensorData): Uint8Array {
  const own = safetensorsDtypes[dtype], kind = piece[Symbol.toStringTag]   // by name: an array of another realm is as good
  const fits = kind === 'Uint8Array' || ('array' in own && own.array.name === kind)
  const rounded = fits || kind !== 'Float32Array' ? undefined : dtype === 'F16' ? toFloat16 : dtype === 'BF16' ? toBfloat16 : undefined
  if (!fits && rounded === undefined) {
    throw new CheckpointError(`cannot write ${path}: ${shown(name)} is ${dtype}, but its data is a ${kind}. Convert it, or give another dtype.`)
  }
  const stored = rounded === undefined ? piece : rounded(piece as Float32Array)
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength)
}
