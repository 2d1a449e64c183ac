import { createHash, type Hash } from 'node:crypto'
import { appendFile, mkdir, open, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { AbortedError, CheckpointError } from '../errors.js'
import { ioError } from '../io/ioError.js'

// The cache of huggingface_hub, so that Python and Node share it: blobs by their checksum, and for each commit a folder of links to them.

export interface DownloadProgress { file: string, received: number, total: number }

export interface DownloadOptions {
  /** Branch, tag or commit. Default 'main'. */
  revision?: string | undefined
  /** Default: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`. */
  cacheDir?: string | undefined
  /** For private and gated models. Default: `HF_TOKEN`. */
  token?: string | undefined
  /** Default: `HF_ENDPOINT`, else https://huggingface.co. */
  hubUrl?: string | undefined
  /** Use what is in the cache and ask nobody. Default: whether `HF_HUB_OFFLINE` is 1. */
  offline?: boolean | undefined
  onProgress?: ((progress: DownloadProgress) => void) | undefined
  signal?: AbortSignal | undefined
}

/** What a model consists of: no other formats' weights, no pictures, and nothing in subfolders. */
const wanted = /^(config|generation_config|preprocessor_config|processor_config|adapter_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json$|^(vocab|merges)\.txt$|^[\w.-]+\.jinja$|^(model|adapter_model)[\w.-]*\.safetensors(\.index\.json)?$/

export const isModelId = (name: string): boolean => /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name)

/**
 * Brings a model of the Hub into the cache: configuration, safetensors, tokenizer. What is there already is not asked for again, a file that was cut off goes on where it ended,
 * and each is compared with its checksum.
 * @returns the folder of its files
 * @throws CheckpointError if there is no such model, it has no safetensors, the network or the disk fails, or a file is not what the Hub says; AbortedError
 */
export async function downloadModel(id: string, options: DownloadOptions = {}): Promise<string> {
  const { revision = 'main', token = process.env['HF_TOKEN'] } = options
  if (!isModelId(id)) throw new CheckpointError(`'${id}' is no id of a model; expected organisation/name.`)
  const folder = join(options.cacheDir ?? defaultCache(), `models--${id.replace('/', '--')}`)
  if (options.offline ?? process.env['HF_HUB_OFFLINE'] === '1') {
    const cached = await cachedSnapshot(folder, revision)
    if (cached !== undefined) return cached
    throw new CheckpointError(`${id} (${revision}) is not in the cache ${folder}, and offline nothing is downloaded. Run \`warpweft download ${id}\` while there is a network.`)
  }
  const hub = await import('@huggingface/hub')
  const remote = { hubUrl: options.hubUrl ?? process.env['HF_ENDPOINT'] ?? 'https://huggingface.co', ...(token ? { accessToken: token } : {}), fetch: fetching(options.signal) }
  try {
    const { sha } = await hub.modelInfo({ name: id, revision, additionalFields: ['sha'], ...remote })
    const files: RemoteFile[] = []
    for await (const { type, path, size, oid, lfs } of hub.listFiles({ repo: id, revision: sha, ...remote }))
      if (type === 'file' && wanted.test(path)) files.push({ path, size, ...(lfs ? { sha256: lfs.oid } : { blob: oid! }) })
    if (!files.some(({ path }) => path.endsWith('.safetensors')))
      throw new CheckpointError(`${id} has no safetensors at ${revision}: it holds no weights, or in another format alone. Use a conversion of it, or convert it in Python with save_pretrained.`)
    const snapshot = join(folder, 'snapshots', sha)
    await mkdir(join(folder, 'blobs'), { recursive: true })
    await mkdir(snapshot, { recursive: true })
    for (const file of files) {
      const blob = join(folder, 'blobs', file.sha256 ?? file.blob!)
      if (!await exists(blob)) {
        const content = await hub.downloadFile({ repo: id, path: file.path, revision: sha, ...remote })
        if (!content) throw new CheckpointError(`${id}: ${file.path} has gone. Try again.`)
        await receive(content, blob, file, options)
      }
      await rm(join(snapshot, file.path), { force: true })
      await symlink(join('..', '..', 'blobs', file.sha256 ?? file.blob!), join(snapshot, file.path))
    }
    // The last step: until then nobody takes the snapshot for whole.
    await mkdir(dirname(join(folder, 'refs', revision)), { recursive: true })
    await writeFile(join(folder, 'refs', revision), sha)
    return snapshot
  } catch (error) {
    throw explained(error, id, revision, remote.hubUrl, options.signal)
  }
}

/** @internal The folder of a model in the cache, if it was downloaded whole. */
export async function cachedModel(id: string, { revision = 'main', cacheDir }: Pick<DownloadOptions, 'revision' | 'cacheDir'>): Promise<string | undefined> {
  return isModelId(id) ? cachedSnapshot(join(cacheDir ?? defaultCache(), `models--${id.replace('/', '--')}`), revision) : undefined
}

interface RemoteFile { path: string, size: number, sha256?: string, blob?: string }

async function cachedSnapshot(folder: string, revision: string): Promise<string | undefined> {
  const commit = await readFile(join(folder, 'refs', revision), 'utf8').catch(() => revision)
  const snapshot = join(folder, 'snapshots', commit.trim())
  return await exists(join(snapshot, 'config.json')) ? snapshot : undefined
}

/** Writes a blob beside its place, going on with what an earlier try has left, and moves it there when its checksum is right. */
async function receive(content: Blob, blob: string, file: RemoteFile, { onProgress, signal }: DownloadOptions): Promise<void> {
  const partial = `${blob}.incomplete`
  let received = (await stat(partial).catch(() => ({ size: 0 }))).size
  if (received > file.size) {
    await rm(partial)
    received = 0
  }
  const hash = file.sha256 === undefined ? createHash('sha1').update(`blob ${file.size}\0`) : createHash('sha256')   // git's own checksum has a header
  await hashFile(partial, hash)
  if (received < file.size) {
    for await (const piece of (received > 0 ? content.slice(received, file.size) : content).stream() as unknown as AsyncIterable<Uint8Array>) {
      if (signal?.aborted) throw signal.reason
      await appendFile(partial, piece)
      hash.update(piece)
      received += piece.byteLength
      onProgress?.({ file: file.path, received, total: file.size })
    }
  } else if (file.size === 0) await writeFile(partial, '')
  if (received !== file.size) throw new CheckpointError(`${file.path}: ${received} of ${file.size} bytes came. Run it again: it goes on from there.`)
  if (hash.digest('hex') !== (file.sha256 ?? file.blob)) {
    await rm(partial, { force: true })
    throw new CheckpointError(`${file.path}: its checksum is not the one that the Hub names; the download was damaged and is removed. Run it again.`)
  }
  await rename(partial, blob)
}

async function hashFile(path: string, hash: Hash): Promise<void> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return
  for await (const piece of file.createReadStream() as AsyncIterable<Buffer>) hash.update(piece)
}

