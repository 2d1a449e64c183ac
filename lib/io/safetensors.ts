import { open, stat, type FileHandle } from 'node:fs/promises'
import { CheckpointError } from '../errors.js'
import { fromBfloat16, fromFloat16 } from './halfFloats.js'
import { shown } from './headerText.js'
import { ioError } from './ioError.js'
import { safetensorsDtypes, type ElementArray } from './safetensorsDtypes.js'
import { maxHeaderBytes, parseHeader, type SafetensorsHeader, type TensorInfo } from './safetensorsHeader.js'

/** Tensors by name, of one file or of several; nothing is held but the headers. */
export interface TensorReader {
  readonly path: string
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: ReadonlyMap<string, string>
  /** Fills `target` with the tensor's bytes from byte `from` on: a part of a tensor, for streaming. @throws CheckpointError */
  readInto(name: string, target: Uint8Array, from?: number): Promise<void>
  /** The elements as they are stored, float16 and bfloat16 as their bits. @throws CheckpointError, also for a dtype that has no array */
  array(name: string): Promise<ElementArray>
  /** F32, F16, BF16 and F64 as float32, `[elements]`, into `target` if given. @throws CheckpointError, also for other dtypes */
  float32(name: string, target?: Float32Array): Promise<Float32Array>
  close(): Promise<void>
}

/**
 * One safetensors file (https://github.com/huggingface/safetensors). The header is read and checked when it is opened, tensors when they
 * are asked for. Whatever the bytes are, the answer is a tensor of the size that was announced or a CheckpointError.
 */
export class SafetensorsFile implements TensorReader {
  readonly path: string
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: ReadonlyMap<string, string>
  readonly #file: FileHandle
  readonly #dataStart: number
  #open = true

  private constructor(path: string, file: FileHandle, dataStart: number, { tensors, metadata }: SafetensorsHeader) {
    this.path = path
    this.#file = file
    this.#dataStart = dataStart
    this.tensors = tensors
    this.metadata = metadata
  }

  /** @throws CheckpointError if the file cannot be read or is no safetensors file from end to end */
  static async open(path: string): Promise<SafetensorsFile> {
    let file: FileHandle | undefined
    try {
      // Asked before opening: to open a pipe would wait for its writer.
      if (!(await stat(path)).isFile()) throw new CheckpointError(`cannot read ${path}: it is not a file. Name a .safetensors file.`)
      file = await open(path, 'r')
      const { size } = await file.stat()
      const length = await headerLength(file, path, size)
      const header = await readExactly(file, path, new Uint8Array(length), 8)
      return new SafetensorsFile(path, file, 8 + length, parseHeader(header, size - 8 - length, path))
    } catch (error) {
      await file?.close().catch(() => undefined)
      throw ioError('read', path, error)
    }
  }

