// Builds the emulator's library and runs tests with device 'cuda' on it: npm run test:simt [-- test/lifecycle/cuda.test.ts …]. By default the op cases, the second device, the loss
// scale, and models and trainings that PyTorch computed, where that reference data is beside the project. Ends with the ops that it lacks, by name.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { build } from './build.mjs'
import { main, output, root, run } from './command.mjs'
import { buildDeviceLibrary } from './deviceLibrary.mjs'
import { runJest } from './jest.mjs'
import { withBuildLock } from './lock.mjs'

/** Small ones of each kind, and every trajectory. */
const parityCases = ['gpt2', 'llama-rope-llama3', 'bert-classification', 't5', 'peft-lora', 'train-sgd', 'train-adamw-cosine', 'train-accumulate', 'train-adam-inverse-sqrt']

await main(async () => {
  await build({ tests: true })
  await withBuildLock(() => buildDeviceLibrary('simt'))
  const files = process.argv.slice(2)
  const env = { WARPWEFT_CUDA: 'simt', WARPWEFT_TEST_DEVICE: 'cuda', WARPWEFT_DEVICE: 'cuda' }
  runJest(files.length ? files : ['test/ops/', 'test/lifecycle/cuda', 'test/optim/lossScale', 'test/train/float16'], { env })
  const data = join(process.env['WARPWEFT_SHARED'] ?? join(root, '../shared'), 'parity'), cases = parityCases.filter(name => existsSync(join(data, name)))
  if (files.length === 0 && cases.length > 0) {
    run(process.execPath, [join(root, 'build/js/test/parity/run.js'), ...cases.map(name => join(data, name)), '--device', 'cuda'], { env, failure: 'parity on the emulator: failed, see above' })
  } else if (files.length === 0) console.log(`skipped: the parity cases are not in ${data}`)
  const missing = output(process.execPath, ['--input-type=module', '-e', "console.log((await import('#lib/tensor/cuda.js')).cuda().missing.join(', '))"], { env: { ...process.env, ...env } })
  if (missing?.trim()) console.log(`the backend lacks: ${missing.trim()}`)
})
