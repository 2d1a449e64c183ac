import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BuildError, output, root } from './command.mjs'
import { download } from './download.mjs'
import { unzip } from './unzip.mjs'

const pins = JSON.parse(readFileSync(new URL('wheels.json', import.meta.url), 'utf8'))

/** This system, in the words of wheels.json. */
export const host = `${process.platform}-${process.arch}-${process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl'}`

/**
 * The version of a pinned wheel of the Python package index and the folder of build/tools into which it is unpacked; fetches it at the first call. Of Python itself nothing is
 * needed: pip does the download where there is one, since it knows its own proxies and mirrors, else Node does.
 * @throws BuildError if it is not to be had for `system`, or cannot be fetched
 */
export async function wheelFolder(name, { system = host, wanted, hint = '' } = {}) {
  const { version, python = 'py3', [system]: pin } = pins[name]
  if (!pin) throw new BuildError(`There is no ${name} ${version} for ${system}. ${hint}`.trim())
  const folder = join(root, 'build/tools', `${name}-${version}-${system}`)
  if (existsSync(folder)) return { folder, version }
  const [platform, sha256] = pin
  const wheel = { name, version, sha256, platform, file: `${name}-${version}-${python}-none-${platform}.whl` }
  console.log(`fetching ${name} ${version} into build/tools`)
  let bytes
  try {
    bytes = byPip(wheel) ?? await byNode(wheel)
  } catch (cause) {
    throw new BuildError(`${name} ${version} could not be fetched (${cause.message}). ${hint}`.trim(), { cause })
  }
  mkdirSync(join(root, 'build/tools'), { recursive: true })
  const unpacked = mkdtempSync(folder + '.')
  unzip(bytes, unpacked, wanted)
  try {
    renameSync(unpacked, folder)
  } catch (error) {
    rmSync(unpacked, { recursive: true })
    if (!existsSync(folder)) throw error
  }
  return { folder, version }
}

function verified(bytes, wheel) {
  const found = createHash('sha256').update(bytes).digest('hex')
  if (found !== wheel.sha256) throw new Error(`the sha256 of ${wheel.file} is ${found}, expected ${wheel.sha256}`)
  return bytes
}

function byPip(wheel) {
  if (!output('python3', ['-m', 'pip', '--version'])) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'warpweft-wheel-'))
  try {
    writeFileSync(join(folder, 'requirements.txt'), `${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}\n`)
    const { status } = spawnSync('python3', [
      '-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:', '--require-hashes',
      ...wheel.platform.split('.').flatMap(platform => ['--platform', platform]), '--dest', folder, '-r', join(folder, 'requirements.txt'),
    ], { stdio: 'ignore' })
    const file = readdirSync(folder).find(name => name.endsWith('.whl'))
    return status === 0 && file ? verified(readFileSync(join(folder, file)), wheel) : undefined
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** By the index's JSON interface (PEP 691), from the index that pip would use. */
async function byNode(wheel) {
  const index = (process.env['PIP_INDEX_URL'] || 'https://pypi.org/simple').replace(/\/$/, '')
  const page = `${index}/${wheel.name.replaceAll('_', '-')}/`
  const listing = JSON.parse((await download(page, { accept: 'application/vnd.pypi.simple.v1+json' })).toString())
  const entry = listing.files.find(({ filename }) => filename === wheel.file)
  if (!entry) throw new Error(`${page} does not list ${wheel.file}`)
  return verified(await download(new URL(entry.url, page).href), wheel)
}
