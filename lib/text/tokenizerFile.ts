import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { TokenizerError } from '../errors.js'
import { makeFolder } from '../io/folders.js'
import { isObject, type Json } from './jsonFields.js'
import { fromVocabularyFiles } from './vocabularyFiles.js'

/** What a model directory says about its tokenizer: tokenizer.json, and tokenizer_config.json where there is one. */
export interface TokenizerFiles { json: unknown, config: Json }

/**
 * @param path a tokenizer.json, or a directory that holds one, or vocabulary files that amount to one
 * @throws TokenizerError if there is none, or it is not JSON
 */
export async function readTokenizerFiles(path: string): Promise<TokenizerFiles> {
  const directory = await isDirectory(path)
  const file = directory ? join(path, 'tokenizer.json') : path, config = await readConfig(join(directory ? path : dirname(path), 'tokenizer_config.json'))
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const json = directory && (cause as NodeJS.ErrnoException).code === 'ENOENT' ? await fromVocabularyFiles(path, config) : undefined
    if (json) return { json, config }
    const what = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (cause as Error).message
    throw new TokenizerError(`${file} cannot be read: ${what}. Give the path of a tokenizer.json or of a directory that holds one; `
      + 'other formats (vocab.txt, *.model) have to be converted first.', { cause })
  }
  return { json: parsed(text, file), config }
}

/**
 * Writes tokenizer.json; into a directory also tokenizer_config.json, which names the parts of the special tokens. Files appear whole or
 * not at all.
 * @param path a file that ends in .json, or a directory, which is made if need be
 * @throws TokenizerError if the files cannot be written
 */
export async function writeTokenizerFiles(path: string, files: TokenizerFiles): Promise<void> {
  const directory = await isDirectory(path) || !path.endsWith('.json')
  try {
    await makeFolder(directory ? path : dirname(path))
    await writeWhole(directory ? join(path, 'tokenizer.json') : path, files.json)
    if (directory) await writeWhole(join(path, 'tokenizer_config.json'), files.config)
  } catch (cause) {
    throw new TokenizerError(`the tokenizer cannot be saved to ${path}: ${(cause as Error).message}. Choose a place that can be `
      + 'written and has room.', { cause })
  }
}

/** @throws TokenizerError if the text is not JSON */
export function parsed(text: string, name = 'tokenizer.json'): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TokenizerError(`${name} is not JSON (${(cause as Error).message}). Is the file complete? Download it or save it `
      + 'again.', { cause })
  }
}

async function readConfig(file: string): Promise<Json> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch {
    return {}   // the file is optional
  }
  const config = parsed(text, file)
  if (!isObject(config)) throw new TokenizerError(`${file} is not an object. Is it the right file? Remove it, or save it again.`)
  return config
}

async function writeWhole(file: string, json: unknown): Promise<void> {
  const partial = `${file}.${process.pid}.tmp`
  await writeFile(partial, JSON.stringify(json, null, 2) + '\n')
  await rename(partial, file)
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(found => found.isDirectory(), () => false)
}
