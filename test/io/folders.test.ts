import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { CheckpointError } from '#lib/errors.js'
import { writeFileAtomic } from '#lib/io/atomicFile.js'
import { makeFolder, requireWritableFile, requireWritableFolder } from '#lib/io/folders.js'
import { temporaryFolder } from './temporaryFolder.js'

const at = temporaryFolder()

test('folders are made with those above them, also by several at once', async () => {
  await Promise.all([makeFolder(at('a', 'b', 'c')), makeFolder(at('a', 'b', 'd')), makeFolder(at('a', 'b', 'c'))])
  for (const name of ['c', 'd']) expect(statSync(at('a', 'b', name)).isDirectory()).toBe(true)
  symlinkSync(at('a'), at('link'))
  await makeFolder(at('link', 'e'))
  expect(existsSync(at('a', 'e'))).toBe(true)
})

test('what cannot be a folder is told, where mkdir with recursive would never end', async () => {
  await expect(makeFolder('/proc/none/folder')).rejects.toThrow(CheckpointError)
  writeFileSync(at('file'), '')
  await expect(makeFolder(at('file'))).rejects.toThrow(/it is a file, not a folder/)
  await expect(makeFolder(at('file', 'below'))).rejects.toThrow(/file is a file, not a folder/)
})

test('a place that can be written is found without touching it', async () => {
  await requireWritableFolder(at('new', 'folder'))
  await requireWritableFile(at('file'))
  expect(existsSync(at('new'))).toBe(false)
  expect(existsSync(at('file'))).toBe(false)
  mkdirSync(at('folder'))
  await expect(requireWritableFile(at('folder'))).rejects.toThrow(/it is a folder, not a file/)
  await expect(requireWritableFile(at('none', 'file'))).rejects.toThrow(/there is no folder .*none/)
  writeFileSync(at('file'), '')
  await expect(requireWritableFolder(at('file', 'below'))).rejects.toThrow(/file is a file/)
})

test('a device is written to, and nothing takes its place', async () => {
  symlinkSync('/dev/null', at('null'))
  await writeFileAtomic(at('null'), 'text')
  expect(readFileSync(at('null'), 'utf8')).toBe('')
  symlinkSync('/dev/full', at('full'))
  await expect(writeFileAtomic(at('full'), 'text')).rejects.toThrow(/no space is left/)
  expect(statSync(at('full')).isCharacterDevice()).toBe(true)
})
