import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { AddonError } from '#lib/errors.js'
import { loadAddon, thisSystem, type System } from '#lib/tensor/addon.js'

// What a user reads where the addon cannot be loaded: one line that names what the system has and what is needed.

const glibc: System = { platform: 'linux', arch: 'x64', glibc: '2.36', node: '20.19.0' }
const musl: System = { ...glibc, glibc: undefined }

/** A folder of the package as npm installs it: no binary in it yet. */
let root: string
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'warpweft-addon-')))
  writeFileSync(join(root, 'package.json'), '{ "name": "warpweft", "version": "1.2.3" }')
  symlinkSync(join(process.cwd(), 'node_modules'), join(root, 'node_modules'))
})
afterEach(() => { rmSync(root, { recursive: true }) })

/** Puts a file where the binary for this process belongs. */
function addPrebuild(content: string): string {
  const folder = join(root, 'prebuilds', `linux-${process.arch}`), file = join(folder, `warpweft.${thisSystem().glibc === undefined ? 'musl' : 'glibc'}.node`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(file, content)
  return file
}

function failure(system: System): string {
  let caught: unknown
  try {
    loadAddon(system, root)
  } catch (error) {
    caught = error
  }
  expect(caught).toBeInstanceOf(AddonError)
  const { code, message } = caught as AddonError
  expect(code).toBe('ERR_ADDON')
  expect(message).not.toContain('\n')
  return message
}

describe('a system without a binary is told in one line', () => {
  test('32-bit processes', () => {
    expect(failure({ ...glibc, arch: 'arm' })).toBe('warpweft 1.2.3 needs a 64-bit Node, this one is a 32-bit process (linux-arm, glibc 2.36, Node 20.19.0): install Node for x64 or arm64. ' +
      'Supported: linux-x64 (glibc 2.28 or later, or musl) and linux-arm64 (glibc 2.28 or later)')
    expect(failure({ platform: 'win32', arch: 'ia32', glibc: undefined, node: '22.1.0' })).toContain('a 32-bit process (win32-ia32, Node 22.1.0)')
  })

  test('other platforms and processors', () => {
    expect(failure({ platform: 'darwin', arch: 'arm64', glibc: undefined, node: '22.1.0' })).toBe('warpweft 1.2.3 does not run on darwin-arm64, Node 22.1.0. ' +
      'Supported: linux-x64 (glibc 2.28 or later, or musl) and linux-arm64 (glibc 2.28 or later)')
    expect(failure({ platform: 'win32', arch: 'x64', glibc: undefined, node: '22.1.0' })).toMatch(/does not run on win32-x64.*; under Windows use it in WSL 2$/)
    expect(failure({ ...glibc, arch: 'riscv64' })).toContain('does not run on linux-riscv64, glibc 2.36, Node 20.19.0')
  })

  test('arm64 with musl, for which there is no prebuilt binary', () => {
    expect(failure({ ...musl, arch: 'arm64' })).toMatch(/has no binary for linux-arm64, musl, Node 20\.19\.0\. Supported: .* Build it in a clone .* npm run build$/)
  })

  test.each(['2.17', '2.27', '1.99'])('glibc %s is older than the prebuilt binary needs', version => {
    addPrebuild('')
    expect(failure({ ...glibc, glibc: version })).toBe(`warpweft 1.2.3 needs glibc 2.28 or later, this system has linux-x64, glibc ${version}, Node 20.19.0: ` +
      'use a newer system, or build warpweft in a clone of the repository, with a C++20 compiler: npm ci && npm run build')
  })
})

describe('a broken install is told in one line', () => {
  test('a clone that was not built', () => {
    writeFileSync(join(root, 'CMakeLists.txt'), '')
    expect(failure(glibc)).toBe(`warpweft 1.2.3 has not been built for linux-x64, glibc 2.36, Node 20.19.0: run npm ci && npm run build in ${root}`)
  })

  test('a package without its binaries', () => {
    expect(failure(glibc)).toBe(`warpweft 1.2.3 has no binary for linux-x64, glibc 2.36, Node 20.19.0 below ${join(root, 'prebuilds')}, the package is incomplete: ` +
      `remove ${root} and install it again`)
  })

  test('a damaged binary', () => {
    const file = addPrebuild('not a library')
    expect(failure(thisSystem())).toContain(`could not load ${file} on linux-${process.arch}`)
  })
})

const onGlibc = thisSystem().glibc === undefined ? test.skip : test
onGlibc('glibc 2.28 and later take the prebuilt binary for glibc, musl that for musl', () => {
  const file = addPrebuild(''), forMusl = file.replace('glibc', 'musl')
  for (const version of ['2.28', '2.40', '3.0']) expect(failure({ ...glibc, arch: process.arch, glibc: version })).toContain(`could not load ${file}`)
  expect(failure({ ...musl, arch: process.arch })).toContain('has no binary')
  writeFileSync(forMusl, '')
  expect(failure({ ...musl, arch: process.arch })).toContain(`could not load ${forMusl}`)
})
