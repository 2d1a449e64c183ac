import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError, ConfigError, TokenizerError } from '../errors.js'
import { atomicDirectory } from '../io/atomicDirectory.js'
import { writeJsonAtomic } from '../io/atomicFile.js'
import { makeFolder } from '../io/folders.js'
import { ioError, systemCode } from '../io/ioError.js'
import { cleanLeftovers } from '../io/leftovers.js'
import { openSafetensors, saveSafetensors } from '../io/safetensorsShards.js'
import type { PretrainedClass } from '../models/pretrained.js'
import { classFor, classOf, modelTypes } from '../models/registry.js'
import type { Module } from '../nn/module.js'
import { Tokenizer } from '../text/tokenizer.js'
import type { SavedTokenizer } from './task.js'
import { listedCheckpoints } from './checkpointList.js'
import { loadParameters, tensorsToSave } from './weights.js'

// A model directory, as Hugging Face has them: config.json, whose "model_type" says what the model is, model.safetensors, and tokenizer.json.

export type SavedDtype = 'float32' | 'float16' | 'bfloat16'
type Json = Readonly<Record<string, unknown>>

/** The half type that all of a model's weights were loaded in, which it is saved in again. */
const loadedDtypes = new WeakMap<Module, SavedDtype>()

/**
 * Writes a model directory. One that exists keeps what else it holds, and its files are replaced one by one, the weights last; a new one appears whole.
 * @param tokenizer is written beside the model; left out, tokenizer files that are there stay
 * @param options dtype: default the one that the model was loaded in, else float32
 * @throws CheckpointError if the system refuses
 */
export async function saveModel(directory: string, model: Module, tokenizer?: SavedTokenizer, options: { dtype?: SavedDtype } = {}): Promise<void> {
  if (await isDirectory(directory)) await writeModel(directory, model, tokenizer, options)
  else {
    await parentOf(directory)
    await atomicDirectory(directory, folder => writeModel(folder, model, tokenizer, options))
  }
}

/** The files of a model, into a folder that exists. */
export async function writeModel(folder: string, model: Module, tokenizer?: SavedTokenizer, options: { dtype?: SavedDtype } = {}): Promise<void> {
  const dtype = options.dtype ?? loadedDtypes.get(model) ?? 'float32'
  await writeJsonAtomic(join(folder, 'config.json'), { ...configOf(model, tokenizer), torch_dtype: dtype })
  if (tokenizer) await saveTokenizer(folder, tokenizer)
  await saveSafetensors(folder, tensorsToSave(model.stateDict(), dtype))
}

/**
 * Loads a model directory: what `saveModel` or the trainer wrote, or one of Hugging Face whose `model_type` is known (`models/registry.ts`). The weights become float32.
 * @returns the model in evaluation mode; the tokenizer where the directory has one; config.json
 * @throws CheckpointError if something is missing or damaged, or weights and configuration do not fit; all that does not fit is listed
 */
