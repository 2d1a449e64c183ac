// npm run test:package: packs the package, installs the tarball into an empty folder where there is neither a compiler nor cmake, and trains with it there.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BuildError, main, output, root, runQuietly, which } from './command.mjs'
import { withBuildLock } from './lock.mjs'
import { isPrebuilt } from './prebuilds.mjs'
import { prebuildFile, releaseFor, releases } from './releases.mjs'
import { compileTypeScript } from './typescript.mjs'
import { host } from './wheel.mjs'

// The scripts that npm may run where a package is installed.
const lifecycle = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare']

const training = `
class Classifier extends nn.Module {
  constructor() {
    super()
    this.encoder = new nn.TransformerEncoder(1, { dModel: 16, heads: 2, feedForward: 32, dropout: 0 })
    this.head = new nn.Linear(16, 2)
  }
  forward(x) { return this.head.forward(ops.mean(this.encoder.forward(x), 1)) }
}
const model = new Classifier(), optimizer = new optim.AdamW(model, { learningRate: 0.02 })
const x = tensor(Float32Array.from({ length: 4 * 5 * 16 }, (_, i) => Math.sin(i)), [4, 5, 16]), labels = tensor(Int32Array.from([0, 1, 1, 0]), [4])
async function train() {
  const losses = []
  for (let step = 0; step < 3; step++) {
    await scope(async () => {
      const loss = ops.crossEntropy(model.forward(x), labels)
      optimizer.zeroGrad()
      backward(loss)
      optimizer.step()
      losses.push(await loss.item())
    })
  }
  if (!(losses[2] < losses[0])) throw new Error('the loss did not fall: ' + losses)
  console.log('losses ' + losses.map(loss => loss.toFixed(4)).join(' '))
}
train()
`
const names = '{ backward, nn, ops, optim, scope, tensor }'
const programs = {
  'train.mjs': `import ${names} from 'warpweft'\n${training}`,
  'train.cjs': `const ${names} = require('warpweft')\n${training}`,
  'broken.mjs': `import('warpweft').then(() => { throw new Error('it was imported') }, error => { console.log(JSON.stringify([error.code, error.name, error.message])) })`,
}

await main(async () => {
  const release = releaseFor(...host.split('-').slice(1))
  if (!release || !isPrebuilt(release)) throw new BuildError(`test:package: there is no prebuilt binary of the present sources for this system: npm run prebuilds${release ? ` -- ${release}` : ''}`)
  await withBuildLock(() => { compileTypeScript('library') })
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'warpweft-package-')))
  try {
    const tarball = pack(folder)
    const { app, env } = install(folder, tarball)
    for (const name of ['train.mjs', 'train.cjs']) console.log(`${name}: ${succeed(name, [name], { cwd: app, env })}`)
    console.log(`warpweft --version: ${succeed('warpweft --version', [join(app, 'node_modules/.bin/warpweft'), '--version'], { cwd: app, env })}`)
    checkBrokenInstall(app, env)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

/** Packs the package into a folder and looks at what is in it. @returns the tarball */
function pack(folder) {
  const listing = output('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder])
  if (!listing) throw new BuildError('test:package: npm pack failed')
  const [{ filename, size, unpackedSize, files }] = JSON.parse(listing)
  const paths = files.map(({ path }) => path)
  const strays = paths.filter(path => !/^(dist|prebuilds)\/|^(package\.json|README\.md|README\.ko\.md|LICENSE|CHANGELOG\.md)$/.test(path))
  const description = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const { types, default: entry } = description.exports['.']
  const missing = ['README.md', 'LICENSE', 'CHANGELOG.md', types.slice(2), entry.slice(2), ...Object.values(description.bin).map(path => path.slice(2))].filter(path => !paths.includes(path))
  const scripts = lifecycle.filter(name => name in description.scripts)
  if (strays.length) throw new BuildError(`test:package: the tarball holds what users have no use for: ${strays.slice(0, 10).join(', ')}`)
  if (missing.length) throw new BuildError(`test:package: the tarball lacks ${missing.join(', ')}`)
  if (scripts.length) throw new BuildError(`test:package: package.json has scripts that npm would run at an install: ${scripts.join(', ')}`)
  if (description.gypfile !== false) throw new BuildError('test:package: package.json must say "gypfile": false')
  const present = Object.keys(releases).filter(name => paths.includes(prebuildFile(releases[name])))
  console.log(`${filename}: ${paths.length} files, ${(size / 1e6).toFixed(1)} MB (${(unpackedSize / 1e6).toFixed(1)} MB unpacked), binaries for ${present.join(', ')}`)
  return join(folder, filename)
}

/** Installs the tarball into an empty folder, with a PATH on which there are node and npm only. */
function install(folder, tarball) {
  const bin = join(folder, 'bin'), app = join(folder, 'app')
  for (const made of [bin, app]) mkdirSync(made)
  symlinkSync(process.execPath, join(bin, 'node'))
  symlinkSync(realpathSync(which('npm')), join(bin, 'npm'))
  const env = { PATH: bin }
  writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true }')
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(app, name), text)
  for (const tool of ['g++', 'c++', 'cc', 'clang', 'cmake', 'ninja', 'make', 'python3'])
    if (which(tool, bin)) throw new BuildError(`test:package: ${tool} is on the PATH`)
  runQuietly(join(bin, 'npm'), ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball], { cwd: app, env, failure: 'test:package: npm install failed' })
  return { app, env }
}

/** Runs a script by node. @returns what it wrote @throws BuildError if it fails */
function succeed(title, args, options) {
  const text = output(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  if (text === undefined) throw new BuildError(`test:package: ${title} failed in the installed package, see above`)
  return text.trim()
}

/** Without its binaries the package must say so, in one line and with a code. */
function checkBrokenInstall(app, env) {
  renameSync(join(app, 'node_modules/warpweft/prebuilds'), join(app, 'prebuilds'))
  const [code, name, message] = JSON.parse(succeed('broken.mjs', ['broken.mjs'], { cwd: app, env }))
  if (code !== 'ERR_ADDON' || name !== 'AddonError' || !/has no binary for .* install it again$/.test(message) || message.includes('\n'))
    throw new BuildError(`test:package: without binaries the import failed otherwise than it should: ${code} ${name}: ${message}`)
  console.log(`without its binaries: ${name} ${code}: ${message.replaceAll(app, '…')}`)
}
