import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError, ConfigError, TokenizerError } from '../errors.js'
import { generationConfigOf, readGenerationConfig, setGenerationDefaults } from '../generate/generationConfig.js'
import { atomicDirectory } from '../io/atomicDirectory.js'
import { writeFileAtomic, writeJsonAtomic } from '../io/atomicFile.js'
import { listedCheckpoints } from '../io/checkpointList.js'
import { makeFolder } from '../io/folders.js'
import { ioError, systemCode } from '../io/ioError.js'
import { cleanLeftovers } from '../io/leftovers.js'
import { TensorParts } from '../io/safetensorsParts.js'
import { openSafetensors, saveSafetensors } from '../io/safetensorsShards.js'
import type { PretrainedConfig } from '../models/configuration.js'
import type { PretrainedClass, Task } from '../models/pretrained.js'
import { classFor, classOf, modelTypes, tasksOf } from '../models/registry.js'
import type { Module } from '../nn/module.js'
import { QuantizedLinear } from '../nn/quantizedLinear.js'
import { withoutValues } from '../nn/parameter.js'
import { registerWriter, type SavedTokenizer, type SaveOptions } from '../nn/saving.js'
import { Tokenizer } from '../text/tokenizer.js'
import { hasTokenizer } from '../text/vocabularyFiles.js'
import { configText } from './configText.js'
import { type Leniency, loadParameters, type LoadReport, tensorsToSave } from './weights.js'

// A model directory, as Hugging Face has them: config.json, whose "model_type" says what the model is, model.safetensors, and tokenizer.json.

export type { SavedTokenizer, SaveOptions } from '../nn/saving.js'
export type SavedDtype = NonNullable<SaveOptions['dtype']>

export interface LoadOptions {
  /** Load into the class of this task, whatever the directory was saved from: a head that it lacks is drawn anew, one that it has besides is left. */
  task?: Task | undefined
  /** Keys of config.json that are to have other values, such as `{ num_labels: 3 }`. */
  config?: PretrainedConfig | undefined
  /** Draw parameters anew whose tensors have another shape, instead of refusing them. */
  ignoreMismatchedSizes?: boolean | undefined
}

export interface LoadedModel extends LoadReport {
  model: Module
  /** Where the directory has one. */
  tokenizer: Tokenizer | undefined
  config: PretrainedConfig
}

type Json = PretrainedConfig

/** The half type that all of a model's weights were loaded in, which it is saved in again. */
const loadedDtypes = new WeakMap<Module, SavedDtype>()

/**
 * Writes a model directory. One that exists keeps what else it holds, and its files are replaced one by one, the weights last; a new one appears whole.
 * @param tokenizer is written beside the model; left out, tokenizer files that are there stay
 * @throws CheckpointError if the system refuses
 */
export async function saveModel(directory: string, model: Module, tokenizer?: SavedTokenizer, options: SaveOptions = {}): Promise<void> {
  if (await isDirectory(directory)) await writeModel(directory, model, tokenizer, options)
  else {
    await parentOf(directory)
    await atomicDirectory(directory, folder => writeModel(folder, model, tokenizer, options))
  }
}

registerWriter(saveModel)

/** A model that is saved in files of its own, such as adapters without their base. */
export interface SavesItself {
  writeFiles(directory: string): Promise<void>
  readFiles(directory: string): Promise<void>
}

export const savesItself = (model: Module): model is Module & SavesItself => typeof (model as Partial<SavesItself>).writeFiles === 'function'

/** The files of a model, into a folder that exists. @throws CheckpointError for quantised weights */
export async function writeModel(folder: string, model: Module, tokenizer?: SavedTokenizer, { maxShardBytes, ...options }: SaveOptions = {}): Promise<void> {
  if (savesItself(model)) {
    await model.writeFiles(folder)
    if (tokenizer) await saveTokenizer(folder, tokenizer)
    return
  }
  if ([...model.namedModules()].some(([, module]) => module instanceof QuantizedLinear))
    throw new CheckpointError(`cannot write ${folder}: the model has quantised weights, which are not saved. Save its adapter, or what mergeAndUnload() gives.`)
  const dtype = options.dtype ?? loadedDtypes.get(model) ?? 'float32'
  await writeFileAtomic(join(folder, 'config.json'), configText({ ...configOf(model, tokenizer), torch_dtype: dtype }))
  const generation = generationConfigOf(model)
  if (generation) await writeJsonAtomic(join(folder, 'generation_config.json'), generation)
  if (tokenizer) await saveTokenizer(folder, tokenizer)
  // As transformers marks them: it refuses files that do not say of which library their layout is.
  await saveSafetensors(folder, tensorsToSave(model.stateDict(), dtype), { metadata: { format: 'pt' }, ...(maxShardBytes === undefined ? {} : { maxShardBytes }) })
}