export async function loadModel(directory: string): Promise<{ model: Module, tokenizer: Tokenizer | undefined, config: Json }> {
  const config = await readConfig(directory), kind = classFor(config)
  if (!kind) {
    throw new CheckpointError(`${join(directory, 'config.json')}: model_type is ${JSON.stringify(config['model_type']) ?? 'missing'}; `
      + `known are ${modelTypes.join(', ')}.`)
  }
  const { model_type, architectures, torch_dtype, dtype, warpweft_version, ...own } = config
  const model = create(kind, own, directory)
  try {
    await loadWeights(directory, model, kind)
    const tokenizer = await exists(join(directory, 'tokenizer.json')) ? await Tokenizer.fromFile(directory) : undefined
    if (tokenizer && tokenizer.vocabSize > vocabularyOf(model)) {
      throw new CheckpointError(`${directory}: the tokenizer has ${tokenizer.vocabSize} tokens, the model embeddings for ${vocabularyOf(model)}. `
        + 'Is the tokenizer.json that of another model?')
    }
    return { model: model.eval(), tokenizer, config }
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** Copies the weights of a directory into a model of its kind. @throws CheckpointError that lists all that does not fit */
async function loadWeights(directory: string, model: Module, kind: PretrainedClass): Promise<void> {
  const reader = await openSafetensors(directory)
  try {
    const names = new Map<string, string>(), tied: [string, string][] = []
    for (const name of reader.tensors.keys()) {
      const own = kind.nameOf(name, model)
      if (own === undefined) continue
      const other = names.get(own)
      if (other === undefined) names.set(own, name)
      else tied.push([other, name])
    }
    await loadParameters(model, reader, names)
    for (const [one, other] of tied) {
      const [a, b] = [await reader.float32(one), await reader.float32(other)]
      if (a.length !== b.length || a.some((value, i) => value !== b[i])) {
        throw new CheckpointError(`${reader.path}: ${one} and ${other} differ, but the model has one weight for both. `
          + 'An output layer of its own is not supported.')
      }
    }
    const stored = new Set([...names.values()].map(name => reader.tensors.get(name)!.dtype))
    if (stored.size === 1 && stored.has('F16')) loadedDtypes.set(model, 'float16')
    if (stored.size === 1 && stored.has('BF16')) loadedDtypes.set(model, 'bfloat16')
  } finally {
    await reader.close()
  }
}

/** config.json of a model; of a module that is none of ours, as much as it says of itself. */
function configOf(model: Module, tokenizer: SavedTokenizer | undefined): Json {
  const found = classOf(model), own = (model as { config?: unknown }).config
  if (!found) return { architectures: [model.constructor.name], ...(typeof own === 'object' ? own : {}) }
  const { model_type, ...config } = found.config(model)
  return { model_type: found.modelType, architectures: [found.architecture], ...config, ...(found.modelType === 'warpweft-transformer' ? {} : specialIds(tokenizer)) }
}

/** As transformers' generation expects them in config.json. */
function specialIds(tokenizer: SavedTokenizer | undefined): Json {
  const { bosId, eosId, padId } = (tokenizer ?? {}) as { bosId?: number, eosId?: number, padId?: number }
  return Object.fromEntries(Object.entries({ bos_token_id: bosId, eos_token_id: eosId, pad_token_id: padId }).filter(([, id]) => id !== undefined))
}

function create(kind: PretrainedClass, config: Json, directory: string): Module {
  try {
    return kind.create(config)
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause
    throw new CheckpointError(`${join(directory, 'config.json')}: ${cause.message}. Was it written by another version, or changed by hand?`, { cause })
  }
}

async function readConfig(directory: string): Promise<Json> {
  const path = join(directory, 'config.json')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw new CheckpointError(await missing(directory), { cause: error })
    throw ioError('read', path, error)
  }
  let config: unknown
  try {
    config = JSON.parse(text)
  } catch (cause) {
    throw new CheckpointError(`${path} is not JSON (${(cause as Error).message}). Save or download it again.`, { cause })
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new CheckpointError(`${path}: expected an object.`)
  return config as Json
}

async function missing(directory: string): Promise<string> {
  if (!await exists(directory)) return `${directory}: there is no such folder. Give the folder of a model, with config.json and model.safetensors.`
  if (!await isDirectory(directory)) return `${directory} is a file. Give the folder of a model, with config.json and model.safetensors.`
  const [newest] = (await listedCheckpoints(directory)).reverse()
  if (newest) return `${directory} holds checkpoints of a training that has not ended. Use one of them, such as ${newest.path}, or resume the training.`
  return `${directory} has no config.json: it is not the folder of a model.`
}

async function saveTokenizer(folder: string, tokenizer: SavedTokenizer): Promise<void> {
  try {
    await tokenizer.save(folder)
  } catch (error) {
    throw error instanceof TokenizerError && systemCode(error.cause) !== undefined ? ioError('write', join(folder, 'tokenizer.json'), error.cause) : error
  }
}

const vocabularyOf = (model: Module): number => (model as { vocabSize?: number }).vocabSize ?? Infinity

async function parentOf(directory: string): Promise<void> {
  const parent = join(directory, '..')
  await makeFolder(parent)
  await cleanLeftovers(parent)
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false)
const isDirectory = (path: string): Promise<boolean> => stat(path).then(found => found.isDirectory(), () => false)
