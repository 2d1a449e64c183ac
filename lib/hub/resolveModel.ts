import { stat } from 'node:fs/promises'
import { CheckpointError } from '../errors.js'
import { cachedModel, type DownloadOptions, downloadModel, isModelId } from './download.js'

export type ResolveOptions = Omit<DownloadOptions, 'onProgress'>

/**
 * The directory of a model: the one that is named, else that of a model of the Hub, which is downloaded where the cache does not have it.
 * @throws CheckpointError if it is neither
 */
export async function resolveModel(nameOrDirectory: string, options: ResolveOptions = {}): Promise<string> {
  if (await stat(nameOrDirectory).then(() => true, () => false)) return nameOrDirectory
  const { revision, cacheDir, token, hubUrl, offline, signal } = options
  if (!isModelId(nameOrDirectory)) {
    throw new CheckpointError(`${nameOrDirectory}: there is no such folder, and it is no id of a model on the Hub. Give the folder of a model, with config.json and model.safetensors, `
      + 'or organisation/name.')
  }
  return await cachedModel(nameOrDirectory, { revision, cacheDir }) ?? await downloadModel(nameOrDirectory, { revision, cacheDir, token, hubUrl, offline, signal })
}
