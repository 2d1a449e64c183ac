import { dirname, join } from 'node:path'
import { output, which } from './command.mjs'
import { wheelFolder } from './wheel.mjs'

const oldestCMake = [3, 20]
const hint = 'Check the network, or install cmake (3.20 or later) and ninja with the package manager of this system.'

/** cmake, ctest and ninja of the PATH, or pinned ones in build/tools where it has none or an old one. @throws BuildError if they cannot be fetched */
export async function buildTools() {
  const cmake = cmakeOfPath() ?? await fetchedCMake()
  const ninja = ninjaOfPath() ?? await fetchedNinja()
  return { cmake, ctest: join(dirname(cmake), 'ctest'), ninja, env: { PATH: `${process.env['PATH']}:${dirname(ninja)}` } }
}

function cmakeOfPath() {
  const path = which('cmake')
  const [, major, minor] = /version (\d+)\.(\d+)/.exec((path && output(path, ['--version'])) ?? '') ?? []
  return major && (major - oldestCMake[0] || minor - oldestCMake[1]) >= 0 ? path : undefined
}

function ninjaOfPath() {
  const path = which('ninja')
  return path && output(path, ['--version']) ? path : undefined
}

async function fetchedCMake() {
  const { folder } = await wheelFolder('cmake', { wanted: name => name.startsWith('cmake/data/') && !name.includes('/doc/'), hint })
  return join(folder, 'cmake/data/bin/cmake')
}

async function fetchedNinja() {
  const { folder, version } = await wheelFolder('ninja', { wanted: name => name.endsWith('/scripts/ninja'), hint })
  return join(folder, `ninja-${version}.data/scripts/ninja`)
}