/**
 * Loads a model directory: what `saveModel` or the trainer wrote, or one of Hugging Face whose `model_type` is known (`models/registry.ts`). The weights become float32.
 * @returns the model in evaluation mode
 * @throws CheckpointError if something is missing or damaged, or weights and configuration do not fit; all that does not fit is listed
 */
export async function loadModel(directory: string, { task, config: other = {}, ignoreMismatchedSizes = false }: LoadOptions = {}): Promise<LoadedModel> {
  const config = withOther(await readConfig(directory), other), kind = kindOf(config, task, directory)
  const { model_type, architectures, torch_dtype, dtype, warpweft_version, ...own } = config
  const model = create(kind, own, directory)
  try {
    const otherHead = task !== undefined && !(Array.isArray(architectures) && architectures.includes(kind.architecture))
    const report = await loadWeights(directory, model, kind, { otherHead, otherSizes: ignoreMismatchedSizes })
    const tokenizer = await hasTokenizer(directory) ? await Tokenizer.fromFile(directory) : undefined
    if (tokenizer && tokenizer.vocabSize > vocabularyOf(model)) {
      throw new CheckpointError(`${directory}: the tokenizer has ${tokenizer.vocabSize} tokens, the model embeddings for ${vocabularyOf(model)}. `
        + 'Is the tokenizer.json that of another model?')
    }
    setGenerationDefaults(model, await readGenerationConfig(directory, config))
    return { model: model.eval(), tokenizer, config, ...report }
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** @throws CheckpointError for a type, or a task of it, that there is no class for */
function kindOf(config: Json, task: Task | undefined, directory: string): PretrainedClass {
  const kind = classFor(config, task), type = config['model_type'], path = join(directory, 'config.json')
  if (kind) return kind
  if (!modelTypes.includes(type as string)) throw new CheckpointError(`${path}: model_type is ${JSON.stringify(type) ?? 'missing'}; known are ${modelTypes.join(', ')}.`)
  throw new CheckpointError(`${path}: a model of type ${String(type)} cannot be loaded for '${task}'. There are: ${tasksOf(type as string).join(', ')}.`)
}

/** Other numbers of labels have other names for them. */
function withOther(config: Json, other: Json): Json {
  if (other['num_labels'] === undefined || other['id2label'] !== undefined) return { ...config, ...other }
  const { id2label, label2id, ...rest } = config
  const same = typeof id2label === 'object' && id2label !== null && Object.keys(id2label).length === other['num_labels']
  return { ...rest, ...other, ...(same ? { id2label, label2id } : {}) }
}

/** Copies the weights of a directory into a model of its kind. @throws CheckpointError that lists all that does not fit */
async function loadWeights(directory: string, model: Module, kind: PretrainedClass, leniency: Leniency): Promise<LoadReport> {
  await refusePickles(directory)
  const file = await openSafetensors(directory)
  try {
    const reader = kind.partsOf ? new TensorParts(file, kind.partsOf) : file
    const names = new Map<string, string>()
    for (const name of reader.tensors.keys()) {
      const own = kind.nameOf(name, model)
      if (own !== undefined) names.set(name, own)
    }
    const report = await loadParameters(model, reader, names, leniency)
    const stored = new Set([...names.keys()].map(name => reader.tensors.get(name)!.dtype))
    if (stored.size === 1 && stored.has('F16')) loadedDtypes.set(model, 'float16')
    if (stored.size === 1 && stored.has('BF16')) loadedDtypes.set(model, 'bfloat16')
    return report
  } finally {
    await file.close()
  }
}

/** @throws CheckpointError where the weights are a pickle alone: to read one is to run the program that it holds */
async function refusePickles(directory: string): Promise<void> {
  const files = await readdir(directory), pickle = files.find(file => /^pytorch_model.*\.bin(\.index\.json)?$/.test(file))
  if (pickle === undefined || files.some(file => file.includes('.safetensors'))) return
  throw new CheckpointError(`${join(directory, pickle)} is a pickle, which can run any program when it is read; expected model.safetensors. Convert it where you trust it: `
    + `python3 -c "import sys, transformers as t; d = sys.argv[1]; c = t.AutoConfig.from_pretrained(d); getattr(t, c.architectures[0]).from_pretrained(d).save_pretrained(d, safe_serialization=True)" ${directory}`)
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
    return withoutValues(() => kind.create(config))
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

function vocabularyOf(model: Module): number {
  const { vocabSize = Infinity, sourceVocabSize = 0 } = model as { vocabSize?: number, sourceVocabSize?: number }
  return Math.max(vocabSize, sourceVocabSize)   // one tokenizer may have the tokens of both sides
}

async function parentOf(directory: string): Promise<void> {
  const parent = join(directory, '..')
  await makeFolder(parent)
  await cleanLeftovers(parent)
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false)
const isDirectory = (path: string): Promise<boolean> => stat(path).then(found => found.isDirectory(), () => false)
