import { BuildError, output, which } from './command.mjs'

const installers = [
  ['apt-get', 'apt-get install -y g++'], ['dnf', 'dnf install -y gcc-c++'], ['yum', 'yum install -y gcc-c++'], ['apk', 'apk add g++'],
  ['zypper', 'zypper install -y gcc-c++'], ['pacman', 'pacman -S --noconfirm gcc'],
]
const oldest = { 'g++': 11, 'clang++': 14 }

/** The C++ compiler: CXX, else c++, g++ or clang++ of the PATH. @throws BuildError with the command that installs one */
export function findCompiler() {
  const named = process.env['CXX']?.trim()
  for (const name of named ? [named] : ['c++', 'g++', 'clang++']) {
    const path = which(name)
    const text = path && output(path, ['--version'])
    if (!text) continue
    const family = text.includes('clang') ? 'clang++' : 'g++'
    const version = (output(path, ['-dumpfullversion', '-dumpversion']) ?? '').trim()
    if (Number.parseInt(version) < oldest[family])
      throw new BuildError(`${path} is ${family} ${version}; warpweft needs g++ ${oldest['g++']} or clang++ ${oldest['clang++']}, or later. Name another one: CXX=… npm run build`)
    return { path, family, version }
  }
  const found = installers.find(([program]) => which(program))
  const install = found ? `Install one: ${process.getuid() === 0 ? '' : 'sudo '}${found[1]}` : 'Install g++ with the package manager of this system.'
  throw new BuildError(named ? `CXX=${named} is not an executable file of the PATH. ${install}` : `No C++ compiler was found on the PATH. ${install}`)
}
