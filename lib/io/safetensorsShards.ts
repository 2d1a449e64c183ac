import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CheckpointError, ConfigError } from '../errors.js'
import { writeJsonAtomic } from './atomicFile.js'
import { HeaderSyntaxError, HeaderText, shown } from './headerText.js'
import { ioError, systemCode } from './ioError.js'
import { SafetensorsFile, type TensorReader } from './safetensors.js'
import type { ElementArray } from './safetensorsDtypes.js'
import { maxHeaderBytes, type TensorInfo } from './safetensorsHeader.js'
import { savedBytes, writeSafetensors, type TensorToSave } from './safetensorsWriter.js'

/**
 * Opens a checkpoint: a .safetensors file, a `….safetensors.index.json` with its shards, or a folder that has one or the other
 * (the index goes first, as in transformers).
 *
 * @param name what the files in a folder are called: `model.safetensors`, `adapter_model.safetensors`, …
 * @throws CheckpointError if something is missing, damaged or not what the index says
 */
export async function openSafetensors(path: string, name = 'model'): Promise<TensorReader> {
  if (path.endsWith(indexSuffix)) return Shards.open(path)
  if (await kindOf(path) !== 'folder') return SafetensorsFile.open(path)
  const index = join(path, name + indexSuffix), single = join(path, `${name}.safetensors`)
  if (await kindOf(index) !== 'nothing') return Shards.open(index)
  if (await kindOf(single) !== 'nothing') return SafetensorsFile.open(single)
  throw new CheckpointError(`${path}: has neither ${basename(single)} nor ${basename(index)}. Is it the folder of a model?`)
}

/**
 * Saves a checkpoint into a folder that exists: one file, or shards of at most `maxShardBytes` (a larger tensor has its own) with an
 * index. Each file is written atomically, the index last; files of an earlier save that are no longer part of it are removed then.
 * To replace a whole folder at once, call it within `atomicDirectory`.
 *
 * @returns the names of the files
 * @throws CheckpointError as `writeSafetensors`
 */
export async function saveSafetensors(
  folder: string, tensors: Iterable<TensorToSave>,
  { name = 'model', maxShardBytes = 5e9, metadata }:
    { name?: string, maxShardBytes?: number, metadata?: Readonly<Record<string, string>> } = {},
): Promise<string[]> {
  if (!(maxShardBytes > 0)) throw new ConfigError(`maxShardBytes must be above 0, not ${maxShardBytes}.`)
  const options = metadata === undefined ? {} : { metadata }
  const { shards, total } = packed(folder, tensors, maxShardBytes)
  if (shards.length <= 1) {
    const file = `${name}.safetensors`
    await writeSafetensors(join(folder, file), shards[0] ?? [], options)
    await removeOthers(folder, name, [file])
    return [file]
  }
  const files: string[] = [], weightMap: [string, string][] = []
  for (const [i, shard] of shards.entries()) {
    const file = `${name}-${numbered(i + 1)}-of-${numbered(shards.length)}.safetensors`
    await writeSafetensors(join(folder, file), shard, options)
    files.push(file)
    weightMap.push(...shard.map(tensor => [tensor.name, file] as [string, string]))
  }
  files.push(name + indexSuffix)
  weightMap.sort(([a], [b]) => a < b ? -1 : 1)
  await writeJsonAtomic(join(folder, name + indexSuffix), { metadata: { total_size: total }, weight_map: Object.fromEntries(weightMap) })
  await removeOthers(folder, name, files)
  return files
}

const indexSuffix = '.safetensors.index.json'
const numbered = (shard: number) => String(shard).padStart(5, '0')

class Shards implements TensorReader {
  readonly path: string
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: ReadonlyMap<string, string>
  readonly #files: readonly SafetensorsFile[]
  readonly #fileOf: ReadonlyMap<string, SafetensorsFile>

  private constructor(path: string, files: readonly SafetensorsFile[], fileOf: ReadonlyMap<string, SafetensorsFile>) {
    this.path = path
    this.#files = files
    this.#fileOf = fileOf
    this.tensors = new Map([...fileOf].map(([name, file]) => [name, file.tensors.get(name)!]))
    this.metadata = files[0]?.metadata ?? new Map()
  }

