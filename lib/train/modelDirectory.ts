import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError, ConfigError, TokenizerError } from '../errors.js'
import { generationConfigOf, readGenerationConfig, setGenerationDefaults } from '../generate/generationConfig.js'
import { atomicDirectory } from '../io/atomicDirectory.js'
import { writeJsonAtomic } from '../io/atomicFile.js'
import { makeFolder } from '../io/folders.js'
import { ioError, systemCode } from '../io/ioError.js'
import { cleanLeftovers } from '../io/leftovers.js'
import { openSafetensors, saveSafetensors } from '../io/safetensorsShards.js'
import { GPT2, type GPT2Config } from '../models/gpt2.js'
import { Llama, type LlamaType } from '../models/llama.js'
import { Transformer, type TransformerOptions } from '../models/transformer.js'
import type { Module } from '../nn/module.js'
import { Tokenizer } from '../text/tokenizer.js'
import type { SavedTokenizer } from './task.js'
import { listedCheckpoints } from './checkpointList.js'
import { loadParameters, tensorsToSave } from './weights.js'

// A model directory, as Hugging Face has them: config.json, whose "model_type" says what the model is, model.safetensors, and tokenizer.json.

export type SavedDtype = 'float32' | 'float16' | 'bfloat16'
type Json = Readonly<Record<string, unknown>>

interface ModelKind {
  /** Whether a module is such a model. */
  is(model: Module): boolean
  config(model: Module): Json
  /** @throws ConfigError for a configuration that cannot be built */
  create(config: Json): Module
  /** The model's name of a tensor in a file; undefined for what files hold besides weights. */
  nameOf(name: string, model: Module): string | undefined
}

/** LLaMA and its kin; `architecture` is the class of transformers. */
const llama = (type: LlamaType, architecture: string): ModelKind => ({
  is: model => model instanceof Llama && model.config.model_type === type,
  config: model => {
    const { layer_types, use_sliding_window, max_window_layers, sliding_window, ...config } = (model as Llama).config
    // A key that its family does not have would make another model of it: to transformers a Mistral with layer_types is a Ministral.
    const windows = type === 'llama' ? {} : type === 'mistral' ? { sliding_window } : { sliding_window, use_sliding_window, max_window_layers, ...(layer_types ? { layer_types } : {}) }
    return { architectures: [architecture], ...config, ...windows }
  },
  create: ({ architectures, ...config }) => new Llama({ ...config, model_type: type }),
  nameOf: (name, model) => name.endsWith('.rotary_emb.inv_freq') ? undefined   // which old files hold
    : name === 'lm_head.weight' ? ((model as Llama).lm_head ? name : 'model.embed_tokens.weight')
      : name.startsWith('model.') ? name : `model.${name}`,   // files of the bare LlamaModel
})

const kinds: Readonly<Record<string, ModelKind>> = {
  'warpweft-transformer': {
    is: model => model instanceof Transformer,
    config: model => ({ architectures: ['Transformer'], ...(model as Transformer).config }),
    create: ({ architectures, ...config }) => new Transformer(config as unknown as TransformerOptions),
    nameOf: name => name,
  },
  'gpt2': {
    is: model => model instanceof GPT2,
    config: model => {
      const c = (model as GPT2).config
      return { architectures: ['GPT2LMHeadModel'], ...c, n_ctx: c.n_positions, tie_word_embeddings: true }
    },
    create: config => new GPT2(gpt2Config(config)),
    nameOf: name => /(^|\.)attn\.(masked_)?bias$/.test(name) ? undefined   // the causal mask, which old files hold
      : name === 'lm_head.weight' ? 'transformer.wte.weight'
        : name.startsWith('transformer.') ? name : `transformer.${name}`,   // files of the bare GPT2Model
  },
  'llama': llama('llama', 'LlamaForCausalLM'),
  'mistral': llama('mistral', 'MistralForCausalLM'),
  'qwen2': llama('qwen2', 'Qwen2ForCausalLM'),
  'qwen3': llama('qwen3', 'Qwen3ForCausalLM'),
}

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
  const generation = generationConfigOf(model)
  if (generation) await writeJsonAtomic(join(folder, 'generation_config.json'), generation)
  if (tokenizer) await saveTokenizer(folder, tokenizer)
  await saveSafetensors(folder, tensorsToSave(model.stateDict(), dtype))
}

