import { spawnSync } from 'node:child_process'
import {
  chmodSync, existsSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync, writeSync,
} from 'node:fs'
import { basename, dirname } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { CheckpointError } from '#lib/errors.js'
import { atomicDirectory } from '#lib/io/atomicDirectory.js'
import { atomicFile, writeFileAtomic, writeJsonAtomic } from '#lib/io/atomicFile.js'
import { cleanLeftovers, moveAside, temporaryBeside } from '#lib/io/leftovers.js'
import { temporaryFolder } from './temporaryFolder.js'

const at = temporaryFolder()
const full = () => { writeSync(openSync('/dev/full', 'w'), 'x') }   // the system's own error for a full disk

/** A process that has come to its end: its number and its name for temporaries are dead. */
function nameOfTheDead(path: string, suffix: 'tmp' | 'old'): string {
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  return `${dirname(path)}/${basename(temporaryBeside(path, suffix)).replace(/-\d+-\d+-/, `-${pid}-1-`)}`
}

describe('atomicFile', () => {
  test('writes text, bytes, JSON and pieces, and leaves nothing else', async () => {
    await writeFileAtomic(at('text'), 'ä한')
    await writeFileAtomic(at('bytes'), Uint8Array.of(0, 255))
    await writeJsonAtomic(at('value.json'), { a: [1] })
    await atomicFile(at('pieces'), async append => { for (const byte of [1, 2, 3]) await append(Uint8Array.of(byte)) })
    expect(readFileSync(at('text'), 'utf8')).toBe('ä한')
    expect([...readFileSync(at('bytes'))]).toEqual([0, 255])
    expect(readFileSync(at('value.json'), 'utf8')).toBe('{\n  "a": [\n    1\n  ]\n}\n')
    expect([...readFileSync(at('pieces'))]).toEqual([1, 2, 3])
    expect(readdirSync(at()).sort()).toEqual(['bytes', 'pieces', 'text', 'value.json'])
  })
  test('the old file stays whole until the new one is', async () => {
    writeFileSync(at('file'), 'old')
    await atomicFile(at('file'), async append => {
      await append(Buffer.from('n'))
      expect(readFileSync(at('file'), 'utf8')).toBe('old')
      await append(Buffer.from('ew'))
    })
    expect(readFileSync(at('file'), 'utf8')).toBe('new')
  })
  test('a full disk gives one CheckpointError with the path, the old file, and no temporary one', async () => {
    writeFileSync(at('file'), 'old')
    const writing = atomicFile(at('file'), async append => { await append(Buffer.from('new')); full() })
    await expect(writing).rejects.toThrow(CheckpointError)
    await expect(writing).rejects.toThrow(`cannot write ${at('file')}: no space is left on the disk`)
    expect(readFileSync(at('file'), 'utf8')).toBe('old')
    expect(readdirSync(at())).toEqual(['file'])
  })
  test('an error that is not the system’s passes as it is, and leaves nothing either', async () => {
    const mine = new RangeError('mine')
    await expect(atomicFile(at('file'), () => Promise.reject(mine))).rejects.toBe(mine)
    expect(readdirSync(at())).toEqual([])
  })
  test.each([['missing/file', /no such file or folder/], ['file/below', /a part of the path is a file/], ['folder', /cannot write .*folder: /]])(
    '%s cannot be written, and says why', async (name, message) => {
      writeFileSync(at('file'), '')
      mkdirSync(at('folder'))
      const writing = writeFileAtomic(at(name), 'x')
      await expect(writing).rejects.toThrow(CheckpointError)
      await expect(writing).rejects.toThrow(message)
      expect(readdirSync(at()).sort()).toEqual(['file', 'folder'])
    })
  const asUser = process.getuid?.() === 0 ? test.skip : test   // root may write everywhere
  asUser('a read-only folder gives a CheckpointError', async () => {
    mkdirSync(at('closed'), { mode: 0o555 })
    await expect(writeFileAtomic(at('closed', 'file'), 'x')).rejects.toThrow(/permission is denied/)
  })
  test('keeps the permissions of the file that it replaces', async () => {
    writeFileSync(at('secret'), 'old')
    chmodSync(at('secret'), 0o600)
    await writeFileAtomic(at('secret'), 'new')
    expect(statSync(at('secret')).mode & 0o777).toBe(0o600)
  })
  test('a symbolic link is replaced: what it points to (a download shared with others) stays', async () => {
    writeFileSync(at('blob'), 'shared')
    symlinkSync(at('blob'), at('link'))
    await writeFileAtomic(at('link'), 'mine')
    expect(readFileSync(at('blob'), 'utf8')).toBe('shared')
    expect(lstatSync(at('link')).isSymbolicLink()).toBe(false)
  })
  test('many writers of one file leave one whole version', async () => {
    const versions = Array.from({ length: 20 }, (_, i) => String(i).repeat(5000))
    await Promise.all(versions.map(version => writeFileAtomic(at('file'), version)))
    expect(versions).toContain(readFileSync(at('file'), 'utf8'))
    expect(readdirSync(at())).toEqual(['file'])
  })
})

