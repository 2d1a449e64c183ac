// Builds the emulator's library and runs tests with device 'cuda' on it, the op cases by default: npm run test:simt [-- test/lifecycle/cuda.test.ts …].
// Ends with the ops that it lacks, by name.
import { build } from './build.mjs'
import { main, output } from './command.mjs'
import { buildDeviceLibrary } from './deviceLibrary.mjs'
import { runJest } from './jest.mjs'
import { withBuildLock } from './lock.mjs'

await main(async () => {
  await build({ tests: true })
  await withBuildLock(() => buildDeviceLibrary('simt'))
  const files = process.argv.slice(2)
  const env = { WARPWEFT_CUDA: 'simt', WARPWEFT_TEST_DEVICE: 'cuda', WARPWEFT_DEVICE: 'cuda' }
  runJest(files.length ? files : ['test/ops/.*cases', 'test/lifecycle/cuda'], { env })
  const missing = output(process.execPath, ['--input-type=module', '-e', "console.log((await import('#lib/tensor/cuda.js')).cuda().missing.join(', '))"], { env: { ...process.env, ...env } })
  if (missing?.trim()) console.log(`the backend lacks: ${missing.trim()}`)
})