  async readInto(name: string, target: Uint8Array, from = 0): Promise<void> {
    const { begin, end } = this.#info(name)
    if (!Number.isSafeInteger(from) || from < 0 || from + target.byteLength > end - begin) {
      throw new CheckpointError(`${this.path}: ${shown(name)} has ${end - begin} bytes; asked were ${target.byteLength} from byte ${from} on.`)
    }
    if (!this.#open) throw new CheckpointError(`${this.path} is closed. Read its tensors before close().`)
    try {
      await readExactly(this.#file, this.path, target, this.#dataStart + begin + from)
    } catch (error) {
      throw ioError(`read ${shown(name)} from`, this.path, error)
    }
  }

  async array(name: string): Promise<ElementArray> {
    const info = this.#info(name), dtype = safetensorsDtypes[info.dtype]
    if (!('array' in dtype)) throw this.#unsupported(info, 'is not supported: no array holds its elements')
    const bytes = this.#allocate(info, length => new Uint8Array(length), info.end - info.begin)
    await this.readInto(name, bytes)
    return new dtype.array(bytes.buffer)   // the format is little-endian, as are the machines that this package runs on
  }

  async float32(name: string, target?: Float32Array): Promise<Float32Array> {
    const info = this.#info(name), bytesEach = safetensorsDtypes[info.dtype].bits / 8
    if (!isFloat(info.dtype)) throw this.#unsupported(info, 'cannot be read as float32: only F32, F16, BF16 and F64 can')
    const elements = (info.end - info.begin) / bytesEach
    const values = target ?? this.#allocate(info, length => new Float32Array(length), elements)
    if (values.length !== elements) {
      throw new CheckpointError(`${this.path}: ${shown(name)} has ${elements} elements (${shapeOf(info)}), but ${values.length} were expected. `
        + 'Is the file of a model of another size?')
    }
    if (info.dtype === 'F32') {
      await this.readInto(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
      return values
    }
    const piece = new Uint8Array(Math.min(elements, piecewise) * bytesEach)
    for (let done = 0; done < elements; done += piecewise) {
      const count = Math.min(piecewise, elements - done)
      await this.readInto(name, piece.subarray(0, count * bytesEach), done * bytesEach)
      widen[info.dtype](piece.buffer, count, values.subarray(done, done + count))
    }
    return values
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#file.close()
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name)
    if (info === undefined) throw new CheckpointError(`${this.path}: there is no tensor ${shown(name)}. It has ${this.tensors.size} others.`)
    return info
  }

  /** A sparse file may announce more than any memory holds. */
  #allocate<T>(info: TensorInfo, create: (length: number) => T, length: number): T {
    try {
      return create(length)
    } catch (cause) {
      const bytes = info.end - info.begin
      throw new CheckpointError(`${this.path}: ${shown(info.name)} (${shapeOf(info)}) takes ${bytes} bytes, more than can be reserved.`, { cause })
    }
  }

  #unsupported(info: TensorInfo, why: string): CheckpointError {
    return new CheckpointError(`${this.path}: ${shown(info.name)} is ${shapeOf(info)}, which ${why}. Save it in another dtype.`)
  }
}

/** Elements that are converted at a time: small against a model, large against a system call. */
const piecewise = 1 << 20

const widen = {
  F16: (bits: ArrayBuffer, count: number, target: Float32Array) => fromFloat16(new Uint16Array(bits, 0, count), target),
  BF16: (bits: ArrayBuffer, count: number, target: Float32Array) => fromBfloat16(new Uint16Array(bits, 0, count), target),
  F64: (bits: ArrayBuffer, count: number, target: Float32Array) => { target.set(new Float64Array(bits, 0, count)) },
}

function isFloat(dtype: TensorInfo['dtype']): dtype is 'F32' | 'F16' | 'BF16' | 'F64' {
  return dtype === 'F32' || Object.hasOwn(widen, dtype)
}

const shapeOf = ({ dtype, shape }: TensorInfo) => `${dtype} [${shape.join(', ')}]`

async function headerLength(file: FileHandle, path: string, size: number): Promise<number> {
  if (size < 8) throw new CheckpointError(`${path}: ${size} bytes are too few for a safetensors file. Was the download or the save cut off?`)
  const first = await readExactly(file, path, new Uint8Array(8), 0)
  const length = new DataView(first.buffer).getBigUint64(0, true)
  if (length > BigInt(maxHeaderBytes)) {
    throw new CheckpointError(`${path}: announces a header of ${length} bytes, and the format allows ${maxHeaderBytes}. `
      + 'This is no safetensors file.')
  }
  if (length > BigInt(size - 8)) {
    throw new CheckpointError(`${path}: announces a header of ${length} bytes, but has ${size} in all. Was the download or the save cut off?`)
  }
  return Number(length)
}

/** One system call reads less than 2 GiB, and less than it is asked to at the end of the file. */
async function readExactly<T extends Uint8Array>(file: FileHandle, path: string, target: T, position: number): Promise<T> {
  for (let done = 0; done < target.byteLength;) {
    const { bytesRead } = await file.read(target, done, Math.min(target.byteLength - done, 1 << 30), position + done)
    if (bytesRead === 0) throw new CheckpointError(`${path}: has become shorter while it was read. Does something else write to it?`)
    done += bytesRead
  }
  return target
}