describe('atomicDirectory', () => {
  const fill = (text: string) => (folder: string) => {
    mkdirSync(`${folder}/deep`)
    writeFileSync(`${folder}/deep/file`, text)
    return Promise.resolve()
  }
  const content = () => readFileSync(at('folder', 'deep', 'file'), 'utf8')
  test('puts a whole folder in place, and replaces an old one with all that was in it', async () => {
    await atomicDirectory(at('folder'), fill('one'))
    expect(content()).toBe('one')
    writeFileSync(at('folder', 'more'), '')
    await atomicDirectory(at('folder'), folder => {
      expect(content()).toBe('one')
      return fill('two')(folder)
    })
    expect(content()).toBe('two')
    expect(readdirSync(at('folder'))).toEqual(['deep'])
    expect(readdirSync(at())).toEqual(['folder'])
  })
  test('a failure leaves the old folder and nothing else', async () => {
    await atomicDirectory(at('folder'), fill('old'))
    const writing = atomicDirectory(at('folder'), async folder => { await fill('new')(folder); full() })
    await expect(writing).rejects.toThrow(CheckpointError)
    await expect(writing).rejects.toThrow(`cannot write ${at('folder')}: no space`)
    expect(content()).toBe('old')
    expect(readdirSync(at())).toEqual(['folder'])
  })
  test('an error in a file of the folder has the path that the caller knows', async () => {
    const writing = atomicDirectory(at('folder'), folder => writeFileAtomic(`${folder}/missing/file`, ''))
    await expect(writing).rejects.toThrow(`cannot write ${at('folder')}/missing/file: there is no such file or folder`)
  })
  test('writers that get in each other’s way leave one whole version, and those that lose say so', async () => {
    await atomicDirectory(at('folder'), fill('old'))
    const versions = Array.from({ length: 12 }, (_, i) => `version ${i}`)
    const written = await Promise.allSettled(versions.map(version => atomicDirectory(at('folder'), fill(version))))
    for (const result of written) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(CheckpointError)
    expect(['old', ...versions]).toContain(content())
    expect(readdirSync(at())).toEqual(['folder'])
  })
  test('a file in the place of the folder is not touched', async () => {
    writeFileSync(at('folder'), 'precious')
    await expect(atomicDirectory(at('folder'), fill('new'))).rejects.toThrow(/it is a file/)
    expect(readFileSync(at('folder'), 'utf8')).toBe('precious')
    expect(readdirSync(at())).toEqual(['folder'])
  })
  test('a link to a folder stays a link', async () => {
    mkdirSync(at('real'))
    symlinkSync(at('real'), at('folder'))
    await atomicDirectory(at('folder'), fill('new'))
    expect(readdirSync(at('real'))).toEqual(['deep'])
    expect(lstatSync(at('folder')).isSymbolicLink()).toBe(true)
  })
})

describe('cleanLeftovers', () => {
  test('removes what a dead process was writing, file or folder', async () => {
    writeFileSync(nameOfTheDead(at('x'), 'tmp'), 'half')
    mkdirSync(nameOfTheDead(at('x'), 'tmp'))
    writeFileSync(at('.warpweft-notes'), 'not ours')
    expect((await cleanLeftovers(at())).removed).toHaveLength(2)
    expect(readdirSync(at())).toEqual(['.warpweft-notes'])
  })
  test('leaves alone what a living process writes', async () => {
    const living = temporaryBeside(at('x'), 'tmp')
    writeFileSync(living, 'half')
    expect(await cleanLeftovers(at())).toEqual({ restored: [], removed: [] })
    expect(existsSync(living)).toBe(true)
  })
  test('a process number that was given out again does not protect the dead', async () => {
    writeFileSync(temporaryBeside(at('x'), 'tmp').replace(/-\d+-\d+-/, `-${process.pid}-1-`), 'half')
    expect((await cleanLeftovers(at())).removed).toHaveLength(1)
  })
  test('puts back the folder of which the replacement was killed between the renames', async () => {
    const aside = nameOfTheDead(at('folder'), 'old')
    mkdirSync(`${aside}/folder`, { recursive: true })
    writeFileSync(`${aside}/folder/file`, 'old')
    expect((await cleanLeftovers(at())).restored).toEqual(['folder'])
    expect(readFileSync(at('folder', 'file'), 'utf8')).toBe('old')
    expect(readdirSync(at())).toEqual(['folder'])
  })
  test('removes the old folder where the new one is in place', async () => {
    mkdirSync(`${nameOfTheDead(at('folder'), 'old')}/folder`, { recursive: true })
    mkdirSync(at('folder'))
    writeFileSync(at('folder', 'file'), 'new')
    expect(await cleanLeftovers(at())).toEqual({ restored: [], removed: [expect.stringMatching(/\.old$/)] })
    expect(readFileSync(at('folder', 'file'), 'utf8')).toBe('new')
  })
  test('what another machine writes is left alone for a day', async () => {
    const foreign = temporaryBeside(at('x'), 'tmp').replace(/-[0-9a-f]{12}-/, '-0123456789ab-')
    writeFileSync(foreign, 'half')
    expect((await cleanLeftovers(at())).removed).toEqual([])
    utimesSync(foreign, 0, 0)
    expect((await cleanLeftovers(at())).removed).toHaveLength(1)
  })
  test('a folder that does not exist is clean', async () => {
    expect(await cleanLeftovers(at('nowhere'))).toEqual({ restored: [], removed: [] })
  })
  test('a process that is killed while it replaces a folder leaves one that can be read', async () => {
    await atomicDirectory(at('folder'), folder => { writeFileSync(`${folder}/file`, 'old'); return Promise.resolve() })
    const moved = await moveAside(at('folder'), 'folder')
    expect(existsSync(at('folder'))).toBe(false)
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    spawnSync('mv', [moved, moved.replace(/-\d+-\d+-/, `-${pid}-1-`)])
    await cleanLeftovers(at())
    expect(readFileSync(at('folder', 'file'), 'utf8')).toBe('old')
  })
})