const fetching = (signal: AbortSignal | undefined): typeof fetch => signal ? (input, init) => fetch(input, { ...init, signal }) : fetch

function explained(error: unknown, id: string, revision: string, hubUrl: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return new AbortedError(`the download of ${id} was aborted; run again, it goes on from there`, { cause: error })
  const { statusCode, cause } = error as { statusCode?: number, cause?: { code?: string } }
  if (statusCode === 404) return new CheckpointError(`${id} (${revision}) is not on ${hubUrl}. Is the name right? A folder of that name is not here either.`, { cause: error })
  if (statusCode === 401 || statusCode === 403)
    return new CheckpointError(`${id} (${revision}) is private, gated or not there: ${hubUrl} refuses it (${statusCode}). Accept its terms on its page, and set HF_TOKEN to a token that may read it.`, { cause: error })
  if (error instanceof CheckpointError) return error
  if (statusCode !== undefined || (error as Error).name === 'TypeError')   // which fetch throws when it finds nobody, or is cut off
    return new CheckpointError(`${id} could not be downloaded from ${hubUrl}: ${(error as Error).message}${cause?.code ? ` (${cause.code})` : ''}. Is there a network? What has come is kept.`, { cause: error })
  return ioError('download', id, error)
}

function defaultCache(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env
  return HF_HUB_CACHE ?? join(HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface'), 'hub')
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false)
