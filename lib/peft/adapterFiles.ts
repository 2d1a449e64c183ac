import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CheckpointError } from '../errors.js'
import type { SavedDtype } from '../hub/modelDirectory.js'
import { tensorsToSave } from '../hub/weights.js'
import { writeJsonAtomic } from '../io/atomicFile.js'
import { makeFolder } from '../io/folders.js'
import { ioError, systemCode } from '../io/ioError.js'
import { openSafetensors, saveSafetensors } from '../io/safetensorsShards.js'
import { Parameter } from '../nn/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { completedConfig, configToSave, type PeftConfig } from './config.js'

// adapter_config.json and adapter_model.safetensors, as peft writes them.

const configFile = 'adapter_config.json', weights = 'adapter_model'

/**
 * The configuration of an adapter that was saved.
 * @throws CheckpointError if there is none, or it is no JSON   @throws ConfigError for what is not supported, all listed
 */
export async function readAdapterConfig(directory: string, isTrainable: boolean): Promise<PeftConfig> {
  const path = join(directory, configFile)
  let text: string, config: unknown
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' && systemCode(error) !== 'ENOTDIR') throw ioError('read', path, error)
    throw new CheckpointError(`${directory} has no ${configFile}: it is not the folder of an adapter.`, { cause: error })
  }
  try {
    config = JSON.parse(text)
  } catch (cause) {
    throw new CheckpointError(`${path} is not JSON (${(cause as Error).message}). Save or download it again.`, { cause })
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new CheckpointError(`${path}: expected an object.`)
  return completedConfig({ ...config, inference_mode: !isTrainable }, { loading: true })
}

/**
 * Reads the weights of an adapter into its parameters. Names and shapes are compared before anything is changed.
 * @param parameters by the names of the file @param optional parameters of the base that a file may have too
 * @throws CheckpointError that lists all that is missing, unexpected or of another shape
 */
export async function readAdapterTensors(directory: string, parameters: ReadonlyMap<string, Tensor>, optional: ReadonlyMap<string, Parameter>): Promise<void> {
  if (await exists(join(directory, `${weights}.bin`)) && !await exists(join(directory, `${weights}.safetensors`))) {
    throw new CheckpointError(`${directory} has ${weights}.bin, a pickle, which can run any code and is not read. In Python: `
      + `safetensors.torch.save_file(torch.load('${weights}.bin', weights_only=True), '${weights}.safetensors')`)
  }
  const reader = await openSafetensors(directory, weights)
  try {
    const problems: string[] = []
    for (const [name, { shape }] of reader.tensors) {
      const p = parameters.get(name) ?? optional.get(name)
      if (!p) problems.push(`unexpected: ${name} [${shape.join(', ')}]`)
      else if (p.shape.length !== shape.length || p.shape.some((size, d) => size !== shape[d])) problems.push(`${name} is [${shape.join(', ')}], the model has [${p.shape.join(', ')}]`)
    }
    for (const [name, p] of parameters) if (!reader.tensors.has(name) && !optional.has(name)) problems.push(`missing: ${name} [${p.shape.join(', ')}]`)
    if (problems.length > 0) throw new CheckpointError(`${reader.path}: the adapter does not fit the model. ${problems.join('; ')}. Is it an adapter of another model?`)
    for (const name of reader.tensors.keys()) ((parameters.get(name) ?? optional.get(name)) as Parameter).assign(await reader.float32(name))
  } finally {
    await reader.close()
  }
}

/** Writes an adapter into a folder, which is made if need be. @throws CheckpointError if the system refuses */
export async function saveAdapter(directory: string, config: PeftConfig, tensors: ReadonlyMap<string, Tensor>, dtype: SavedDtype): Promise<void> {
  await makeFolder(directory)
  await writeJsonAtomic(join(directory, configFile), configToSave(config))
  await saveSafetensors(directory, tensorsToSave(tensors, dtype), { name: weights })
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false)
