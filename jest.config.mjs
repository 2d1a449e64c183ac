import { availableParallelism } from 'node:os'

// Workers times threads never exceed the cores: by default as many workers as cores, each of which computes on one thread.
const threads = Number(process.env.WARPWEFT_THREADS ??= '1')

// Tests are compiled by tsc into build/js and run as ES modules; nothing is transformed at run time.
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/build/js/test'],
  testMatch: ['**/*.test.js'],
  transform: {},
  // On a machine that is busy with something else a test takes many times as long.
  testTimeout: 60_000,
  maxWorkers: Math.max(1, Math.floor(availableParallelism() / threads)),
}
