import { CheckpointError } from '../errors.js'
import type { TensorReader } from './safetensors.js'
import type { ElementArray } from './safetensorsDtypes.js'
import type { TensorInfo } from './safetensorsHeader.js'

/** Of a tensor, the parts of equal size that lie in it in a row; undefined for one that is to stay whole. */
export type PartsOf = (name: string, shape: readonly number[]) => readonly { readonly name: string, readonly shape: readonly number[] }[] | undefined

/** A file some of whose tensors are read as several: the experts of a layer, which transformers can hold as one. */
export class TensorParts implements TensorReader {
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly #places = new Map<string, { whole: string, part: number, parts: number }>()
  /** The last tensor that parts were asked of: they are asked for one after the other. */
  #held: { name: string, values: Promise<Float32Array> } | undefined

  constructor(private readonly file: TensorReader, partsOf: PartsOf) {
    const tensors = new Map<string, TensorInfo>()
    for (const [whole, info] of file.tensors) {
      const parts = partsOf(whole, info.shape) ?? []
      if (parts.length === 0) tensors.set(whole, info)
      const bytes = (info.end - info.begin) / parts.length
      for (const [part, { name, shape }] of parts.entries()) {
        if (file.tensors.has(name)) throw new CheckpointError(`${file.path}: has ${name}, and ${whole} which has it as well`)
        tensors.set(name, { ...info, name, shape, begin: info.begin + part * bytes, end: info.begin + (part + 1) * bytes })
        this.#places.set(name, { whole, part, parts: parts.length })
      }
    }
    this.tensors = tensors
  }

  get path(): string { return this.file.path }
  get metadata(): ReadonlyMap<string, string> { return this.file.metadata }

  readInto(name: string, target: Uint8Array, from = 0): Promise<void> {
    const place = this.#places.get(name)
    if (!place) return this.file.readInto(name, target, from)
    const { begin } = this.tensors.get(name)!
    return this.file.readInto(place.whole, target, begin - this.file.tensors.get(place.whole)!.begin + from)
  }

  async array(name: string): Promise<ElementArray> { return this.#partOf(name, whole => this.file.array(whole)) }

  async float32(name: string, target?: Float32Array): Promise<Float32Array> {
    if (!this.#places.has(name)) return this.file.float32(name, target)
    const values = await this.#partOf(name, whole => {
      if (this.#held?.name !== whole) this.#held = { name: whole, values: this.file.float32(whole) }
      return this.#held.values
    })
    if (!target) return values
    target.set(values)
    return target
  }

  async #partOf<A extends ElementArray>(name: string, read: (whole: string) => Promise<A>): Promise<A> {
    const place = this.#places.get(name)
    if (!place) return read(name)
    const values = await read(place.whole), size = values.length / place.parts
    return values.subarray(place.part * size, (place.part + 1) * size) as A
  }

  close(): Promise<void> {
    this.#held = undefined
    return this.file.close()
  }
}
