import { availableParallelism, freemem } from 'node:os'

// What one compiler needs at most (measured: the attention and matmul kernels for AVX-512, g++ 12).
const bytesPerCompiler = 0.8e9

/** How many compilers to run at once: one a core, fewer where memory is short, so that a small machine builds slowly instead of not at all. */
export function compilerJobs() {
  const limit = process.constrainedMemory?.() || Infinity
  return Math.max(1, Math.min(availableParallelism(), Math.floor(Math.min(freemem(), limit) / bytesPerCompiler)))
}
