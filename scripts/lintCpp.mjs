// Lints native/ by clang-tidy (.clang-tidy says what is checked and why some is not), with the compiler's own commands. Kernels are compiled once for each
// instruction set, but linted once; the one that uses most of cpu/simd in every set.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, join, relative } from 'node:path'
import { BuildError, main, output, root, which } from './command.mjs'
import { withBuildLock } from './lock.mjs'
import { buildNative } from './native.mjs'

const folder = join(root, 'build/lint')
const inEverySet = new Set(['matmul.cpp', 'unary.cpp'])

await main(async () => {
  const clangTidy = process.env['CLANG_TIDY'] || 'clang-tidy'
  if (!which(clangTidy)) throw new BuildError('clang-tidy was not found on the PATH. Install it: apt-get install -y clang-tidy, or name another one: CLANG_TIDY=clang-tidy-19 npm run lint:cpp')
  const started = Date.now()
  await withBuildLock(buildNative)
  const commands = JSON.parse(readFileSync(join(root, 'build/native/compile_commands.json'), 'utf8'))
  const setOf = ({ command }) => /-DWW_ISA=(\w+)/.exec(command)?.[1]
  const preferred = ['avx2', 'baseline'].find(set => commands.some(c => setOf(c) === set))
  const chosen = commands.filter(c => !setOf(c) || setOf(c) === preferred || inEverySet.has(basename(c.file)))
  const waiting = chosen.map((c, i) => {
    // A database of one command: clang-tidy takes the first that it finds for a file.
    const database = join(folder, String(i))
    mkdirSync(database, { recursive: true })
    writeFileSync(join(database, 'compile_commands.json'), JSON.stringify([c]))
    return { file: c.file, name: `${relative(root, c.file)}${inEverySet.has(basename(c.file)) ? ` (${setOf(c)})` : ''}`, database }
  })
  const count = waiting.length
  let failed = 0
  const worker = async () => {
    for (let next; (next = waiting.shift());) if (!await lint(clangTidy, next)) failed++
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  if (failed) throw new BuildError(`lint:cpp: ${failed} of ${count} files have errors, see above`)
  console.log(`lint:cpp: ${count} files are clean by ${/version (\S+)/.exec(output(clangTidy, ['--version']))?.[0] ?? clangTidy} (${((Date.now() - started) / 1000).toFixed(0)} s)`)
})

/** Runs clang-tidy over one file and shows what it says where it is not content. */
function lint(clangTidy, { file, name, database }) {
  return new Promise((resolve, reject) => {
    // Warnings of g++ that clang does not know are none of its business.
    const child = spawn(clangTidy, ['--quiet', '-p', database, '--extra-arg=-Wno-unknown-warning-option', file], { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { said += data })
    child.on('error', error => { reject(new BuildError(`${clangTidy} could not be started: ${error.message}`)) })
    child.on('close', status => {
      if (status !== 0) console.error(`${name}:\n${said.trim()}`)
      resolve(status === 0)
    })
  })
}