  static async open(path: string): Promise<Shards> {
    const files = new Map<string, SafetensorsFile>(), fileOf = new Map<string, SafetensorsFile>()
    try {
      for (const [tensor, shard] of await readIndex(path)) {
        let file = files.get(shard)
        if (file === undefined) files.set(shard, file = await SafetensorsFile.open(join(dirname(path), shard)))
        if (!file.tensors.has(tensor)) throw new CheckpointError(`${path}: says that ${shown(tensor)} is in ${shown(shard)}, but it is not.`)
        fileOf.set(tensor, file)
      }
    } catch (error) {
      await Promise.all([...files.values()].map(file => file.close()))
      throw error
    }
    return new Shards(path, [...files.values()], fileOf)
  }

  async readInto(name: string, target: Uint8Array, from?: number): Promise<void> { await this.#holding(name).readInto(name, target, from) }
  async array(name: string): Promise<ElementArray> { return this.#holding(name).array(name) }
  async float32(name: string, target?: Float32Array): Promise<Float32Array> { return this.#holding(name).float32(name, target) }
  async close(): Promise<void> { await Promise.all(this.#files.map(file => file.close())) }

  #holding(name: string): SafetensorsFile {
    const file = this.#fileOf.get(name)
    if (file === undefined) throw new CheckpointError(`${this.path}: there is no tensor ${shown(name)}. It has ${this.tensors.size} others.`)
    return file
  }
}

async function readIndex(path: string): Promise<ReadonlyMap<string, string>> {
  const text = new HeaderText(await readSmall(path)), shardOf = new Map<string, string>()
  let found = false
  try {
    text.object(key => {
      if (key !== 'weight_map') return text.skip()
      found = true
      text.object(tensor => shardOf.set(tensor, plainName(path, tensor, text.string())))
    })
    text.end()
    if (!found) throw text.error('there is no weight_map')
  } catch (error) {
    if (!(error instanceof HeaderSyntaxError)) throw error
    throw new CheckpointError(`${path}: ${error.message}. The index is damaged; download or save it again.`)
  }
  return shardOf
}

/** An index comes from elsewhere: it may name files beside it and nothing else. */
function plainName(path: string, tensor: string, shard: string): string {
  if (shard === '' || shard === '.' || shard === '..' || /[/\\\0]/.test(shard)) {
    throw new CheckpointError(`${path}: ${shown(tensor)} is said to be in ${shown(shard)}. `
      + 'Only plain names of files in the same folder are allowed.')
  }
  return shard
}

async function readSmall(path: string): Promise<Uint8Array> {
  try {
    const found = await stat(path)
    if (!found.isFile()) throw new CheckpointError(`cannot read ${path}: it is not a file.`)
    if (found.size > maxHeaderBytes) throw new CheckpointError(`${path}: ${found.size} bytes are too many for an index.`)
    return await readFile(path)
  } catch (error) {
    throw ioError('read', path, error)
  }
}

function packed(folder: string, tensors: Iterable<TensorToSave>, maxShardBytes: number): { shards: TensorToSave[][], total: number } {
  const shards: TensorToSave[][] = []
  let room = 0, total = 0
  for (const tensor of tensors) {
    const bytes = savedBytes(folder, tensor)
    total += bytes
    if (shards.length === 0 || bytes > room) {
      shards.push([])
      room = maxShardBytes
    }
    shards.at(-1)!.push(tensor)
    room -= bytes
  }
  return { shards, total }
}

async function removeOthers(folder: string, name: string, keep: readonly string[]): Promise<void> {
  const endings = /^(-\d{5}-of-\d{5})?\.safetensors$|^\.safetensors\.index\.json$/
  const ours = (file: string) => file.startsWith(name) && endings.test(file.slice(name.length))
  try {
    for (const file of await readdir(folder)) if (ours(file) && !keep.includes(file)) await rm(join(folder, file))
  } catch (error) {
    throw ioError('tidy', folder, error)
  }
}

async function kindOf(path: string): Promise<'folder' | 'other' | 'nothing'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'other'
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return 'nothing'
    throw ioError('read', path, error)
  }
}