/**
 * Loads a model directory: what `saveModel` or the trainer wrote, or GPT-2, LLaMA, Mistral, Qwen2 or Qwen3 of Hugging Face. The weights become float32.
 * @returns the model in evaluation mode; the tokenizer where the directory has one; config.json
 * @throws CheckpointError if something is missing or damaged, or weights and configuration do not fit; all that does not fit is listed
 */
export async function loadModel(directory: string): Promise<{ model: Module, tokenizer: Tokenizer | undefined, config: Json }> {
  const config = await readConfig(directory), type = config['model_type']
  const kind = typeof type === 'string' && Object.hasOwn(kinds, type) ? kinds[type] : undefined
  if (!kind) {
    throw new CheckpointError(`${join(directory, 'config.json')}: model_type is ${JSON.stringify(type) ?? 'missing'}; `
      + `known are ${Object.keys(kinds).join(', ')}.`)
  }
  const { model_type, torch_dtype, dtype, warpweft_version, ...own } = config
  const model = create(kind, own, directory)
  try {
    await loadWeights(directory, model, kind)
    const tokenizer = await exists(join(directory, 'tokenizer.json')) ? await Tokenizer.fromFile(directory) : undefined
    if (tokenizer && tokenizer.vocabSize > vocabularyOf(model)) {
      throw new CheckpointError(`${directory}: the tokenizer has ${tokenizer.vocabSize} tokens, the model embeddings for ${vocabularyOf(model)}. `
        + 'Is the tokenizer.json that of another model?')
    }
    setGenerationDefaults(model, await readGenerationConfig(directory, config))
    return { model: model.eval(), tokenizer, config }
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** Copies the weights of a directory into a model of its kind. @throws CheckpointError that lists all that does not fit */
async function loadWeights(directory: string, model: Module, kind: ModelKind): Promise<void> {
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
  const found = Object.entries(kinds).find(([, kind]) => kind.is(model))
  const own = (model as { config?: unknown }).config
  const config = found ? { model_type: found[0], ...found[1].config(model) }
    : { architectures: [model.constructor.name], ...(typeof own === 'object' ? own : {}) }
  return { ...config, ...(found && found[0] !== 'warpweft-transformer' ? specialIds(tokenizer) : {}) }
}

/** As transformers' generation expects them in config.json. */
function specialIds(tokenizer: SavedTokenizer | undefined): Json {
  const { bosId, eosId, padId } = (tokenizer ?? {}) as { bosId?: number, eosId?: number, padId?: number }
  return Object.fromEntries(Object.entries({ bos_token_id: bosId, eos_token_id: eosId, pad_token_id: padId }).filter(([, id]) => id !== undefined))
}

const gpt2Keys: readonly (keyof GPT2Config)[] = [
  'vocab_size', 'n_positions', 'n_embd', 'n_layer', 'n_head', 'n_inner', 'activation_function', 'resid_pdrop', 'embd_pdrop', 'attn_pdrop',
  'layer_norm_epsilon', 'initializer_range',
]

/** Variations of GPT-2 that compute something else. @throws ConfigError for those that are not built */
function gpt2Config(config: Json): Partial<GPT2Config> {
  const unsupported = Object.entries({ scale_attn_weights: true, scale_attn_by_inverse_layer_idx: false, add_cross_attention: false, tie_word_embeddings: true })
    .filter(([key, usual]) => config[key] !== undefined && config[key] !== usual).map(([key]) => `${key}: ${String(config[key])}`)
  if (unsupported.length > 0) throw new ConfigError(`GPT2: ${unsupported.join(', ')} is not supported`)
  return Object.fromEntries(gpt2Keys.filter(key => config[key] !== undefined).map(key => [key, config[key]]))
}

function create(kind: ModelKind, config: Json, directory: string): Module {
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
